//! An application's log beside a trace: which of its lines has which evidence in the kernel. Pure: no clock, no I/O.
//!
//! [`Lines`] takes the lines of the log, one by one, and keeps those that speak of a failure: with an errno or a
//! retry. [`SocketIndex`] takes the events of the trace. [`AppLog::new`] finds how far the two clocks are apart
//! ([`Offset`]) and matches by time, destination, process and errno ([`Found`]). A line that fits several sockets is
//! said to, and one that fits none too: nothing is guessed.

mod clock;
mod fields;
mod matching;
mod parse;
mod socket_index;
#[cfg(test)]
mod tests;
mod time;
mod words;

pub use clock::Offset;
pub use fields::Fields;
pub use matching::{Found, Matched};
pub(crate) use parse::error;
pub use parse::{Entry, LONGEST, Named};
pub use socket_index::{Fact, FactKind, SocketFacts, SocketIndex};
pub use time::LogTime;

use jiff::tz::TimeZone;

/// Lines that are kept: about 30 MiB.
const ENTRIES: usize = 100_000;
/// Lines that a timeline shows at most.
pub const IN_TIMELINE: usize = 200;
/// A line may stand so long outside of the recording and still be about it, nanoseconds.
const AROUND_NS: i64 = matching::BEFORE_NS;

/// Takes the lines of a log.
#[derive(Debug)]
pub struct Lines {
    fields: Fields,
    zone: TimeZone,
    entries: Vec<Entry>,
    counts: Counts,
}

/// What a log consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub lines: u64,
    /// Lines that can be read but speak of no failure.
    pub without_failure: u64,
    pub bad: u64,
    /// The number of the first of them, from 1, and why.
    pub first_bad: Option<(u64, &'static str)>,
    /// Times without a zone, taken in that of the trace.
    pub local_times: u64,
    /// Lines beyond the bound.
    pub left_out: u64,
    /// Lines from before or after the recording.
    pub outside: u64,
}

impl Lines {
    /// `zone` is for times that have none.
    pub fn new(fields: Fields, zone: TimeZone) -> Self {
        Self {
            fields,
            zone,
            entries: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes a line, with or without its end.
    pub fn line(&mut self, bytes: &[u8]) {
        self.counts.lines += 1;
        match parse::line(self.counts.lines, bytes, &self.fields, &self.zone) {
            Ok(None) => {}
            Ok(Some(entry)) => self.keep(entry),
            Err(why) => self.bad(why),
        }
    }

    /// A line was longer than [`LONGEST`].
    pub fn too_long(&mut self) {
        self.counts.lines += 1;
        self.bad("is longer than 64 KiB");
    }

    fn bad(&mut self, why: &'static str) {
        self.counts.bad += 1;
        self.counts
            .first_bad
            .get_or_insert((self.counts.lines, why));
    }

    fn keep(&mut self, entry: Entry) {
        self.counts.local_times += u64::from(entry.time.local);
        let retried = entry.retry.is_some_and(|(number, _)| number > 0);
        if entry.errno.is_none() && !retried {
            self.counts.without_failure += 1;
        } else if self.entries.len() < ENTRIES {
            self.entries.push(entry);
        } else {
            self.counts.left_out += 1;
        }
    }
}

/// A log, with the evidence of its lines.
#[derive(Debug)]
pub struct AppLog {
    /// As the user named it.
    pub name: String,
    pub counts: Counts,
    pub offset: Offset,
    /// In the order of time.
    pub matched: Vec<Matched>,
    pub socket_index: SocketIndex,
}

impl AppLog {
    /// Matches a log with a trace. `span` is what the trace covers, nanoseconds of the wall clock; `given` is how far
    /// the log's clock is ahead, where the user knows.
    pub fn new(
        name: String,
        lines: Lines,
        socket_index: SocketIndex,
        span: Option<(i64, i64)>,
        given: Option<i64>,
    ) -> Self {
        let Lines {
            mut entries,
            mut counts,
            ..
        } = lines;
        let offset = given.map_or_else(|| clock::estimate(&entries, &socket_index), Offset::Given);
        entries.retain(|entry| {
            let wall_ns = entry.time.ns.saturating_sub(offset.ns());
            let inside = span.is_some_and(|(first, last)| {
                (first.saturating_sub(AROUND_NS)..=last.saturating_add(AROUND_NS))
                    .contains(&wall_ns)
            });
            counts.outside += u64::from(!inside);
            inside
        });
        let matched = matching::all(entries, &socket_index, &offset);
        Self {
            name,
            counts,
            offset,
            matched,
            socket_index,
        }
    }

    /// The lines for a timeline, in the order of time: index of the trace, time, words.
    pub fn timeline(&self) -> impl Iterator<Item = (usize, i64, String)> {
        let shown = self.matched.iter().take(IN_TIMELINE);
        shown.map(|one| {
            // A time that is cut to milliseconds comes after what happened within that millisecond.
            let cut_ns = match one.entry.time.precision_ns {
                cut_ns @ 1..=1_000_000 => cut_ns - 1,
                _ => 0,
            };
            let wall_ns = one.wall_ns.saturating_add(cut_ns);
            match one.found {
                Found::Socket { index, .. } => {
                    let socket = &self.socket_index.sockets[index];
                    let words = format!("{} [{}]", one.words, words::whose(socket));
                    (socket.trace, wall_ns, words)
                }
                _ => (0, wall_ns, one.words.clone()),
            }
        })
    }

    /// Lines with evidence, lines with several sockets, and lines with nothing.
    pub fn found(&self) -> [usize; 3] {
        let mut found = [0; 3];
        for one in &self.matched {
            let index = match one.found {
                Found::Socket { .. } => 0,
                Found::Ambiguous { .. } => 1,
                Found::Nothing => 2,
            };
            found[index] += 1;
        }
        found
    }

    /// What is said of the two clocks.
    pub fn clock_words(&self) -> String {
        let seconds = |ns: i64| format!("{:.3} s", ns.unsigned_abs() as f64 / 1e9);
        let ahead = |ns: i64| {
            let way = if ns < 0 { "behind" } else { "ahead of" };
            format!("the log's clock is {} {way} that of the trace", seconds(ns))
        };
        match &self.offset {
            Offset::Given(0) => "the clocks are the same, as given".to_owned(),
            Offset::Given(ns) => format!("{}, as given", ahead(*ns)),
            Offset::Same { matches, median_ns } => format!(
                "the clocks agree: {matches} errors are in both, {} apart at the median",
                seconds(*median_ns)
            ),
            Offset::Estimated {
                offset_ns,
                matches,
                spread_ns,
            } => format!(
                "{}: estimated as the median of {matches} errors that are in both, which differ by {} at most; \
                 --app-log-offset says otherwise",
                ahead(*offset_ns),
                seconds(*spread_ns)
            ),
            Offset::Assumed { matches } => format!(
                "the clocks are taken to be the same: {matches} errors agree, and an estimate needs 3 and most of \
                 them; --app-log-offset says otherwise"
            ),
            Offset::Unclear => {
                "the clocks are taken to be the same, although several offsets fit equally well; \
                 --app-log-offset says otherwise"
                    .to_owned()
            }
        }
    }
}
