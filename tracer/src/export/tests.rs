//! What other tools read, read back.

#[cfg(feature = "parquet")]
mod parquet;
mod pcapng;

use jiff::tz::TimeZone;

use super::Source;
use super::csv::{Csv, quote};
use super::row::COLUMNS;
use crate::render::Clock;
use tracer_model::event::{Event, Owner};
use tracer_model::testing::{self, Rng};

fn clock() -> Clock {
    Clock {
        wall_minus_boot_ns: 1_795_000_000_000_000_000,
        zone: TimeZone::UTC,
    }
}

fn events(count: usize) -> Vec<Event> {
    let mut rng = Rng::new(7);
    (0..count).map(|_| testing::event(&mut rng)).collect()
}

/// Reads CSV as RFC 4180 has it; `None` is a field of nothing at all.
fn parse(text: &str) -> Vec<Vec<Option<String>>> {
    let mut records = vec![Vec::new()];
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        let mut field = None;
        if chars.next_if_eq(&'"').is_some() {
            let mut quoted = String::new();
            loop {
                match chars.next().expect("the quote is closed") {
                    '"' if chars.next_if_eq(&'"').is_some() => quoted.push('"'),
                    '"' => break,
                    c => quoted.push(c),
                }
            }
            field = Some(quoted);
        } else {
            while let Some(c) = chars.next_if(|c| !",\r".contains(*c)) {
                assert!(c != '"' && c != '\n', "{c:?} without quotes");
                field.get_or_insert_with(String::new).push(c);
            }
        }
        records.last_mut().expect("one").push(field);
        match chars.next() {
            Some(',') => {}
            Some('\r') => {
                assert_eq!(chars.next(), Some('\n'));
                records.push(Vec::new());
            }
            other => panic!("{other:?} behind a field"),
        }
    }
    assert_eq!(records.pop(), Some(Vec::new()), "the last line ends too");
    records
}

fn csv(events: &[Event], escaped: bool) -> Vec<Vec<Option<String>>> {
    let clock = clock();
    let mut out = Vec::new();
    let mut csv = Csv::new(&mut out, escaped).expect("memory");
    for event in events {
        let source = Source {
            event,
            clock: &clock,
            host: Some("db1"),
        };
        csv.event(&source).expect("memory");
    }
    parse(&String::from_utf8(out).expect("UTF-8"))
}

fn column(name: &str) -> usize {
    let found = COLUMNS.iter().position(|column| column.name == name);
    found.unwrap_or_else(|| panic!("no column {name}"))
}

#[test]
fn every_column_has_one_name_and_stands_in_the_docs() {
    let docs = include_str!("../../../docs/export.md");
    for (index, one) in COLUMNS.iter().enumerate() {
        assert_eq!(column(one.name), index, "{} comes twice", one.name);
        assert!(docs.contains(&format!("`{}`", one.name)), "{}", one.name);
    }
}

#[test]
fn every_line_of_csv_has_every_column() {
    let events = events(2000);
    let lines = csv(&events, false);
    let names: Vec<_> = COLUMNS
        .iter()
        .map(|column| Some(column.name.to_owned()))
        .collect();
    assert_eq!(lines[0], names);
    assert_eq!(lines.len(), events.len() + 1);
    for (line, event) in lines[1..].iter().zip(&events) {
        assert_eq!(line.len(), COLUMNS.len());
        assert_eq!(line[column("boot_ns")], Some(event.boot_ns.to_string()));
        assert_eq!(line[column("event")].as_deref(), Some(event.kind().name()));
        let pid = event.owner.pid.map(|pid| pid.to_string());
        assert_eq!(line[column("owner_pid")], pid);
    }
}

#[test]
fn names_that_break_out_of_csv_come_back_as_they_were() {
    let hostile = [
        "a,b",
        "\"",
        "\"\"",
        "a\r\nb",
        "\n",
        "",
        " ",
        "x\"",
        ",",
        "=1+1",
        "\u{1b}[31m",
        "größer",
    ];
    let mut events = events(hostile.len());
    for (event, name) in events.iter_mut().zip(hostile) {
        event.owner = Owner {
            comm: Some(name.into()),
            cgroup: None,
            ..Owner::default()
        };
    }
    let lines = csv(&events, false);
    for (line, name) in lines[1..].iter().zip(hostile) {
        assert_eq!(line[column("owner_comm")].as_deref(), Some(name));
        assert_eq!(line[column("owner_cgroup")], None, "missing is not empty");
    }
    let lines = csv(&events, true);
    for line in &lines[1..] {
        let name = line[column("owner_comm")].as_deref().unwrap_or_default();
        assert!(!name.contains(char::is_control), "{name:?} on a terminal");
    }
}

#[test]
fn a_field_is_quoted_only_where_it_must_be() {
    let quoted = |text: &str| {
        let mut line = String::new();
        quote(&mut line, text);
        line
    };
    assert_eq!(quoted("batchd"), "batchd");
    assert_eq!(quoted("a b"), "a b");
    assert_eq!(quoted(""), "\"\"");
    assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    assert_eq!(quoted("a,b"), "\"a,b\"");
}

#[test]
fn a_time_is_exact_and_in_utc() {
    let mut event = events(1).remove(0);
    event.boot_ns = 123_456_789;
    let lines = csv(&[event], false);
    assert_eq!(
        lines[1][column("time")].as_deref(),
        Some("2026-11-18T11:06:40.123456789Z")
    );
    assert_eq!(
        lines[1][column("time_ns")].as_deref(),
        Some("1795000000123456789")
    );
}
