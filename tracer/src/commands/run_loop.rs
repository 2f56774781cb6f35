//! The loop of `live` and `record`: rings, clock and signals, until something ends it.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::session::{Finished, Session, Step};
use tracer_capture::sys;

/// How often the rings are looked at when nobody wakes us: while there are events, and after a while without.
const POLL: Duration = Duration::from_millis(50);
const IDLE_POLL: Duration = Duration::from_millis(200);
/// How often aggregated events are delivered.
const DELIVERY: Duration = Duration::from_secs(1);
/// How long the end waits for a reader that does not read.
const FLUSH: Duration = Duration::from_millis(500);

/// How a run ended.
pub struct Ending {
    pub finished: Finished,
    /// By a signal, not by itself.
    pub interrupted: bool,
}

/// What a command does beside the loop.
pub trait Beside {
    /// About once a second.
    fn second(&mut self, session: &Session);
    /// Does SIGUSR1 ask for something?
    fn takes_usr1(&self) -> bool;
}

/// Nothing.
impl Beside for () {
    fn second(&mut self, _: &Session) {}

    fn takes_usr1(&self) -> bool {
        false
    }
}

/// Runs a session to its end. `ready` is said once everything is at work.
///
/// # Errors
/// When the kernel half does not answer, or output fails.
pub fn run(
    session: Session,
    duration: Option<Duration>,
    ready: &str,
    beside: &mut dyn Beside,
) -> anyhow::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    runtime.block_on(follow(session, duration, ready, beside))
}

async fn follow(
    mut session: Session,
    duration: Option<Duration>,
    ready: &str,
    beside: &mut dyn Beside,
) -> anyhow::Result<Ending> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot catch SIGHUP")?;
    let usr1 = beside.takes_usr1();
    let mut user = usr1
        .then(|| signal(SignalKind::user_defined1()).context("cannot catch SIGUSR1"))
        .transpose()?;
    let rings = wake_up(&session)?;
    let mut delivery = interval(DELIVERY);
    delivery.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let deadline = duration.map(|duration| Instant::now() + duration);
    let mut interrupted = false;

    session.start();
    let how_to_end = if duration.is_some() {
        ""
    } else {
        " Hit Ctrl-C to end."
    };
    // In one piece: the output thread writes to the same terminal.
    let ready = format!("{ready}{how_to_end}\n");
    let _ = io::stderr().write_all(ready.as_bytes());
    loop {
        let step = tokio::select! {
            _ = interrupt.recv() => { interrupted = true; Step::End }
            _ = terminate.recv() => { interrupted = true; Step::End }
            _ = hang_up.recv() => { interrupted = true; Step::End }
            _ = async { user.as_mut()?.recv().await }, if usr1 => {
                session.fire("SIGUSR1")?;
                Step::Go
            }
            () = async { sleep_until(deadline.unwrap_or_else(Instant::now)).await }, if deadline.is_some() => Step::End,
            _ = delivery.tick() => {
                let step = session.deliver_aggregates()?;
                beside.second(&session);
                step
            }
            () = sleep(if session.is_idle() { IDLE_POLL } else { POLL }) => session.pump()?,
            ready = rings.readable() => {
                ready.context("cannot poll the rings")?.clear_ready();
                session.pump()?
            }
        };
        if step == Step::End {
            break;
        }
    }
    Ok(Ending {
        finished: session.finish(FLUSH)?,
        interrupted,
    })
}

/// One descriptor that is readable when any ring asks for its reader.
fn wake_up(session: &Session) -> anyhow::Result<AsyncFd<OwnedFd>> {
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("cannot create an epoll descriptor")?;
    for fd in session.ring_fds() {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
        epoll.add(fd, event).context("cannot poll a ring")?;
    }
    sys::readiness(epoll.0).context("cannot poll the rings")
}
