//! A disk that fills up, and is freed.

use super::kit::{self, Maker, SECOND};
use super::memory::Memory;
use crate::writer::recorder::Shape;
use crate::writer::retention::RetentionLimits;
use crate::writer::status::Notice;

const ALL: Shape = Shape::Segments {
    bytes: None,
    time: None,
};

#[test]
fn recording_resumes_when_there_is_room_again_and_the_gap_says_what_is_missing() {
    let memory = Memory::default();
    let mut recorder = kit::recorder(Box::new(memory.clone()), ALL, RetentionLimits::default());
    let mut maker = Maker::default();
    memory.state().capacity = Some(20_000);
    for second in 0..40 {
        recorder.block(&maker.entry(), second * SECOND);
    }
    let problem = recorder.status.problem.clone().expect("no room");
    assert!(problem.ends_with("No space left on device"), "{problem}");
    assert!(recorder.status.lost_blocks > 0);
    memory.state().capacity = None;
    for second in 40..50 {
        recorder.block(&maker.entry(), second * SECOND);
    }
    assert_eq!(recorder.status.problem, None);
    recorder.finish(50 * SECOND);
    let state = memory.state();
    let account = kit::account(state.files.values().map(|file| &**file));
    assert_eq!((account.damaged, account.torn), (0, 0));
    assert_eq!(account.told(), maker.submitted);
    assert_eq!(account.missing, recorder.status.lost_events);
    let notices = recorder.notices.take();
    let warned = |what: &str| {
        let found = notices
            .iter()
            .filter(|notice| matches!(notice, Notice::Warning(text) if text.contains(what)));
        found.count()
    };
    assert_eq!(
        warned("recording goes on as soon as it can"),
        1,
        "{notices:?}"
    );
    assert!(warned("could not be written (No space left on device)") >= 1);
}

#[test]
fn least_free_space_is_made_by_deleting_the_oldest_segments() {
    let memory = Memory::default();
    let keep = RetentionLimits {
        free: Some(30_000),
        ..RetentionLimits::default()
    };
    let shape = Shape::Segments {
        bytes: Some(10_000),
        time: None,
    };
    let mut recorder = kit::recorder(Box::new(memory.clone()), shape, keep);
    memory.state().capacity = Some(70_000);
    let mut maker = Maker::default();
    for second in 0..100 {
        recorder.block(&maker.entry(), second * SECOND);
        assert!(
            memory.used() <= 42_000,
            "{second}: START blocks come on top"
        );
    }
    assert_eq!(recorder.status.lost_blocks, 0);
    recorder.finish(100 * SECOND);
    let state = memory.state();
    assert!(!state.removed.is_empty());
    assert!(state.removed.is_sorted(), "the oldest first");
    let account = kit::account(state.files.values().map(|file| &**file));
    assert_eq!(account.seqs.last(), Some(&100));
}
