//! Ctrl-C and SIGTERM. An event loop waits for [`Signals`]; other commands end after the line at hand, when
//! [`Interrupt`] has come.

use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The end of a pipe whose other end is closed when a signal comes: for what waits in poll(2). Signals come to the
/// process, so there is one.
static CAME: OnceLock<OwnedFd> = OnceLock::new();

/// SIGINT, SIGTERM and SIGHUP, which ask for the end.
pub struct Signals([Signal; 3]);

impl Signals {
    /// Catches them from now on. Within an event loop.
    ///
    /// # Errors
    /// When there can be no more descriptors.
    pub fn catch() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// Waits for one of them.
    pub async fn come(&mut self) {
        let [interrupt, terminate, hang_up] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}

/// Has a signal come that was caught?
static HAS_COME: AtomicBool = AtomicBool::new(false);

/// Can signals be caught? To be asked before anything is made that would be left behind: the library that catches them
/// passes them on through a pair of sockets, and panics when it cannot have one.
///
/// # Errors
/// In one line what to allow.
pub fn check() -> anyhow::Result<()> {
    match UnixStream::pair() {
        Ok(_) => Ok(()),
        Err(error) => anyhow::bail!(
            "signals cannot be caught: socketpair(AF_UNIX): {error}: where systemd starts this, allow AF_UNIX in \
             RestrictAddressFamilies="
        ),
    }
}

/// Has a signal come that was caught? For loops that are far from whoever catches it.
pub fn has_come() -> bool {
    HAS_COME.load(Ordering::Relaxed)
}

/// Knows whether SIGINT, SIGTERM or SIGHUP has come.
pub struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupt {
    /// Catches the signals from now on.
    ///
    /// # Errors
    /// When there can be no more threads or descriptors.
    pub fn catch() -> anyhow::Result<Self> {
        check()?;
        let shared = Arc::<(Mutex<bool>, Condvar)>::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut signals = runtime.block_on(async { Signals::catch() })?;
        let theirs = Arc::clone(&shared);
        let (ours, closed_then) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        // A second one in the same process: the first one's thread closes its end.
        let _ = CAME.set(ours);
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(signals.come());
                HAS_COME.store(true, Ordering::Relaxed);
                *theirs.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
                theirs.1.notify_all();
                drop(closed_then);
            })?;
        Ok(Self(shared))
    }

    /// Has one come?
    pub fn came(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, but no longer than until one comes.
    pub fn wait(&self, most: Duration) {
        let came = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.1.wait_timeout_while(came, most, |came| !*came));
    }
}

/// Standard input without a buffer of its own, which ends when a signal comes that was caught.
pub struct Stdin(pub io::Stdin);

impl Stdin {
    /// Waits for bytes; `false`: a signal came first.
    fn wait(&self, came: &OwnedFd) -> nix::Result<bool> {
        let mut both = [
            PollFd::new(came.as_fd(), PollFlags::empty()),
            PollFd::new(self.0.as_fd(), PollFlags::POLLIN),
        ];
        loop {
            match poll(&mut both, PollTimeout::NONE) {
                // The signal itself; the thread that catches it is not done yet.
                Err(Errno::EINTR) => {}
                polled => {
                    polled?;
                    let came = both[0].revents().unwrap_or(PollFlags::empty());
                    return Ok(!came.contains(PollFlags::POLLHUP));
                }
            }
        }
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match CAME.get() {
            Some(came) if !self.wait(came)? => Ok(0),
            _ => Ok(nix::unistd::read(self.0.as_fd(), buffer)?),
        }
    }
}
