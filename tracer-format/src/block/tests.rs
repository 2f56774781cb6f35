use super::*;
use crate::layout::flag;
use crate::note::Gap;
use tracer_model::event::{CountedKind, EventKind, Holder};
use tracer_model::testing::{self, Rng};

fn opened(bytes: &[u8]) -> Block {
    let (header, payload) = bytes.split_first_chunk().expect("longer than a header");
    let header = Header::decode(header).expect("a header");
    assert_eq!(header.payload_bytes as usize, payload.len());
    assert_eq!(header.payload_crc, crc32c::crc32c(payload));
    Block::decode(header, payload.to_vec()).expect("a block")
}

fn events(block: &Block) -> Vec<Event> {
    let mut decoder = block.events().expect("columns");
    std::iter::from_fn(|| decoder.next().expect("an event")).collect()
}

fn seal() -> Seal {
    Seal {
        flags: flag::START,
        trace_id: [7; 16],
        seq: 3,
        sealed_boot_ns: 1 << 41,
        wall_minus_boot_ns: 5,
        clock_steps: 0,
    }
}

#[test]
fn every_event_comes_back_as_it_was() {
    let mut builder = Builder::new().expect("memory");
    // The builder is used again: nothing of a block may reach into the next.
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let count = rng.below(300);
        let written: Vec<Event> = (0..count).map(|_| testing::event(&mut rng)).collect();
        written.iter().for_each(|event| builder.event(event));
        let Sealed { header, bytes, .. } = builder.seal(&seal());
        let block = opened(&bytes);
        assert_eq!(block.header, header);
        assert_eq!(events(&block), written);
        let times = written.iter().map(|event| event.boot_ns);
        assert_eq!(header.first_boot_ns, times.clone().min().unwrap_or(1 << 41));
        assert_eq!(header.last_boot_ns, times.max().unwrap_or(1 << 41));
    }
}

#[test]
fn rows_agree_with_events() {
    let mut rng = Rng::new(42);
    let mut builder = Builder::new().expect("memory");
    let written: Vec<Event> = (0..500).map(|_| testing::event(&mut rng)).collect();
    written.iter().for_each(|event| builder.event(event));
    let bytes = builder.seal(&seal()).bytes;
    let block = opened(&bytes);
    let mut rows = block.rows().expect("columns");
    for event in &written {
        let row = rows.next().expect("a row").expect("not the end");
        assert_eq!((row.event_kind, row.boot_ns), (event.kind(), event.boot_ns));
        assert_eq!(row.count, event.count);
        assert_eq!(block.owners[row.owner], event.owner);
        assert_eq!(row.flow.map(|flow| &block.flows[flow]), event.flow.as_ref());
    }
    assert_eq!(rows.next(), Ok(None));
}

#[test]
fn notes_keep_their_place_among_the_events() {
    let mut rng = Rng::new(1);
    let mut builder = Builder::new().expect("memory");
    let gap = Note::Gap(Gap {
        blocks: 2,
        why: "no space left".to_owned(),
        ..Gap::default()
    });
    builder.event(&testing::event(&mut rng));
    builder.note(&gap);
    builder.event(&testing::event(&mut rng));
    let bytes = builder.seal(&seal()).bytes;
    assert_eq!(opened(&bytes).notes, [(1, gap)]);
}

#[test]
fn a_note_of_a_newer_tool_is_known_as_such() {
    let note: Note = serde_json::from_str(r#"{"note":"weather","boot_ns":1}"#).expect("JSON");
    assert!(matches!(note, Note::Unknown(all) if all["boot_ns"] == 1));
    let newer = r#"{"note":"anchor","boot_ns":1,"wall_ns":2,"why":"step","drift":3}"#;
    assert!(matches!(serde_json::from_str(newer), Ok(Note::Anchor(anchor)) if anchor.wall_ns == 2));
}

#[test]
fn what_was_counted_comes_back_with_its_owner_and_flow() {
    let mut rng = Rng::new(9);
    let event = testing::event(&mut rng);
    let counted = Counted {
        event_kind: EventKind::SendError,
        kind: CountedKind::WouldBlock,
        code: Some("EAGAIN".to_owned()),
        count: 12,
        bytes: None,
        first_boot_ns: Some(3),
        last_boot_ns: Some(4),
        owner: Some(event.owner),
        flow: event.flow,
    };
    let mut builder = Builder::new().expect("memory");
    builder.event(&testing::event(&mut rng));
    builder.counted(&counted);
    let bytes = builder.seal(&seal()).bytes;
    let block = opened(&bytes);
    let [(1, Note::Counted(row))] = block.notes.as_slice() else {
        panic!("{:?}", block.notes);
    };
    assert_eq!(block.counted(row), Some(counted));
}

#[test]
fn a_payload_that_was_altered_behind_its_checksum_never_panics() {
    let mut builder = Builder::new().expect("memory");
    let mut rng = Rng::new(5);
    (0..50).for_each(|_| builder.event(&testing::event(&mut rng)));
    let Sealed { header, bytes, .. } = builder.seal(&seal());
    let payload = &bytes[HEADER_BYTES..];
    for _ in 0..20_000 {
        let mut spoiled = payload.to_vec();
        for _ in 0..=rng.below(4) {
            let at = rng.below(spoiled.len() as u64) as usize;
            spoiled[at] = rng.any() as u8;
        }
        let Ok(block) = Block::decode(header, spoiled) else {
            continue;
        };
        if let Ok(mut decoder) = block.events() {
            while let Ok(Some(_)) = decoder.next() {}
        }
        if let Ok(mut rows) = block.rows() {
            while let Ok(Some(_)) = rows.next() {}
        }
    }
}

/// A block whose columns hold anything.
fn forged(events: u32, fill: impl FnOnce(&mut Writer)) -> Result<Block, Malformed> {
    let mut columns = Writer::new().expect("memory");
    fill(&mut columns);
    let header = Header {
        events,
        raw_bytes: columns.raw_bytes() as u32,
        ..Header::default()
    };
    let mut payload = Vec::new();
    columns.seal(&mut payload);
    Block::decode(header, payload)
}

fn with_notes(notes: &[&[u8]]) -> Result<Block, Malformed> {
    forged(0, |columns| {
        for json in notes {
            columns.number(Column::Notes, 0);
            columns.number(Column::Notes, json.len() as u64);
            columns.bytes(Column::Notes, json);
        }
    })
}

#[test]
fn notes_that_would_fill_the_memory_are_refused_before_they_are_read() {
    let too_long = [b"{\"note\":\"", &vec![b'a'; 1 << 20][..], b"\"}"].concat();
    let objects = format!("{{\"list\":[{}0]}}", "{\"\":0},".repeat(100_000));
    let numbers = format!("{{\"list\":[{}0]}}", "0,".repeat(400_000));
    let deep = format!("{{\"list\":{}{}}}", "[".repeat(100), "]".repeat(100));
    for json in [
        &too_long,
        objects.as_bytes(),
        numbers.as_bytes(),
        deep.as_bytes(),
    ] {
        assert!(with_notes(&[json]).is_err());
    }
    assert!(with_notes(&vec![&b"{}"[..]; 1_000_000]).is_err());
    // What stands in a string is no structure.
    let text = format!("{{\"text\":\"\\\"{}\"}}", "[{,".repeat(100_000));
    assert!(with_notes(&[text.as_bytes()]).is_ok());
}

#[test]
fn a_note_that_is_too_long_to_be_read_is_left_out_and_said() {
    let mut builder = Builder::new().expect("memory");
    let facts = [("text".to_owned(), "a".repeat(2 << 20).into())];
    builder.note(&Note::Header(facts.into_iter().collect()));
    let block = opened(&builder.seal(&seal()).bytes);
    let [(0, Note::Unknown(note))] = &block.notes[..] else {
        panic!("{:?}", block.notes);
    };
    assert_eq!(note["note"], "left_out");
}

#[test]
fn events_that_name_the_same_long_rows_again_and_again_are_refused() {
    let events = 100_000;
    let block = forged(events, |columns| {
        let name = [b'a'; 60_000];
        columns.number(Column::TextLengths, name.len() as u64);
        columns.bytes(Column::TextBytes, &name);
        columns.number(Column::OwnerGrade, 0);
        columns.number(Column::OwnerPid, 0);
        columns.number(Column::OwnerTid, 0);
        columns.number(Column::OwnerComm, 1);
        columns.number(Column::OwnerUid, 0);
        columns.number(Column::OwnerCgroup, 1);
        columns.number(Column::OwnerStarted, 0);
        columns.number(Column::OwnerWhy, 0);
        columns.number(Column::OwnerHolders, 0);
        for _ in 0..events {
            columns.number(Column::EventKind, kind_number(EventKind::Send));
            for column in [Column::Time, Column::Count, Column::Flow, Column::Owner] {
                columns.number(column, 0);
            }
            for column in [Column::SendRequested, Column::SendSent, Column::TcpThere] {
                columns.number(column, 0);
            }
        }
    });
    let mut decoder = block.expect("a block").events().expect("columns");
    let mut count = 0;
    while let Ok(Some(_)) = decoder.next() {
        count += 1;
    }
    assert!((1..20_000).contains(&count), "{count}");
}

#[test]
fn a_text_that_is_too_long_to_be_read_is_cut_between_two_characters() {
    let mut builder = Builder::new().expect("memory");
    let mut event = testing::event(&mut Rng::new(1));
    event.owner.cgroup = Some(format!("x{}", "é".repeat(100_000)));
    builder.event(&event);
    let block = opened(&builder.seal(&seal()).bytes);
    let read = &events(&block)[0].owner.cgroup;
    let read = read.as_deref().expect("a cgroup");
    assert_eq!(read.len(), tables::MOST_TEXT - 1);
    assert!(
        event
            .owner
            .cgroup
            .is_some_and(|whole| whole.starts_with(read))
    );
}

#[test]
fn holders_that_are_named_too_often_are_left_out_and_no_event_is() {
    let mut event = testing::event(&mut Rng::new(1));
    let holder = Holder {
        pid: 7,
        started_boot_ns: None,
        comm: None,
        fd: None,
    };
    event.owner.holders = vec![holder; 1000];
    let mut builder = Builder::new().expect("memory");
    (0..2000).for_each(|_| builder.event(&event));
    let read = events(&opened(&builder.seal(&seal()).bytes));
    assert_eq!((read.len(), &read[0]), (2000, &event));
    let last = &read[1999].owner;
    assert!(
        last.holders.is_empty()
            && last
                .why
                .as_deref()
                .is_some_and(|why| why.contains("too often"))
    );
    assert_eq!((last.pid, last.grade), (event.owner.pid, event.owner.grade));
}

#[test]
fn of_very_many_holders_the_first_are_listed_and_all_are_counted() {
    let mut event = testing::event(&mut Rng::new(1));
    let holder = |pid| Holder {
        pid,
        started_boot_ns: None,
        comm: None,
        fd: None,
    };
    event.owner.holders = (0..10_000).map(holder).collect();
    let mut builder = Builder::new().expect("memory");
    builder.event(&event);
    let read = events(&opened(&builder.seal(&seal()).bytes));
    let owner = &read[0].owner;
    assert_eq!(owner.holders[..], event.owner.holders[..4096]);
    assert!(
        owner
            .why
            .as_deref()
            .is_some_and(|why| why.starts_with("10000 processes"))
    );
}
