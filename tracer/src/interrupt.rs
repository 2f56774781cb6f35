//! Ctrl-C and SIGTERM for commands that do not run an event loop: they end after the line at hand.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// Knows whether SIGINT, SIGTERM or SIGHUP has come.
pub struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupt {
    /// Catches the signals from now on.
    ///
    /// # Errors
    /// When there can be no more threads or descriptors.
    pub fn catch() -> io::Result<Self> {
        let shared = Arc::<(Mutex<bool>, Condvar)>::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (mut interrupt, mut terminate, mut hang_up) = runtime.block_on(async {
            Ok::<_, io::Error>((
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ))
        })?;
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hang_up.recv() => {}
                    }
                });
                *theirs.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
                theirs.1.notify_all();
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
