//! The writer's thread: takes what comes, looks at the clock, and tells what it did.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::SigSet;
use nix::time::{ClockId, clock_gettime};

use super::queue::{Item, Next, Shared};
use super::recorder::Recorder;

/// Starts the thread.
///
/// # Errors
/// When there can be no more threads.
pub fn start(recorder: Recorder, shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("trace-writer".to_owned())
        .spawn(move || run(recorder, &shared))
}

/// Says that the thread has ended, however it did.
struct Done<'a>(&'a Shared);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.done();
    }
}

fn run(mut recorder: Recorder, shared: &Shared) {
    // Signals are for the main thread. SIGXFSZ, which a write beyond RLIMIT_FSIZE sends to its own thread, would
    // end the process: blocked, the write fails with EFBIG like any other. Best effort: it cannot fail.
    let _ = SigSet::all().thread_block();
    let _done = Done(shared);
    loop {
        let wait = recorder.due_boot_ns().map(|due| {
            let left = due.saturating_sub(boot_clock_ns());
            Duration::from_nanos(left)
        });
        let next = shared.next(wait);
        let now_boot_ns = boot_clock_ns();
        let ends = matches!(next, Next::End(_));
        match next {
            Next::Item(Item::Block(entry)) => recorder.block(&entry, now_boot_ns),
            Next::Item(Item::Begin(counters)) => recorder.begin_window(&counters),
            Next::Item(Item::Close(lost)) => {
                if let Some(lost) = lost {
                    recorder.miss(*lost);
                }
                recorder.finish(now_boot_ns);
            }
            Next::Tick => {}
            Next::End(lost) => {
                // What a flight recorder did not hold while no window was open is missing nowhere.
                if let Some(lost) = lost.filter(|_| recorder.is_open()) {
                    recorder.miss(*lost);
                }
                recorder.finish(now_boot_ns);
            }
        }
        recorder.tick(now_boot_ns);
        shared.publish(&recorder.status, recorder.notices.take());
        if ends {
            return;
        }
    }
}

/// CLOCK_BOOTTIME, nanoseconds.
fn boot_clock_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME);
    let now = now.expect("Linux has had this clock since 2.6.39");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}
