//! Parquet, read back with another half of the same crate: what other readers make of it is in docs/export.md.

use std::fs::File;

use ::parquet::basic::Compression;
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::record::Field;

use super::{clock, column, events};
use crate::export::Source;
use crate::export::parquet::{GROUP_ROWS, Parquet};
use crate::export::row::{COLUMNS, Value};
use tracer_model::event::Event;

fn written(events: &[Event]) -> SerializedFileReader<File> {
    let clock = clock();
    let file = tempfile::tempfile().expect("a file");
    let mut parquet = Parquet::new(file.try_clone().expect("twice")).expect("room");
    for event in events {
        let source = Source {
            event,
            clock: &clock,
            host: None,
        };
        parquet.event(&source).expect("room");
    }
    let facts = [("sendtrace.totals", "{}".to_owned())];
    parquet.finish(&facts).expect("room");
    SerializedFileReader::new(file).expect("a whole file")
}

fn expected(source: &Source<'_>, value: &Value) -> Field {
    let field = match value {
        Value::Time(value) => value(source).map(|ns| Field::TimestampMicros(ns.div_euclid(1000))),
        Value::Integer(value) => value(source).map(Field::Long),
        Value::Flag(value) => value(source).map(Field::Bool),
        Value::Text(value) => value(source).map(|text| Field::Str(text.into_owned())),
    };
    field.unwrap_or(Field::Null)
}

#[test]
fn every_field_of_every_event_comes_back() {
    let events = events(5000);
    let reader = written(&events);
    let clock = clock();
    let rows = reader.get_row_iter(None).expect("rows");
    let mut count = 0;
    for (row, event) in rows.zip(&events) {
        let row = row.expect("a row");
        let source = Source {
            event,
            clock: &clock,
            host: None,
        };
        for ((name, field), column) in row.get_column_iter().zip(COLUMNS) {
            assert_eq!(name, column.name);
            assert_eq!(
                *field,
                expected(&source, &column.value),
                "{name} of {event:?}"
            );
        }
        count += 1;
    }
    assert_eq!(count, events.len());
}

#[test]
fn groups_are_bounded_compressed_and_packed_by_dictionary() {
    let one = events(1).remove(0);
    let mut many: Vec<_> = std::iter::repeat_n(one, GROUP_ROWS + 1).collect();
    for (index, event) in many.iter_mut().enumerate() {
        event.owner.pid = Some(1000 + index as u32 % 3);
    }
    let reader = written(&many);
    let file = reader.metadata();
    let rows: Vec<_> = file
        .row_groups()
        .iter()
        .map(|group| group.num_rows())
        .collect();
    assert_eq!(rows, [GROUP_ROWS as i64, 1]);
    let event_kind = file.row_group(0).column(column("event"));
    assert!(matches!(event_kind.compression(), Compression::ZSTD(_)));
    assert!(event_kind.dictionary_page_offset().is_some());
    let facts = file.file_metadata().key_value_metadata().expect("facts");
    assert!(facts.iter().any(|fact| fact.key == "sendtrace.totals"));
}

#[test]
fn many_long_names_make_shorter_groups() {
    let mut many = events(3000);
    for (index, event) in many.iter_mut().enumerate() {
        event.owner.cgroup = Some(format!("/{index:04000}"));
    }
    let reader = written(&many);
    assert!(reader.num_row_groups() > 1);
    assert_eq!(reader.get_row_iter(None).expect("rows").count(), many.len());
}

#[test]
fn no_events_are_a_whole_file_too() {
    let reader = written(&[]);
    assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    let schema = reader.metadata().file_metadata().schema_descr();
    assert_eq!(schema.num_columns(), COLUMNS.len());
}
