//! Times as people type them: `03:14`, `2026-11-22T03:14`, `-3h`, `10m ago`.
//!
//! Read on the command line ([`When::parse`]), understood later, when the trace is known
//! ([`When::resolve`], [`range`]). Pure: the present is an argument.

use std::fmt;
use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::{DateTimeParser, Pieces};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// A time as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `now`: the present.
    Now,
    /// With a zone of its own, or seconds since 1970: the same whatever the trace.
    At(Timestamp),
    /// A date, with or without a time of day (midnight), in the zone of the trace.
    Local(DateTime),
    /// A time of day: of the first day on which it lies in the trace, in the zone of the trace.
    TimeOfDay(Time),
    /// `-3h`, `10m ago`: before the end of the trace, or before the present while it is followed.
    BeforeEnd(Duration),
    /// `+5m`: after the first event of the trace.
    AfterStart(Duration),
}

/// What a time is understood against.
#[derive(Clone, Debug)]
pub struct Context {
    /// The zone of the host that recorded the trace.
    pub zone: TimeZone,
    /// Wall time at which the trace begins.
    pub first: Timestamp,
    /// Wall time at which it ends, as far as it is written.
    pub last: Timestamp,
    /// The present.
    pub now: Timestamp,
    /// The trace is still being written and followed, so its end is the present.
    pub follow: bool,
}

/// Whoever asks for 11:30 means a trace that begins at 11:30:22 as well.
const SHORTLY: SignedDuration = SignedDuration::from_hours(1);

const EXPECTED: &str = "expected a time, for example 03:14, 03:14:15.5, 2026-11-22, 2026-11-22T03:14, \
                        2026-11-22T03:14:15+09:00, -3h, \"10m ago\", +5m, now or @1763780055";

static PARSER: DateTimeParser = DateTimeParser::new();

impl When {
    /// Reads a time.
    ///
    /// # Errors
    /// What was expected, with examples.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("now") {
            return Ok(Self::Now);
        }
        let read = match text.as_bytes() {
            [b'@', ..] => epoch(&text[1..]).map(Self::At),
            [b'-', ..] => span(&text[1..]).map(Self::BeforeEnd),
            [b'+', ..] => span(&text[1..]).map(Self::AfterStart),
            _ => None
                .or_else(|| before_end(text))
                .or_else(|| time_of_day(text))
                .or_else(|| date_and_time(text)),
        };
        read.ok_or_else(|| EXPECTED.to_owned())
    }

    /// The point in time that is meant.
    ///
    /// # Errors
    /// When a time of day lies nowhere in the trace (the message says the trace's span), or when the result is
    /// beyond the years −9999 to 9999.
    pub fn resolve(self, context: &Context) -> Result<Timestamp, String> {
        self.resolve_from(context, context.first)
    }

    /// A time of day is looked for from `earliest` on.
    fn resolve_from(self, context: &Context, earliest: Timestamp) -> Result<Timestamp, String> {
        let found = match self {
            Self::Now => Some(context.now),
            Self::At(time) => Some(time),
            Self::Local(time) => context.zone.to_timestamp(time).ok(),
            Self::TimeOfDay(time) => return on_its_day(time, context, earliest),
            Self::BeforeEnd(span) => {
                let end = if context.follow {
                    context.now
                } else {
                    context.last
                };
                end.checked_sub(span).ok()
            }
            Self::AfterStart(span) => context.first.checked_add(span).ok(),
        };
        found.ok_or_else(|| format!("{self} is no time between the years -9999 and 9999"))
    }
}

/// Understands `--since` and `--until` together: a time of day as the end is the first one after the beginning.
///
/// # Errors
/// As [`When::resolve`], with the flag in front, and when the end is not after the beginning.
pub fn range(
    since: Option<When>,
    until: Option<When>,
    context: &Context,
) -> Result<(Option<Timestamp>, Option<Timestamp>), String> {
    let from = since
        .map(|since| {
            since
                .resolve(context)
                .or_else(|why| before_start(since, context).ok_or(why))
                .map_err(|why| format!("--since: {why}"))
        })
        .transpose()?;
    let earliest = from.unwrap_or(context.first).max(context.first);
    let to = until
        .map(|until| {
            until
                .resolve_from(context, earliest)
                .map_err(|why| format!("--until: {why}"))
        })
        .transpose()?;
    match (from, to) {
        (Some(from), Some(to)) if to <= from => Err(format!(
            "--until ({}) is not after --since ({}); the trace goes {}",
            shown(to, &context.zone),
            shown(from, &context.zone),
            context.span()
        )),
        both => Ok(both),
    }
}

impl Context {
    /// `from 2026-11-22T22:00:00+09:00 to …`.
    fn span(&self) -> String {
        format!(
            "from {} to {}",
            shown(self.first, &self.zone),
            shown(self.last, &self.zone)
        )
    }
}

fn shown(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone())
        .strftime("%Y-%m-%dT%H:%M:%S%:z")
        .to_string()
}

/// A time of day shortly before the trace begins, on the day on which it begins: all of it is wanted.
fn before_start(since: When, context: &Context) -> Option<Timestamp> {
    let When::TimeOfDay(time) = since else {
        return None;
    };
    let day = context.first.to_zoned(context.zone.clone()).date();
    let at = context.zone.to_timestamp(day.to_datetime(time)).ok()?;
    let early = context.first.duration_since(at);
    (early >= SignedDuration::ZERO && early <= SHORTLY).then_some(at)
}

/// The first such time of day from `earliest` to the end of the trace; a followed trace has no end.
fn on_its_day(time: Time, context: &Context, earliest: Timestamp) -> Result<Timestamp, String> {
    let first_day = earliest.to_zoned(context.zone.clone()).date();
    // One day is enough unless the time was over on the first; a third for zones that skip a day.
    let days = std::iter::successors(Some(first_day), |day| day.tomorrow().ok()).take(3);
    days.filter_map(|day| context.zone.to_timestamp(day.to_datetime(time)).ok())
        .find(|found| *found >= earliest && (context.follow || *found <= context.last))
        .ok_or_else(|| {
            let after = if earliest > context.first {
                format!(" after {}", shown(earliest, &context.zone))
            } else {
                String::new()
            };
            format!(
                "{time} is nowhere in the trace{after}, which goes {}; give a date too, for example {}",
                context.span(),
                first_day.to_datetime(time)
            )
        })
}

/// Seconds since 1970-01-01 UTC, with up to nine digits behind the point.
fn epoch(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// `10m ago`.
fn before_end(text: &str) -> Option<When> {
    let span_text = text.strip_suffix("ago")?;
    span_text.ends_with(' ').then_some(())?;
    span(span_text.trim_end()).map(When::BeforeEnd)
}

/// The durations of all flags.
fn span(text: &str) -> Option<Duration> {
    let span = humantime::parse_duration(text).ok()?;
    SignedDuration::try_from(span).is_ok().then_some(span)
}

/// `03:14`, `3:14`, `03:14:15`, `03:14:15.123`.
fn time_of_day(text: &str) -> Option<When> {
    let colon = text.find(':').filter(|colon| (1..=2).contains(colon))?;
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b":.".contains(&byte))
    {
        return None;
    }
    let padding = if colon == 1 { "0" } else { "" };
    let time = PARSER.parse_time(format!("{padding}{text}")).ok()?;
    Some(When::TimeOfDay(time))
}

/// `2026-11-22`, with `T03:14` or ` 03:14` and so on, and then `Z` or an offset.
fn date_and_time(text: &str) -> Option<When> {
    // No names of zones: which one is meant would depend on this machine.
    if text.contains('[') || !text.is_ascii() {
        return None;
    }
    // One form of dates, the one with hyphens.
    if text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    let pieces = Pieces::parse(text).ok()?;
    let time = pieces
        .date()
        .to_datetime(pieces.time().unwrap_or(Time::midnight()));
    match pieces.to_numeric_offset() {
        Some(offset) => at(time, offset),
        None => Some(When::Local(time)),
    }
}

fn at(time: DateTime, offset: Offset) -> Option<When> {
    offset.to_timestamp(time).ok().map(When::At)
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::At(time) => time.fmt(f),
            Self::Local(time) => time.fmt(f),
            Self::TimeOfDay(time) => time.fmt(f),
            Self::BeforeEnd(span) => write!(f, "-{}", humantime::format_duration(*span)),
            Self::AfterStart(span) => write!(f, "+{}", humantime::format_duration(*span)),
        }
    }
}

#[cfg(test)]
mod tests;
