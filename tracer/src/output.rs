//! Standard output and standard error. A whole text is printed at once ([`print`]); lines that come one after the
//! other are written by a thread of its own, so that a reader that does not read (a pager, a full pipe) never holds up
//! the tracer's loop, and Ctrl-C still ends the run.
//!
//! Memory is bounded: at most [`QUEUE_BYTES`] wait, the batch being written included.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Most bytes that wait to be written: 16 batches of [`BATCH_BYTES`].
pub const QUEUE_BYTES: usize = 16 * BATCH_BYTES;
/// A good size for a batch: the capacity of a pipe.
pub const BATCH_BYTES: usize = 64 * 1024;

/// Prints a whole text, and waits for its reader. One that left has what was wanted.
///
/// # Errors
/// When writing fails for another reason.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes());
    match printed.and_then(|()| stdout.flush()) {
        Err(error) if is_reader_gone(&error) => Ok(()),
        result => result,
    }
}

/// One line for the user, beside the output.
pub fn say(message: &str) {
    // A vanished terminal must not turn into a panic.
    let _ = writeln!(io::stderr(), "sendtrace: {message}");
}

/// What the user should know although the command goes on.
pub fn warn(message: &str) {
    say(&format!("warning: {message}"));
}

/// Did a write find that nobody reads any more?
pub fn is_reader_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// The writer. Dropping it ends the thread once everything is written; [`Output::finish`] waits for that.
#[derive(Debug)]
pub struct Output {
    shared: Arc<Shared>,
    /// For polling; the same open file that the thread writes to.
    fd: Arc<OwnedFd>,
}

/// How the output ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishOutcome {
    /// Every byte was written.
    Complete,
    /// The reader went away (broken pipe, vanished terminal): end silently.
    ReaderGone,
    /// The reader did not read in time.
    Incomplete {
        /// Bytes that were not written.
        unwritten_bytes: usize,
    },
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Signalled on every change of the state.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Bytes>,
    /// Bytes in the queue, and those of the batch being written that are not yet written.
    waiting_bytes: usize,
    /// No more will be sent.
    closing: bool,
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    ReaderGone,
    Failed(io::Error),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    /// Starts the writer of this process's stdout. Call it after privileges are dropped: the thread inherits
    /// what its creator has.
    ///
    /// # Errors
    /// When stdout is closed, or no thread can be started.
    pub fn stdout() -> io::Result<Self> {
        Self::start(io::stdout().as_fd().try_clone_to_owned()?)
    }

    /// Starts a writer of any descriptor.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(fd: OwnedFd) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let fd = Arc::new(fd);
        let (their_shared, their_fd) = (Arc::clone(&shared), Arc::clone(&fd));
        thread::Builder::new()
            .name("output".to_string())
            .spawn(move || run(&their_shared, their_fd.as_fd()))?;
        Ok(Self { shared, fd })
    }

    /// Queues bytes from the front, in order, without ever waiting and without copying them. `false`: those that
    /// are left have no room below [`QUEUE_BYTES`]. When nobody reads any more, or writing failed, they are dropped.
    pub fn take(&self, bytes: &mut BytesMut) -> bool {
        let mut state = self.shared.lock();
        if state.end.is_some() {
            bytes.clear();
        }
        while !bytes.is_empty() {
            let length = bytes.len().min(BATCH_BYTES);
            if state.waiting_bytes + length > QUEUE_BYTES {
                return false;
            }
            state.waiting_bytes += length;
            state.queue.push_back(bytes.split_to(length).freeze());
            self.shared.changed.notify_all();
        }
        true
    }

    /// Bytes that wait to be written.
    pub fn waiting_bytes(&self) -> usize {
        self.shared.lock().waiting_bytes
    }

    /// Waits until something was written, the output ended, or `deadline` has come.
    pub fn wait_for_room(&self, deadline: Instant) {
        let state = self.shared.lock();
        let left = deadline.saturating_duration_since(Instant::now());
        if state.end.is_none() && state.waiting_bytes > 0 {
            drop(self.shared.changed.wait_timeout(state, left));
        }
    }

    /// Whether a write has found that nobody reads any more, or has failed.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().end.is_some()
    }

    /// Whether the reader has gone, asked of the kernel: true also while nothing is being written. One call
    /// of poll(2); meant to be asked a few times per second.
    pub fn reader_gone(&self) -> bool {
        self.is_closed() || hung_up(self.fd.as_fd())
    }

    /// Takes no more, and waits until everything is written, the reader is gone, or the time is over.
    ///
    /// # Errors
    /// When writing failed for another reason than a reader that went away, for example a full disk.
    pub fn finish(self, timeout: Duration) -> io::Result<FinishOutcome> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        state.closing = true;
        self.shared.changed.notify_all();
        loop {
            match state.end.take() {
                Some(End::ReaderGone) => return Ok(FinishOutcome::ReaderGone),
                Some(End::Failed(error)) => return Err(error),
                None if state.waiting_bytes == 0 => return Ok(FinishOutcome::Complete),
                None => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // The next write would find it.
                if hung_up(self.fd.as_fd()) {
                    return Ok(FinishOutcome::ReaderGone);
                }
                return Ok(FinishOutcome::Incomplete {
                    unwritten_bytes: state.waiting_bytes,
                });
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
    }
}

/// The thread: takes batches until the end.
fn run(shared: &Shared, fd: BorrowedFd<'_>) {
    loop {
        let mut state = shared.lock();
        let batch = loop {
            if let Some(batch) = state.queue.pop_front() {
                break batch;
            }
            if state.closing {
                return;
            }
            state = shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        };
        drop(state);
        if let Err(end) = write_all(shared, fd, &batch) {
            let mut state = shared.lock();
            state.end = Some(end);
            state.queue.clear();
            shared.changed.notify_all();
            return;
        }
    }
}

/// Writes a batch, and counts what is written as it goes, so that a timeout knows what is missing.
fn write_all(shared: &Shared, fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), End> {
    while !bytes.is_empty() {
        match nix::unistd::write(fd, bytes) {
            Ok(written) => {
                bytes = &bytes[written..];
                shared.lock().waiting_bytes -= written;
                shared.changed.notify_all();
            }
            Err(Errno::EINTR) => {}
            // Somebody made the open file non-blocking, and it is shared with us: wait here.
            Err(Errno::EAGAIN) => {
                let _ = poll(
                    &mut [PollFd::new(fd, PollFlags::POLLOUT)],
                    PollTimeout::NONE,
                );
            }
            Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(End::ReaderGone),
            // A terminal that vanished.
            Err(Errno::EIO) if hung_up(fd) => return Err(End::ReaderGone),
            Err(errno) => return Err(End::Failed(errno.into())),
        }
    }
    Ok(())
}

/// POLLERR: a pipe without reader; POLLHUP: a terminal or socket whose other end is gone.
fn hung_up(fd: BorrowedFd<'_>) -> bool {
    // The kernel reports these whether asked for or not.
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    match poll(&mut fds, PollTimeout::ZERO) {
        Ok(_) => fds[0].any().unwrap_or(false),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests;
