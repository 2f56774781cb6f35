//! The loop of `live` and `record`: rings, clock and signals, until something ends it.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::capture::{Capture, LoopStep};
use crate::interrupt::Signals;
use crate::sink::Sink;
use tracer_capture::sys;

/// How often the rings are looked at when nobody wakes us: while there are events, and after a while without.
const POLL: Duration = Duration::from_millis(50);
const IDLE_POLL: Duration = Duration::from_millis(200);
/// How often aggregated events are delivered.
const DELIVERY: Duration = Duration::from_secs(1);
/// How long the end waits for a reader that does not read.
pub const FLUSH: Duration = Duration::from_millis(500);

/// How long a run goes on, and what it says.
pub struct Run<'a> {
    pub duration: Option<Duration>,
    /// Said once everything is at work.
    pub ready: &'a str,
    /// SIGUSR1 fires a trigger.
    pub takes_usr1: bool,
}

/// Runs a capture to its end; gives whether a signal ended it.
///
/// # Errors
/// When the BPF programs do not answer, or output fails.
pub fn run(capture: Capture, sink: &mut dyn Sink, run: &Run<'_>) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    runtime.block_on(follow(capture, sink, run))
}

async fn follow(mut capture: Capture, sink: &mut dyn Sink, run: &Run<'_>) -> anyhow::Result<bool> {
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let usr1 = run.takes_usr1;
    let mut user = usr1
        .then(|| signal(SignalKind::user_defined1()).context("cannot catch SIGUSR1"))
        .transpose()?;
    let rings = wake_up(&capture)?;
    let mut delivery = interval(DELIVERY);
    delivery.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let deadline = run.duration.map(|duration| Instant::now() + duration);
    let mut interrupted = false;

    sink.flush(Duration::ZERO);
    let how_to_end = if run.duration.is_some() {
        ""
    } else {
        " Hit Ctrl-C to end."
    };
    // In one piece: the output thread writes to the same terminal.
    let ready = format!("{}{how_to_end}\n", run.ready);
    let _ = io::stderr().write_all(ready.as_bytes());
    loop {
        let step = tokio::select! {
            () = signals.come() => { interrupted = true; LoopStep::End }
            _ = async { user.as_mut()?.recv().await }, if usr1 => {
                capture.fire("SIGUSR1", sink);
                LoopStep::Go
            }
            () = async { sleep_until(deadline.unwrap_or_else(Instant::now)).await }, if deadline.is_some() => LoopStep::End,
            _ = delivery.tick() => capture.tick(sink)?,
            () = sleep(if capture.is_idle() { IDLE_POLL } else { POLL }) => capture.pump(sink)?,
            ready = rings.readable() => {
                ready.context("cannot poll the rings")?.clear_ready();
                capture.pump(sink)?
            }
        };
        if step == LoopStep::End {
            break;
        }
    }
    capture.finish(sink, FLUSH)?;
    Ok(interrupted)
}

/// One descriptor that is readable when any ring asks for its reader.
fn wake_up(capture: &Capture) -> anyhow::Result<AsyncFd<OwnedFd>> {
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("cannot create an epoll descriptor")?;
    for fd in capture.ring_fds() {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
        epoll.add(fd, event).context("cannot poll a ring")?;
    }
    sys::readiness(epoll.0).context("cannot poll the rings")
}
