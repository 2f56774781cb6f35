use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A night at UTC+9: from 22:00 on the 22nd to 06:00 on the 23rd.
fn night() -> Context {
    Context {
        zone: TimeZone::fixed(Offset::constant(9)),
        first: at("2026-11-22T22:00:00+09:00"),
        last: at("2026-11-23T06:00:00+09:00"),
        now: at("2026-11-25T12:00:00+09:00"),
        follow: false,
    }
}

fn resolved(text: &str, context: &Context) -> Timestamp {
    When::parse(text).unwrap().resolve(context).unwrap()
}

#[test]
fn every_form_of_the_help_is_read() {
    let cases = [
        ("03:14", "2026-11-23T03:14:00+09:00"),
        ("3:14", "2026-11-23T03:14:00+09:00"),
        ("03:14:15.5", "2026-11-23T03:14:15.5+09:00"),
        ("23:59:59", "2026-11-22T23:59:59+09:00"),
        ("2026-11-22", "2026-11-22T00:00:00+09:00"),
        ("2026-11-22T03:14", "2026-11-22T03:14:00+09:00"),
        ("2026-11-22 03:14", "2026-11-22T03:14:00+09:00"),
        ("2026-11-22T03:14:15.123", "2026-11-22T03:14:15.123+09:00"),
        ("2026-11-22T03:14Z", "2026-11-22T03:14:00Z"),
        ("2026-11-22 03:14:15-05:30", "2026-11-22T03:14:15-05:30"),
        (
            "2026-11-22T03:14:15.123456789+09:00",
            "2026-11-22T03:14:15.123456789+09:00",
        ),
        ("-3h", "2026-11-23T03:00:00+09:00"),
        ("-1h30m", "2026-11-23T04:30:00+09:00"),
        ("10m ago", "2026-11-23T05:50:00+09:00"),
        ("1h 5m ago", "2026-11-23T04:55:00+09:00"),
        ("+5m", "2026-11-22T22:05:00+09:00"),
        ("now", "2026-11-25T12:00:00+09:00"),
        (" NOW ", "2026-11-25T12:00:00+09:00"),
        ("@1763780055", "2025-11-22T02:54:15Z"),
        ("@1763780055.25", "2025-11-22T02:54:15.25Z"),
    ];
    for (typed, meant) in cases {
        assert_eq!(resolved(typed, &night()), at(meant), "{typed}");
    }
}

#[test]
fn what_is_no_time_is_told_every_form() {
    for typed in [
        "",
        "yesterday",
        "3",
        "0314",
        "03:60",
        "25:00",
        "03:14x",
        "T03:14",
        "2026-13-01",
        "20261122",
        "2026-11-31",
        "2026-11-22T",
        "2026-11-22Tx",
        "2026-11-22T03:14+99:00",
        "11/22",
        "-",
        "+",
        "-3",
        "- 3",
        "3h",
        "ago",
        "10mago",
        "-3h ago",
        "@",
        "@x",
        "@-5",
        "@1.",
        "@1.1234567890",
        "@99999999999999",
        "2026-11-22T03:14[Asia/Tokyo]",
        "03:14Z",
        "٠3:14",
        "-99999999999999999999h",
        "\u{1b}[31m",
    ] {
        assert_eq!(When::parse(typed), Err(EXPECTED.to_owned()), "{typed:?}");
    }
}

#[test]
fn a_time_of_day_is_looked_for_in_the_zone_of_the_trace() {
    let mut context = night();
    context.zone = TimeZone::UTC;
    // The night is 13:00 to 21:00 in UTC.
    assert_eq!(resolved("14:00", &context), at("2026-11-22T14:00:00Z"));
    assert!(When::parse("03:14").unwrap().resolve(&context).is_err());
}

#[test]
fn the_edges_of_a_trace_belong_to_it() {
    assert_eq!(resolved("22:00", &night()), night().first);
    assert_eq!(resolved("06:00", &night()), night().last);
}

#[test]
fn a_time_of_day_that_the_trace_does_not_reach_is_told_the_span() {
    let error = When::parse("12:30").unwrap().resolve(&night()).unwrap_err();
    assert_eq!(
        error,
        "12:30:00 is nowhere in the trace, which goes from 2026-11-22T22:00:00+09:00 to \
         2026-11-23T06:00:00+09:00; give a date too, for example 2026-11-22T12:30:00"
    );
}

#[test]
fn of_several_days_the_first_counts() {
    let mut context = night();
    context.last = at("2026-11-29T06:00:00+09:00");
    assert_eq!(resolved("03:14", &context), at("2026-11-23T03:14:00+09:00"));
    assert_eq!(resolved("22:30", &context), at("2026-11-22T22:30:00+09:00"));
}

#[test]
fn the_end_of_a_range_comes_after_its_beginning() {
    let mut context = night();
    context.first = at("2026-11-22T04:00:00+09:00");
    context.last = at("2026-11-25T04:00:00+09:00");
    let read = |since: &str, until: &str| {
        range(When::parse(since).ok(), When::parse(until).ok(), &context)
    };
    // 05:00 of the first day would come before 03:14 of the second.
    assert_eq!(
        read("03:14", "05:00"),
        Ok((
            Some(at("2026-11-23T03:14:00+09:00")),
            Some(at("2026-11-23T05:00:00+09:00"))
        ))
    );
    assert_eq!(
        read("2026-11-24T10:00", "03:14").unwrap().1,
        Some(at("2026-11-25T03:14:00+09:00"))
    );
    let error = read("-1h", "-2h").unwrap_err();
    assert!(error.starts_with("--until (2026-11-25T02:00:00+09:00) is not after --since"));
    let error = read("-1h", "-1h").unwrap_err();
    assert!(error.contains("is not after"), "{error}");
    let error = read("2026-11-25T03:30", "03:14").unwrap_err();
    assert!(
        error.starts_with(
            "--until: 03:14:00 is nowhere in the trace after 2026-11-25T03:30:00+09:00"
        ),
        "{error}"
    );
    assert_eq!(range(None, None, &context), Ok((None, None)));
    // Before the trace began is before the trace began, whatever the day.
    assert_eq!(
        read("2020-01-01", "05:00").unwrap().1,
        Some(at("2026-11-22T05:00:00+09:00"))
    );
}

#[test]
fn a_followed_trace_ends_at_the_present_and_its_end_may_come() {
    let mut context = night();
    context.follow = true;
    context.now = at("2026-11-23T06:00:30+09:00");
    assert_eq!(resolved("-30s", &context), context.last);
    assert_eq!(resolved("07:00", &context), at("2026-11-23T07:00:00+09:00"));
}

#[test]
fn a_time_that_a_clock_change_skipped_or_repeated_is_still_one_time() {
    let Ok(zone) = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3") else {
        panic!("the rule of a zone is not read");
    };
    let context = |first: &str, last: &str| Context {
        zone: zone.clone(),
        first: at(first),
        last: at(last),
        now: at(last),
        follow: false,
    };
    // 02:30 does not exist on 2026-03-29: as far behind the gap as it would be in it.
    let spring = context("2026-03-28T22:00:00+01:00", "2026-03-29T08:00:00+02:00");
    assert_eq!(resolved("02:30", &spring), at("2026-03-29T03:30:00+02:00"));
    // 02:30 comes twice on 2026-10-25: the first one.
    let autumn = context("2026-10-24T22:00:00+02:00", "2026-10-25T08:00:00+01:00");
    assert_eq!(resolved("02:30", &autumn), at("2026-10-25T02:30:00+02:00"));
    assert_eq!(
        resolved("2026-10-25T02:30+01:00", &autumn),
        at("2026-10-25T02:30:00+01:00")
    );
}

#[test]
fn times_beyond_all_years_are_refused_and_do_no_harm() {
    let mut context = night();
    context.first = Timestamp::MIN;
    context.last = Timestamp::MAX;
    for typed in ["-20000y", "+29000y"] {
        let when = When::parse(typed).unwrap();
        let error = match typed.as_bytes()[0] {
            b'-' => when.resolve(&Context {
                last: Timestamp::MIN,
                ..context.clone()
            }),
            _ => when.resolve(&context),
        };
        assert!(
            error.unwrap_err().contains("no time between the years"),
            "{typed}"
        );
    }
    let _ = When::parse("03:14").unwrap().resolve(&context);
    context.first = Timestamp::MAX;
    let _ = When::parse("03:14").unwrap().resolve(&context);
}
