use clap::error::ErrorKind;

use std::time::Duration;

use super::values::{comm, remote, size};
use super::*;
use tracer_model::event::EventKind;
use tracer_model::filter::{self, Proto};

mod traces;

fn live(arguments: &str) -> Result<Live, clap::Error> {
    let words = ["sendtrace", "live"]
        .into_iter()
        .chain(arguments.split_whitespace());
    match Cli::try_parse_from(words)?.command {
        Command::Live(live) => Ok(live),
        _ => panic!("not live"),
    }
}

fn filters(arguments: &str) -> Filters {
    live(arguments).unwrap().filters.filters
}

#[test]
fn the_types_make_a_sound_command_line() {
    Cli::command().debug_assert();
}

#[test]
fn live_without_arguments_has_the_documented_defaults() {
    let live = live("").unwrap();
    assert_eq!(live.filters, LiveFilters::default());
    let (capture, printed) = (live.capture, live.printed);
    assert_eq!((capture.rate, capture.ring), (5000, 8 << 20));
    assert_eq!(capture.look_ups, 5);
    assert_eq!((printed.format, printed.color), (Format::Text, Color::Auto));
    assert_eq!((capture.duration, capture.count), (None, None));
    assert!(!capture.would_block && !printed.utc);
}

#[test]
fn every_option_of_live_is_read() {
    let live = live(
        "--duration 1m30s --count 7 --format json --rate 10 --ring 64K --would-block --look-ups 50 --color never --utc",
    )
    .unwrap();
    assert_eq!(live.capture.duration, Some(Duration::from_secs(90)));
    assert_eq!(
        (live.capture.count, live.capture.rate, live.capture.ring),
        (Some(7), 10, 65536)
    );
    assert_eq!(
        (live.printed.format, live.printed.color),
        (Format::Json, Color::Never)
    );
    assert!(live.capture.would_block && live.printed.utc);
    assert_eq!(live.capture.look_ups, 50);
}

#[test]
fn doctor_takes_a_format_and_no_filter() {
    let cli = Cli::try_parse_from(["sendtrace", "doctor", "--format", "json"]).unwrap();
    assert!(matches!(
        cli.command,
        Command::Doctor(Doctor {
            format: Format::Json,
            ..
        })
    ));
    assert!(Cli::try_parse_from(["sendtrace", "doctor", "--pid", "1"]).is_err());
}

#[test]
fn filters_can_be_repeated_and_separated_by_commas() {
    assert_eq!(filters("--pid 1,2 --pid 3").pid, [1, 2, 3]);
    assert_eq!(
        filter::Filters::from(&filters("--port 80,443,8000-8002")).port,
        [80, 443, 8000, 8001, 8002]
    );
    assert_eq!(filters("--proto TCP,unix").proto, [Proto::Tcp, Proto::Unix]);
    assert_eq!(
        filters("--event retransmit,send_error").event,
        [EventKind::Retransmit, EventKind::SendError]
    );
    assert_eq!(filters("--errno ECOMM,32").errno, [70, 32]);
    assert_eq!(filters("--comm a --comm b,c").comm.len(), 3);
    assert_eq!(filters("--remote 10.0.0.0/8,::1").remote.len(), 2);
}

#[test]
fn a_remote_is_an_address_or_a_network() {
    for (typed, read) in [
        ("10.0.0.12", "10.0.0.12/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
    ] {
        assert_eq!(remote(typed).unwrap().to_string(), read);
    }
}

#[test]
fn sizes_take_binary_units_in_any_case() {
    for (typed, bytes) in [
        ("0", 0),
        ("65536", 65536),
        ("64K", 65536),
        ("64k", 65536),
        ("64KiB", 65536),
        ("8M", 8 << 20),
        ("1G", 1 << 30),
    ] {
        assert_eq!(size(typed), Ok(bytes), "{typed}");
    }
    for typed in [
        "",
        "K",
        "-1",
        "1.5M",
        "8T",
        "8 M",
        "18446744073709551615K",
        "99999999999999999999",
    ] {
        assert!(size(typed).is_err(), "{typed}");
    }
}

#[test]
fn a_name_of_15_bytes_fits_and_any_byte_may_be_in_it() {
    assert_eq!(comm(b"123456789012345").unwrap().0, *b"123456789012345\0");
    assert_eq!(comm(b"\xff").unwrap().0[..2], [0xff, 0]);
}

#[test]
fn wrong_values_say_in_one_line_what_was_expected() {
    let cases = [
        (
            "--pid nginx",
            "expected a process id, for example 4242; for a process name use --comm",
        ),
        ("--pid 0", "expected a process id"),
        ("--pid 4294967295", "expected a process id"),
        (
            "--comm 1234567890123456",
            "the kernel cuts names at 15 bytes: use \"123456789012345\"",
        ),
        ("--comm=", "expected a process name, for example batchd"),
        (
            "--port 0",
            "expected a port from 1 to 65535, for example 443",
        ),
        ("--port 65536", "expected a port from 1 to 65535"),
        ("--port http", "expected a port from 1 to 65535"),
        (
            "--remote 10.0.0.0/33",
            "expected an address or a network in CIDR form, for example 10.0.0.12",
        ),
        ("--remote 10.0.0", "expected an address or a network"),
        ("--remote example", "expected an address or a network"),
        (
            "--proto tpc",
            "[possible values: tcp, udp, udplite, sctp, icmp, raw, unix, packet, netlink, can]",
        ),
        (
            "--event retransmits",
            "expected one of retransmit, send_error, drop, device, reset, connection",
        ),
        ("--event lost", "lost events are always shown: leave it out"),
        ("--errno ECOM", "did you mean ECOMM"),
        ("--errno 0", "range"),
        ("--errno 576", "range"),
        (
            "--duration 30",
            "expected a number with a unit, for example 30s, 5m or 1h30m",
        ),
        ("--duration soon", "expected a number with a unit"),
        ("--duration 0s", "a duration longer than 0 is needed"),
        (
            "--count 0",
            "expected a whole number above 0, for example 100",
        ),
        ("--count -1", "unexpected argument '-1'"),
        ("--rate many", "expected a whole number above 0"),
        ("--ring 32K", "expected a size from 64K to 1G"),
        ("--ring 2G", "expected a size from 64K to 1G"),
        (
            "--ring big",
            "expected bytes, or a number with K, M or G, for example 64K or 8M",
        ),
        ("--look-ups 0", "0 is not in 1..=100"),
        ("--format xml", "[possible values: text, json]"),
        ("--color blue", "[possible values: auto, always, never]"),
        ("--follow", "--pid <PID>"),
        ("--cgroup=", "a value is required for '--cgroup <PATH>'"),
        ("--netns=", "a value is required for '--netns <NETNS>'"),
    ];
    for (arguments, expected) in cases {
        let error = live(arguments).expect_err(arguments);
        let text = error.to_string();
        assert!(text.contains(expected), "{arguments}: {text}");
        assert_eq!(error.exit_code(), 2, "{arguments}");
    }
}

#[test]
fn a_combination_that_makes_no_sense_ends_like_any_wrong_usage() {
    let error = Cli::usage_error("these two exclude each other");
    assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
    assert_eq!(error.exit_code(), 2);
    assert!(
        error
            .to_string()
            .starts_with("error: these two exclude each other")
    );
}

#[test]
fn the_help_names_units_examples_and_every_event_kind() {
    let error = live("--help").unwrap_err();
    assert_eq!(error.exit_code(), 0);
    let help = error.to_string();
    for word in [
        "Examples:",
        "Units:",
        "64K",
        "1h30m",
        "--would-block",
        "Filters:",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
    for event_kind in EventKind::ALL
        .into_iter()
        .filter(|event_kind| *event_kind != EventKind::Lost)
    {
        assert!(help.contains(event_kind.name()), "{event_kind}");
    }
    assert!(
        help.lines().all(|line| line.chars().count() <= 100),
        "{help}"
    );
}

#[test]
fn habits_of_other_tools_work_or_get_the_line_that_says_what_to_type_instead() {
    assert_eq!(live("--json").unwrap().printed.format, Format::Json);
    assert!(live("--json --format text").is_err());
    assert_eq!(
        live("-p 7 -c 3 -e reset -v").unwrap().capture.count,
        Some(3)
    );
    assert!(Cli::try_parse_from(["sendtrace", "replay", "-r", "night.trace"]).is_ok());
    for (typed, instead) in [
        ("-i eth0", "--netns"),
        ("-n", "leave it out"),
        ("host 10.0.0.1 and port 80", "--remote"),
        ("port 80", "--port"),
    ] {
        let error = live(typed).unwrap_err();
        let line = words::instead(&error).unwrap_or_else(|| panic!("{typed}: {error}"));
        assert!(line.contains(instead), "{typed}: {line}");
    }
    assert_eq!(words::instead(&live("--nonsense").unwrap_err()), None);
}

#[test]
fn a_port_range_has_two_ends_in_order() {
    for typed in ["80-", "-80", "90-80", "0-5", "80-70000", "80-90-100"] {
        assert!(live(&format!("--port={typed}")).is_err(), "{typed}");
    }
}

#[test]
fn every_shell_gets_completions_and_every_command_a_manual_page() {
    use clap::ValueEnum as _;
    for shell in clap_complete::Shell::value_variants() {
        let name = shell.to_string();
        let cli = Cli::try_parse_from(["sendtrace", "completions", name.as_str()]).unwrap();
        let Command::Completions(asked) = cli.command else {
            panic!("not completions")
        };
        let script = String::from_utf8(asked.script().unwrap()).unwrap();
        assert!(
            script.contains("would-block") && script.contains("selftest"),
            "{name}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    write_manual(folder.path()).unwrap();
    for page in ["sendtrace", "sendtrace-live", "sendtrace-report"] {
        let text = std::fs::read_to_string(folder.path().join(format!("{page}.8"))).unwrap();
        for part in [".SH NAME", ".SH OPTIONS", ".SH NOTES", "Examples:"] {
            assert!(text.contains(part), "{page} has no {part}: {text}");
        }
    }
    assert!(!folder.path().join("sendtrace-exec-helper.8").exists());
}
