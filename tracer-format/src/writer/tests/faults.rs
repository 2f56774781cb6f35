//! Every operation fails in turn: nothing is ever unaccounted for.

use nix::errno::Errno;

use super::kit::{self, Account, Maker, SECOND};
use super::memory::{Fault, Memory};
use crate::writer::recorder::{Recorder, Shape};
use crate::writer::retention::RetentionLimits;
use crate::writer::status::Notice;

const BLOCKS: u64 = 14;

fn shapes() -> [Shape; 2] {
    let segments = Shape::Segments {
        bytes: Some(3000),
        time: None,
    };
    [segments, Shape::Windows]
}

struct Ran {
    account: Account,
    recorder: Recorder,
    submitted: kit::Events,
    /// The end of the trace could not say what is missing.
    silent: bool,
    operations: usize,
}

fn run(shape: Shape, prepare: impl FnOnce(&Memory)) -> Ran {
    let memory = Memory::default();
    let mut recorder = kit::recorder(Box::new(memory.clone()), shape, RetentionLimits::default());
    prepare(&memory);
    recorder.begin_window(&Default::default());
    let mut maker = Maker::default();
    for second in 0..BLOCKS {
        let now = second * SECOND;
        recorder.block(&maker.entry(), now);
        recorder.tick(now);
    }
    recorder.finish(BLOCKS * SECOND);
    let notices = recorder.notices.take();
    let silent = notices.iter().any(
        |notice| matches!(notice, Notice::Warning(text) if text.contains("the trace cannot say")),
    );
    let state = memory.state();
    Ran {
        account: kit::account(state.files.values().map(|file| &**file)),
        recorder,
        submitted: maker.submitted,
        silent,
        operations: state.operations,
    }
}

fn check(ran: &Ran, context: &str) {
    let status = &ran.recorder.status;
    assert_eq!(ran.account.written, status.events, "{context}");
    let mut told = status.events;
    crate::writer::status::add(&mut told, &status.lost_events);
    assert_eq!(told, ran.submitted, "{context}: the status");
    if ran.silent {
        assert!(ran.account.told() <= ran.submitted, "{context}");
    } else {
        assert_eq!(ran.account.told(), ran.submitted, "{context}: the files");
    }
}

#[test]
fn without_faults_everything_is_written() {
    for shape in shapes() {
        let ran = run(shape, |_| {});
        check(&ran, "no fault");
        assert_eq!(ran.account.seqs, Vec::from_iter(1..=BLOCKS));
        assert_eq!((ran.account.gaps, ran.account.torn), (0, 0));
        assert_eq!(ran.recorder.status.problem, None);
        assert!(ran.operations > 20);
    }
}

#[test]
fn every_operation_may_fail_and_every_event_is_accounted_for() {
    let mut gaps = 0;
    for shape in shapes() {
        let operations = run(shape, |_| {}).operations;
        for first in 0..operations {
            for fault in [
                Fault::Error(Errno::ENOSPC),
                Fault::Error(Errno::EIO),
                Fault::Short,
            ] {
                for count in [1, 2, 3, 6, usize::MAX] {
                    for truncate_fails in [false, true] {
                        let ran = run(shape, |memory| {
                            let mut state = memory.state();
                            state.fault = Some((fault, first, count));
                            state.truncate_fails = truncate_fails;
                        });
                        let context = format!(
                            "{shape:?} {fault:?} {first}+{count} of {operations}, truncate fails: {truncate_fails}"
                        );
                        check(&ran, &context);
                        gaps += ran.account.gaps;
                        // A single fault is always made good.
                        assert!(!ran.silent || count > 1, "{context}");
                        // The torn block could be cut off before the next was written.
                        if !truncate_fails && count <= 3 {
                            assert_eq!(ran.account.damaged, 0, "{context}");
                        }
                    }
                }
            }
        }
    }
    assert!(gaps > 100, "faults did nothing");
}

#[test]
fn a_crash_at_any_operation_leaves_whole_blocks_and_one_torn_tail() {
    let mut torn = 0;
    for shape in shapes() {
        let operations = run(shape, |_| {}).operations;
        for first in 0..operations {
            for cut in [0, 1, 50, 96, 97, 700, 1500] {
                let ran = run(shape, |memory| {
                    memory.state().fault = Some((Fault::Crash(cut), first, usize::MAX));
                });
                let account = ran.account;
                assert_eq!(account.damaged, 0, "{shape:?} {first} {cut}");
                // What is there is what came first.
                let count = account.seqs.len() as u64;
                assert_eq!(account.seqs, Vec::from_iter(1..=count));
                assert_eq!(account.gaps, 0);
                torn += usize::from(account.torn > 0);
            }
        }
    }
    assert!(torn > 10, "no crash tore a block");
}

#[test]
fn a_failed_sync_is_told_and_the_next_block_begins_a_new_segment() {
    let shape = Shape::Segments {
        bytes: None,
        time: None,
    };
    // The third sync of a file: the first belongs to its name.
    let whole = Memory::default();
    let memory = whole.clone();
    let mut recorder = kit::recorder(Box::new(whole), shape, RetentionLimits::default());
    let mut maker = Maker::default();
    recorder.block(&maker.entry(), 0);
    recorder.block(&maker.entry(), SECOND);
    assert_eq!(recorder.due_boot_ns(), Some(4 * SECOND));
    recorder.tick(4 * SECOND - 1);
    assert_eq!(memory.state().syncs.len(), 1);
    let next = memory.state().operations;
    memory.state().fault = Some((Fault::Error(Errno::EIO), next, 1));
    recorder.tick(4 * SECOND);
    assert_eq!(memory.state().syncs.len(), 2);
    assert_eq!(
        recorder.due_boot_ns(),
        None,
        "the same bytes are not synced twice"
    );
    let [Notice::Warning(text)] = &*recorder.notices.take() else {
        panic!("one warning");
    };
    assert!(
        text.contains("may not be on the disk: Input/output error"),
        "{text}"
    );
    recorder.block(&maker.entry(), 5 * SECOND);
    recorder.finish(6 * SECOND);
    let state = memory.state();
    assert_eq!(state.files.len(), 2);
    let account = kit::account(state.files.values().map(|file| &**file));
    assert_eq!(account.seqs, [1, 2, 3]);
}
