use std::fs::File;
use std::io::Read as _;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe;

use super::*;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

/// Waits until `done`, which another thread brings about.
fn wait_until(done: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "nothing happened");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends until the queue is full; gives how many bytes were taken.
fn fill(output: &Output) -> usize {
    let mut bytes = BytesMut::from(vec![b'x'; 2 * QUEUE_BYTES].as_slice());
    assert!(!output.take(&mut bytes), "it holds less than this");
    2 * QUEUE_BYTES - bytes.len()
}

fn send(output: &Output, text: &str) -> bool {
    output.take(&mut BytesMut::from(text))
}

#[test]
fn all_bytes_arrive_in_order() {
    let (read, write) = pipe().unwrap();
    let output = Output::start(write).unwrap();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        text
    });
    let mut expected = String::new();
    for number in 0..20_000 {
        let line =
            format!("line {number} of a run whose output is longer than pipe and queue together\n");
        expected.push_str(&line);
        let mut bytes = BytesMut::from(line.as_str());
        while !output.take(&mut bytes) {
            output.wait_for_room(Instant::now() + LONG);
        }
    }
    assert!(expected.len() > QUEUE_BYTES + BATCH_BYTES);
    assert_eq!(output.finish(LONG).unwrap(), FinishOutcome::Complete);
    assert!(reader.join().unwrap() == expected);
}

#[test]
fn a_reader_that_never_reads_does_not_hold_up_the_sender() {
    let (read, write) = pipe().unwrap();
    let output = Output::start(write).unwrap();
    let start = Instant::now();
    // The pipe takes some of it, so fill twice: the second time there is nowhere for it to go.
    let mut taken = fill(&output);
    thread::sleep(SHORT);
    taken += fill(&output);
    assert!(output.waiting_bytes() <= QUEUE_BYTES);
    output.wait_for_room(Instant::now() + SHORT);
    let outcome = output.finish(SHORT).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    let FinishOutcome::Incomplete { unwritten_bytes } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(0 < unwritten_bytes && unwritten_bytes < taken);
    drop(read);
}

#[test]
fn unwritten_bytes_are_exactly_those_that_the_reader_does_not_find() {
    let (read, write) = pipe().unwrap();
    let output = Output::start(write).unwrap();
    let taken = fill(&output);
    let FinishOutcome::Incomplete { unwritten_bytes } = output.finish(5 * SHORT).unwrap() else {
        panic!("nobody reads")
    };
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut found = vec![0; QUEUE_BYTES];
    let found = File::from(read).read(&mut found).unwrap();
    assert_eq!(found + unwritten_bytes, taken);
}

#[test]
fn a_reader_that_left_is_noticed_while_nothing_is_written() {
    let (read, write) = pipe().unwrap();
    let output = Output::start(write).unwrap();
    assert!(!output.reader_gone());
    drop(read);
    assert!(output.reader_gone());
    assert!(!output.is_closed(), "no write has failed yet");
    assert_eq!(output.finish(LONG).unwrap(), FinishOutcome::Complete);
}

#[test]
fn a_broken_pipe_closes_the_output_silently() {
    let (read, write) = pipe().unwrap();
    drop(read);
    let output = Output::start(write).unwrap();
    assert!(send(&output, "nobody reads this\n"));
    wait_until(|| output.is_closed());
    assert!(send(&output, "more\n"), "nothing waits for nobody");
    assert_eq!(output.finish(LONG).unwrap(), FinishOutcome::ReaderGone);
}

#[test]
fn a_reader_that_leaves_frees_a_writer_that_is_blocked() {
    let (read, write) = pipe().unwrap();
    let output = Output::start(write).unwrap();
    fill(&output);
    drop(read);
    output.wait_for_room(Instant::now() + LONG);
    wait_until(|| output.is_closed());
    assert_eq!(output.finish(LONG).unwrap(), FinishOutcome::ReaderGone);
}

#[test]
fn a_socket_whose_other_end_closed_is_a_reader_that_left() {
    let (read, write) = std::os::unix::net::UnixStream::pair().unwrap();
    let output = Output::start(write.into()).unwrap();
    fill(&output);
    assert!(!output.reader_gone());
    // Closing with unread data makes it a reset connection.
    drop(read);
    assert!(output.reader_gone());
    assert_eq!(output.finish(LONG).unwrap(), FinishOutcome::ReaderGone);
}

#[test]
fn a_full_disk_is_an_error_and_not_a_reader_that_left() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        eprintln!("skipped: no /dev/full");
        return;
    };
    let output = Output::start(full.into()).unwrap();
    assert!(send(&output, "no room\n"));
    wait_until(|| output.is_closed());
    let error = output.finish(LONG).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
}

#[test]
fn a_pipe_that_somebody_made_non_blocking_still_gets_every_byte() {
    let (read, write) = pipe().unwrap();
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let output = Output::start(write).unwrap();
    let taken = fill(&output);
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        File::from(read).read_to_end(&mut bytes).unwrap();
        bytes.len()
    });
    assert_eq!(output.finish(LONG).unwrap(), FinishOutcome::Complete);
    assert_eq!(reader.join().unwrap(), taken);
}

#[test]
fn a_dropped_output_ends_its_thread_after_the_last_byte() {
    let (read, write) = pipe().unwrap();
    let output = Output::start(write).unwrap();
    assert!(send(&output, "last words\n"));
    drop(output);
    let mut text = String::new();
    // Ends only when the thread has closed its end.
    File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(text, "last words\n");
}
