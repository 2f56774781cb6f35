//! The commands of traces. They are read here through parsers of their own.

use std::path::{Path, PathBuf};

use clap::Parser;

use super::*;
use tracer_model::when::When;

#[derive(Parser, Debug)]
#[command(name = "sendtrace", max_term_width = 100)]
struct Wrapped<A: Args> {
    #[command(flatten)]
    args: A,
}

/// Each argument as a word of its own; blanks inside of one are written as `_`.
fn parse<A: Args>(arguments: &str) -> Result<A, clap::Error> {
    let words = arguments
        .split_whitespace()
        .map(|word| word.replace('_', " "));
    let words = std::iter::once("sendtrace".to_string()).chain(words);
    Wrapped::try_parse_from(words).map(|wrapped| wrapped.args)
}

fn record(arguments: &str) -> Record {
    parse(arguments).unwrap()
}

fn replay(arguments: &str) -> Replay {
    parse(arguments).unwrap()
}

fn export(arguments: &str) -> Export {
    parse(arguments).unwrap()
}

fn info(arguments: &str) -> Info {
    parse(arguments).unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_types_of_trace_commands_make_sound_command_lines() {
    Wrapped::<Record>::command().debug_assert();
    Wrapped::<Replay>::command().debug_assert();
    Wrapped::<Export>::command().debug_assert();
    Wrapped::<Info>::command().debug_assert();
}

#[test]
fn record_has_the_documented_defaults() {
    let record = record("-w a.trace");
    assert_eq!(record.write, Path::new("a.trace"));
    let capture = live("").unwrap().capture;
    let ring = 64 << 20;
    assert_eq!(record.capture, CaptureArgs { ring, ..capture });
    assert_eq!(record.sync, 10 * SECOND);
    assert_eq!(record.samples_every(), Some(10 * SECOND));
    assert_eq!((record.before, record.after), (300 * SECOND, 120 * SECOND));
    assert_eq!(record.memory, 64 << 20);
    assert_eq!((record.rotate_size, record.rotate_every), (None, None));
    assert_eq!(
        (record.keep_size, record.keep_for, record.min_free),
        (None, None, None)
    );
    assert_eq!((record.exec.as_deref(), record.trigger.len()), (None, 0));
    assert_eq!(record.printed(), None);
    assert!(!record.to_stdout() && !record.to_folder());
    assert_eq!(record.check(), Ok(()));
}

#[test]
fn every_option_of_record_is_read() {
    let rotated = record(
        "--write dir --rotate-size 1M --rotate-every 1h --keep-size 10G --keep-for 7d --min-free 2G --sync 1s \
         --samples 1m --duration 8h --count 5 --rate 10 --ring 64K --would-block --pid 1 --follow --event drop",
    );
    assert!(rotated.to_folder());
    assert_eq!(rotated.check(), Ok(()));
    assert_eq!(
        (rotated.rotate_size, rotated.keep_size),
        (Some(1 << 20), Some(10 << 30))
    );
    assert_eq!(rotated.rotate_every, Some(3600 * SECOND));
    assert_eq!(rotated.keep_for, Some(7 * 86_400 * SECOND));
    assert_eq!((rotated.min_free, rotated.sync), (Some(2 << 30), SECOND));
    assert_eq!(rotated.samples_every(), Some(60 * SECOND));
    assert_eq!((rotated.capture.rate, rotated.capture.count), (10, Some(5)));
    assert!(rotated.filters.follow && rotated.capture.would_block);
    assert_eq!(rotated.filters.filters.event, [EventKind::Drop]);

    let flight = record(
        "-w dir --trigger errno=ECOMM --trigger retransmit_rate>200/s --before 1m --after 10s --memory 16M \
         --exec mail_root --no-samples --print --format json --color never --utc",
    );
    assert!(flight.to_folder());
    let expressions: Vec<_> = flight.trigger.iter().map(|t| t.expression()).collect();
    assert_eq!(expressions, ["errno=ECOMM", "retransmit rate>200/s"]);
    assert_eq!((flight.before, flight.after), (60 * SECOND, 10 * SECOND));
    assert_eq!(
        (flight.memory, flight.exec.as_deref()),
        (16 << 20, Some(std::ffi::OsStr::new("mail root")))
    );
    assert_eq!(flight.samples_every(), None);
    let printed = flight.printed().unwrap();
    assert_eq!(
        (printed.format, printed.color, printed.utc),
        (Format::Json, Color::Never, true)
    );
    assert!(record("-w -").to_stdout() && !record("-w ./-").to_stdout());
}

#[test]
fn what_of_record_makes_no_sense_together_is_wrong_usage() {
    for (arguments, expected) in [
        ("", "--write <PATH>"),
        (
            "night.trace",
            "record takes the path with -w: sendtrace record -w night.trace",
        ),
        (
            "-w a b",
            "record takes the path with -w: sendtrace record -w b",
        ),
        (
            "-w d --keep-size 1G",
            "--rotate-size <SIZE>|--rotate-every <T>",
        ),
        (
            "-w d --keep-for 1d",
            "--rotate-size <SIZE>|--rotate-every <T>",
        ),
        ("-w d --before 1m", "--trigger <EXPR>"),
        ("-w d --after 1m", "--trigger <EXPR>"),
        ("-w d --memory 1M", "--trigger <EXPR>"),
        ("-w d --exec true", "--trigger <EXPR>"),
        (
            "-w d --trigger drop --rotate-size 1G",
            "cannot be used with",
        ),
        (
            "-w d --trigger drop --rotate-every 1h",
            "cannot be used with",
        ),
        ("-w d --samples 5s --no-samples", "cannot be used with"),
        ("-w d --format json", "--print"),
        ("-w d --color always", "--print"),
        ("-w d --utc", "--print"),
        ("-w d --follow", "--pid <PID>"),
        (
            "-w d --rotate-size 64K",
            "expected 1M or more, for example 256M or 10G",
        ),
        (
            "-w d --rotate-size big",
            "expected bytes, or a number with K, M or G",
        ),
        ("-w d --trigger drop --memory 64K", "expected 1M or more"),
        (
            "-w d --rotate-every 10ms",
            "expected a second or more, for example 10s or 5m",
        ),
        ("-w d --samples 1ms", "expected a second or more"),
        ("-w d --sync 0s", "a duration longer than 0 is needed"),
        ("-w d --trigger errno=ECOM", "did you mean ECOMM"),
        ("-w d --trigger drops", "\"drops\": expected an event kind"),
    ] {
        let error = parse::<Record>(arguments).expect_err(arguments);
        let text = error.to_string();
        assert!(text.contains(expected), "{arguments}: {text}");
        assert_eq!(error.exit_code(), 2, "{arguments}");
    }
    for (arguments, expected) in [
        ("-w - --print", "-w - and --print would mix"),
        ("-w - --rotate-size 1G", "which standard output is not"),
        ("-w - --rotate-every 1h", "which standard output is not"),
        ("-w - --trigger drop", "which standard output is not"),
        (
            "-w d --rotate-size 1G --keep-size 1G",
            "must be larger than --rotate-size",
        ),
    ] {
        let error = record(arguments).check().expect_err(arguments);
        assert!(error.contains(expected), "{arguments}: {error}");
    }
}

#[test]
fn replay_has_the_documented_defaults() {
    let replay = replay("a.trace b.trace -");
    assert_eq!(replay.paths, ["a.trace", "b.trace", "-"].map(PathBuf::from));
    assert_eq!(
        (replay.since, replay.until, replay.count),
        (None, None, None)
    );
    assert_eq!((replay.speed, replay.aggregate), (Speed::Max, None));
    assert!(!replay.follow && !replay.strict && !replay.samples);
    assert_eq!(replay.printed, Printed::default());
    assert_eq!(replay.filters, Filters::default());
    assert_eq!(replay.check(), Ok(()));
}

#[test]
fn every_option_of_replay_is_read() {
    let replay = replay(
        "a --since -3h --until 10m_ago --speed 0.5 --follow --strict --aggregate=10s --samples --format json \
         --color never --utc --count 3 --errno ECOMM --netns 4026531840",
    );
    assert_eq!(replay.since, Some(When::BeforeEnd(10_800 * SECOND)));
    assert_eq!(replay.until, Some(When::BeforeEnd(600 * SECOND)));
    assert_eq!(replay.speed, Speed::Times(0.5));
    assert_eq!(replay.aggregate, Some(Some(10 * SECOND)));
    assert!(replay.follow && replay.strict && replay.samples && replay.printed.utc);
    assert_eq!(
        (replay.count, replay.printed.format),
        (Some(3), Format::Json)
    );
    assert_eq!(replay.filters.errno, [70]);
}

#[test]
fn aggregation_takes_no_path_for_its_time() {
    let replay = replay("--aggregate night.trace");
    assert_eq!(replay.aggregate, Some(None));
    assert_eq!(replay.paths, [PathBuf::from("night.trace")]);
}

#[test]
fn to_follow_a_trace_needs_no_pid_and_following_children_is_for_live() {
    assert!(replay("a --follow").follow);
    assert!(live("--pid 1 --follow").unwrap().filters.follow);
    assert!(live("--follow").is_err());
}

#[test]
fn export_and_info_are_read() {
    let night = export("a b --to pcapng -o out --since 03:10 --until 03:20 --event retransmit");
    assert_eq!((night.paths.len(), night.to), (2, Target::Pcapng));
    assert_eq!(night.output, Path::new("out"));
    assert!(night.since.is_some() && night.until.is_some() && !night.to_stdout());
    assert_eq!(night.filters.event, [EventKind::Retransmit]);
    assert!(export("- --to csv -o -").to_stdout());
    let read = info("a --format json --strict");
    assert!(read.strict && read.format == Format::Json);
    assert!(!info("a").strict && info("a").check().is_ok());
}

#[test]
fn what_readers_of_traces_cannot_do_is_wrong_usage() {
    let text = |error: clap::Error| {
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    for (arguments, expected) in [
        ("", "<PATH>..."),
        ("a --since yesterday", "expected a time, for example 03:14"),
        ("a --until --strict", "expected a time, for example 03:14"),
        ("a --speed fast", "expected max, or how many times"),
        ("a --speed 0", "expected max"),
        ("a --speed -1", "unexpected argument '-1'"),
        ("a --speed inf", "expected max"),
        ("a --speed NaN", "expected max"),
        ("a --aggregate=often", "expected a number with a unit"),
        ("a --count 0", "expected a whole number above 0"),
        ("a --write b", "unexpected argument '--write'"),
    ] {
        let error = text(parse::<Replay>(arguments).expect_err(arguments));
        assert!(error.contains(expected), "{arguments}: {error}");
    }
    for (arguments, expected) in [
        ("a --to csv", "--output <OUT>"),
        ("a -o b", "--to <FORMAT>"),
        (
            "a -o b --to xml",
            "[possible values: parquet, pcapng, jsonl, csv]",
        ),
        ("-o b --to csv", "<PATH>..."),
    ] {
        let error = text(parse::<Export>(arguments).expect_err(arguments));
        assert!(error.contains(expected), "{arguments}: {error}");
    }
    assert!(text(parse::<Info>("").unwrap_err()).contains("<PATH>..."));
    assert!(replay("- -").check().unwrap_err().contains("given twice"));
    assert!(export("- - --to csv -o b").check().is_err());
    assert!(info("- -").check().is_err());
}

#[test]
fn the_help_of_trace_commands_shows_examples_and_says_what_filters_mean_there() {
    fn help<A: Args>() -> String {
        let error = parse::<A>("--help").map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 0);
        let help = error.to_string();
        assert!(help.contains("Examples:"), "{help}");
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
        // Wrapped lines in one piece.
        help.split_whitespace().collect::<Vec<_>>().join(" ")
    }
    let record = help::<Record>();
    for word in [
        "Disk:",
        "Triggers:",
        "rate>N/T",
        "SIGUSR1",
        "1h30m",
        "pid:N",
        "Filters:",
        "--follow",
    ] {
        assert!(record.contains(word), "{word}: {record}");
    }
    for help in [help::<Replay>(), help::<Export>()] {
        for word in [
            "every process that had this number",
            "flow.netns",
            "owner.cgroup",
            "-10m",
        ] {
            assert!(help.contains(word), "{word}: {help}");
        }
        assert!(
            !help.contains("pid:N") && !help.contains("off unless"),
            "{help}"
        );
    }
    assert!(help::<Replay>().contains("before the end of the trace"));
    help::<Info>();
}

#[test]
fn a_report_without_a_path_is_of_what_is_piped_in() {
    let report: Report = parse("").unwrap();
    assert_eq!(report.paths, [Path::new("-")]);
    let report: Report = parse("a.trace b.trace").unwrap();
    assert_eq!(report.paths, [Path::new("a.trace"), Path::new("b.trace")]);
}
