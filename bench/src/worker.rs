//! The thread that makes the traffic, in namespaces of its own, while the main thread reads the rings.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::place::Place;
use crate::traffic::{Act, Prepare};

enum Request {
    Prepare(Prepare),
    Act,
    CleanUp,
}

/// A process that makes the traffic of one row on request.
pub struct Worker {
    orders: Sender<Request>,
    answers: Receiver<Result<()>>,
    bell: Arc<EventFd>,
}

impl Worker {
    /// Starts the thread; it is ready when this returns.
    pub fn start() -> Result<Self> {
        let (orders, taken) = channel();
        let (given, answers) = channel();
        let bell = Arc::new(EventFd::from_flags(
            EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
        )?);
        let ring = Arc::clone(&bell);
        thread::spawn(move || work(&taken, &given, &ring));
        let worker = Self {
            orders,
            answers,
            bell,
        };
        worker.answer()?;
        Ok(worker)
    }

    /// Makes the sockets of a scene.
    pub fn prepare(&self, prepare: Prepare) -> Result<()> {
        self.ask(Request::Prepare(prepare))?;
        self.answer()
    }

    /// Starts the traffic; [`Worker::bell`] rings when it ended, and then there is an answer.
    pub fn act(&self) -> Result<()> {
        self.bell.read().ok();
        self.ask(Request::Act)
    }

    /// Closes what the scene left open.
    pub fn clean_up(&self) -> Result<()> {
        self.ask(Request::CleanUp)?;
        self.answer()
    }

    /// Readable when the traffic ended.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// How the traffic ended, once it has.
    pub fn ended(&self) -> Option<Result<()>> {
        self.answers.try_recv().ok()
    }

    fn ask(&self, request: Request) -> Result<()> {
        self.orders
            .send(request)
            .map_err(|_| anyhow!("the thread that makes the traffic is gone"))
    }

    fn answer(&self) -> Result<()> {
        self.answers
            .recv()
            .context("the thread that makes the traffic is gone")?
    }
}

fn work(orders: &Receiver<Request>, answers: &Sender<Result<()>>, bell: &EventFd) {
    let place = match Place::new() {
        Ok(place) => place,
        Err(error) => {
            let _ = answers.send(Err(error));
            return;
        }
    };
    let _ = answers.send(Ok(()));
    let mut act: Option<Act> = None;
    for request in orders {
        let answer = match request {
            Request::Prepare(prepare) => prepare(&place).map(|prepared| act = Some(prepared)),
            Request::Act => act.as_mut().map_or(Ok(()), |act| act()),
            Request::CleanUp => {
                act = None;
                Ok(())
            }
        };
        if answers.send(answer).is_err() {
            return;
        }
        let _ = bell.write(1);
    }
}
