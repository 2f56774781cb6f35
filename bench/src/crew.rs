//! The thread that makes the traffic, in namespaces of its own, while the main thread reads the rings.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::place::Place;
use crate::traffic::{Act, Prepare};

enum Order {
    Prepare(Prepare),
    Act,
    CleanUp,
}

/// Takes orders one at a time.
pub struct Crew {
    orders: Sender<Order>,
    answers: Receiver<Result<()>>,
    bell: Arc<EventFd>,
}

impl Crew {
    /// Starts the thread; it is ready when this returns.
    pub fn start() -> Result<Self> {
        let (orders, taken) = channel();
        let (given, answers) = channel();
        let bell = Arc::new(EventFd::from_flags(
            EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
        )?);
        let ring = Arc::clone(&bell);
        thread::spawn(move || work(&taken, &given, &ring));
        let crew = Self {
            orders,
            answers,
            bell,
        };
        crew.answer()?;
        Ok(crew)
    }

    /// Makes the sockets of a scene.
    pub fn prepare(&self, prepare: Prepare) -> Result<()> {
        self.ask(Order::Prepare(prepare))?;
        self.answer()
    }

    /// Starts the traffic; [`Crew::bell`] rings when it ended, and then there is an answer.
    pub fn act(&self) -> Result<()> {
        self.bell.read().ok();
        self.ask(Order::Act)
    }

    /// Closes what the scene left open.
    pub fn clean_up(&self) -> Result<()> {
        self.ask(Order::CleanUp)?;
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

    fn ask(&self, order: Order) -> Result<()> {
        self.orders
            .send(order)
            .map_err(|_| anyhow!("the thread that makes the traffic is gone"))
    }

    fn answer(&self) -> Result<()> {
        self.answers
            .recv()
            .context("the thread that makes the traffic is gone")?
    }
}

fn work(orders: &Receiver<Order>, answers: &Sender<Result<()>>, bell: &EventFd) {
    let place = match Place::new() {
        Ok(place) => place,
        Err(error) => {
            let _ = answers.send(Err(error));
            return;
        }
    };
    let _ = answers.send(Ok(()));
    let mut act: Option<Act> = None;
    for order in orders {
        let answer = match order {
            Order::Prepare(prepare) => prepare(&place).map(|prepared| act = Some(prepared)),
            Order::Act => act.as_mut().map_or(Ok(()), |act| act()),
            Order::CleanUp => {
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
