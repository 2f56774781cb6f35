//! What a reader makes of files that were cut, flipped, smeared, doubled and mixed.

use super::chain::{Chain, Notice, ReadItem};
use super::scan::Scanner;
use crate::block::{Builder, Seal};
use crate::layout::flag;
use tracer_model::event::Event;
use tracer_model::testing::{self, Rng};

/// What a file holds, as a reader sees it.
#[derive(Debug, Default)]
struct Read {
    events: Vec<Event>,
    notices: Vec<Notice>,
    blocks: usize,
}

impl Read {
    fn is_clean(&self) -> bool {
        self.notices.is_empty()
    }
}

fn read(bytes: &[u8]) -> Read {
    let mut scanner = Scanner::new(bytes, 0);
    let mut chain = Chain::default();
    let mut items = Vec::new();
    while let Some(found) = scanner.last().expect("memory does not fail") {
        chain.add(found, &mut items);
    }
    chain.finish(scanner.rest(), &mut items);
    let mut read = Read::default();
    for item in items {
        match item {
            ReadItem::Notice(notice) => read.notices.push(notice),
            ReadItem::Block(block) => {
                read.blocks += 1;
                let mut events = block.events().expect("a block that passed its checksum");
                while let Some(event) = events.next().expect("an event") {
                    read.events.push(event);
                }
            }
        }
    }
    read
}

/// A trace of some blocks, and where each of them ends.
struct Made {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    events: Vec<Vec<Event>>,
}

fn made(blocks: u64, events: u64, trace_id: u8) -> Made {
    let mut rng = Rng::new(blocks + events);
    let mut builder = Builder::new().expect("memory");
    let mut made = Made {
        bytes: Vec::new(),
        ends: Vec::new(),
        events: Vec::new(),
    };
    for seq in 0..blocks {
        let events: Vec<_> = (0..events).map(|_| testing::event(&mut rng)).collect();
        events.iter().for_each(|event| builder.event(event));
        let sealed = builder.seal(&Seal {
            flags: if seq == 0 { flag::START } else { 0 },
            trace_id: [trace_id; 16],
            seq,
            sealed_boot_ns: (1 << 41) + seq,
            ..Seal::default()
        });
        made.bytes.extend(sealed.bytes);
        made.ends.push(made.bytes.len());
        made.events.push(events);
    }
    made
}

#[test]
fn every_prefix_yields_all_its_whole_blocks() {
    let made = made(4, 3, 1);
    for cut in 0..=made.bytes.len() {
        let read = read(&made.bytes[..cut]);
        let whole = made.ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(read.blocks, whole, "cut at {cut}");
        assert_eq!(read.events, made.events[..whole].concat(), "cut at {cut}");
        let at_a_border = cut == 0 || made.ends.contains(&cut);
        assert_eq!(read.is_clean(), at_a_border, "cut at {cut}");
        assert!(
            read.notices.iter().all(Notice::is_torn_tail),
            "cut at {cut}"
        );
    }
}

#[test]
fn every_suffix_yields_all_its_whole_blocks() {
    let made = made(4, 2, 1);
    for cut in 0..made.bytes.len() {
        let read = read(&made.bytes[cut..]);
        let starts = std::iter::once(&0).chain(&made.ends);
        let whole = starts.take(4).filter(|start| **start >= cut).count();
        assert_eq!(read.blocks, whole, "cut at {cut}");
    }
}

#[test]
fn no_altered_event_is_ever_accepted_and_all_damage_is_reported() {
    let made = made(6, 8, 1);
    let mut rng = Rng::new(77);
    // Longer runs: SENDTRACE_SMEARS=1000000.
    let rounds = std::env::var("SENDTRACE_SMEARS")
        .ok()
        .and_then(|text| text.parse().ok());
    for _ in 0..rounds.unwrap_or(1_000) {
        let mut spoiled = made.bytes.clone();
        let at = rng.below(spoiled.len() as u64) as usize;
        let length = 1 + rng.below(64) as usize;
        let end = spoiled.len().min(at + length);
        match rng.below(4) {
            0 => spoiled[at] ^= 1 << rng.below(8),
            1 => spoiled[at..end].fill(rng.any() as u8),
            2 => drop(spoiled.drain(at..end)),
            _ => spoiled[at..end]
                .iter_mut()
                .for_each(|byte| *byte = rng.any() as u8),
        }
        let same = spoiled == made.bytes;
        let read = read(&spoiled);
        assert_eq!(read.is_clean(), same);
        // Every block that came out is one that went in, in its order.
        let mut left = read.events.as_slice();
        for events in &made.events {
            if let Some(rest) = left.strip_prefix(events.as_slice()) {
                left = rest;
            }
        }
        assert!(left.is_empty(), "events that nobody recorded");
        // One place is spoiled: it costs two blocks at most.
        assert!(read.blocks + 2 >= made.events.len());
    }
}

#[test]
fn a_block_that_comes_twice_counts_once() {
    let made = made(3, 5, 1);
    let doubled = [&made.bytes[..made.ends[1]], &made.bytes[made.ends[0]..]].concat();
    let read = read(&doubled);
    assert_eq!(read.events, made.events.concat());
    assert!(matches!(
        read.notices[..],
        [Notice {
            foreign: Some(_),
            missing: 0,
            ..
        }]
    ));
}

#[test]
fn a_lost_block_is_missed_by_its_number() {
    let made = made(4, 5, 1);
    let holed = [&made.bytes[..made.ends[0]], &made.bytes[made.ends[2]..]].concat();
    let read = read(&holed);
    assert_eq!(read.blocks, 2);
    assert!(matches!(
        read.notices[..],
        [Notice {
            missing: 2,
            damaged: None,
            ..
        }]
    ));
}

#[test]
fn traces_can_follow_each_other_but_leftovers_of_another_are_left_out() {
    let (one, two) = (made(3, 5, 1), made(3, 5, 2));
    let both = [&one.bytes[..], &two.bytes[..]].concat();
    assert!(read(&both).is_clean());
    assert_eq!(read(&both).blocks, 6);
    let mixed = [&one.bytes[..], &two.bytes[two.ends[0]..]].concat();
    assert_eq!(read(&mixed).events, one.events.concat());
    assert!(!read(&mixed).is_clean());
}

#[test]
fn zeros_at_the_end_are_a_torn_tail_but_in_the_middle_damage() {
    let made = made(3, 5, 1);
    let behind = [&made.bytes[..], &[0; 5000]].concat();
    assert!(
        matches!(read(&behind).notices[..], [Notice { torn: Some(span), .. }] if span.bytes == 5000)
    );
    let between = [
        &made.bytes[..made.ends[0]],
        &[0; 5000],
        &made.bytes[made.ends[0]..],
    ]
    .concat();
    assert!(
        matches!(read(&between).notices[..], [Notice { damaged: Some(span), .. }] if span.bytes == 5000)
    );
    assert_eq!(read(&between).blocks, 3);
}

#[test]
fn a_growing_file_gives_each_block_once_it_is_whole() {
    struct Growing<'a> {
        bytes: &'a [u8],
        there: std::rc::Rc<std::cell::Cell<usize>>,
    }
    impl std::io::Read for Growing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = buffer.len().min(self.there.get());
            let (now, later) = self.bytes.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.bytes = later;
            self.there.set(self.there.get() - count);
            Ok(count)
        }
    }
    let made = made(3, 5, 1);
    let there = std::rc::Rc::default();
    let mut scanner = Scanner::new(
        Growing {
            bytes: &made.bytes,
            there: std::rc::Rc::clone(&there),
        },
        0,
    );
    let mut blocks = 0;
    for written in 1..=made.bytes.len() {
        there.set(1);
        while scanner.next().expect("memory does not fail").is_some() {
            blocks += 1;
        }
        assert_eq!(
            blocks,
            made.ends.iter().filter(|end| **end <= written).count()
        );
    }
    assert_eq!(scanner.rest(), None);
}

#[test]
fn one_hole_gives_one_notice() {
    let made = made(5, 5, 1);
    let mut spoiled = made.bytes.clone();
    spoiled[made.ends[0] + 200..made.ends[1] + 200].fill(7);
    let text = match &read(&spoiled).notices[..] {
        [notice] => notice.to_string(),
        notices => panic!("{notices:?}"),
    };
    assert!(
        text.contains("damaged bytes") && text.contains("2 blocks are missing"),
        "{text}"
    );
}

#[test]
fn windows_of_the_flight_recorder_that_overlap_or_lie_apart_are_whole() {
    let made = made(10, 3, 1);
    let start = |seq| {
        let mut builder = Builder::new().expect("memory");
        let flags = flag::START | flag::WINDOW;
        builder
            .seal(&Seal {
                flags,
                trace_id: [1; 16],
                seq,
                ..Seal::default()
            })
            .bytes
            .to_vec()
    };
    let blocks = |from: usize, to: usize| made.bytes[made.ends[from - 1]..made.ends[to]].to_vec();
    let overlap = [start(0), blocks(1, 5), start(2), blocks(3, 7)].concat();
    let read_back = read(&overlap);
    assert_eq!(read_back.events, made.events[1..=7].concat());
    assert!(read_back.is_clean(), "{:?}", read_back.notices);
    let apart = [start(0), blocks(1, 2), start(6), blocks(7, 9)].concat();
    assert!(read(&apart).is_clean());
    assert_eq!(read(&apart).events.len(), 5 * 3);
    // A hole within a window is one.
    let holed = [start(0), blocks(1, 2), blocks(5, 6)].concat();
    assert_eq!(read(&holed).notices.len(), 1);
}
