//! Samples and changes, as lines: what stood beside the events.
//!
//! In JSON a part that could not be read has no key; all else is as the trace has it. Text shows what means harm,
//! as far as a line goes.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::text::COLUMNS;
use super::{Clock, json};
use tracer_model::escape;
use tracer_model::samples::{
    Change, ChangeKind, Counts, Found, LinkChange, NeighbourChange, RouteChange, Sample,
    SocketSample, is_harm,
};

/// The JSON line of a sample.
pub fn sample_json(sample: &Sample, clock: &Clock) -> String {
    object("sample", sample, sample.boot_ns, clock)
}

/// The JSON line of a change.
pub fn change_json(change: &Change, clock: &Clock) -> String {
    object("change", change, change.boot_ns, clock)
}

fn object(kind: &str, of: &impl Serialize, boot_ns: u64, clock: &Clock) -> String {
    // These are plain structures with text keys: to write them cannot fail.
    let Ok(Value::Object(fields)) = serde_json::to_value(of) else {
        return String::new();
    };
    let mut entries = vec![
        ("type", kind.into()),
        ("time", clock.rfc3339(boot_ns).into()),
    ];
    entries.extend(
        fields
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone())),
    );
    json::line(&entries)
}

/// The line of a sample for people.
pub fn sample_text(sample: &Sample, clock: &Clock) -> String {
    let mut words = Vec::new();
    for counts in sample.counters.iter() {
        words.extend(harm_of_counters(counts));
    }
    for one in sample.interfaces.iter().flatten() {
        let harm = one.counters.iter().filter(|(name, _)| is_harm(name));
        words.extend(harm.map(|(name, delta)| format!("{} {name} +{delta}", one.name)));
    }
    for one in sample.qdiscs.iter().flatten() {
        let at = one.interface.clone();
        let at = at.unwrap_or_else(|| format!("ifindex {}", one.ifindex));
        let mut word = format!("{at} {} {}", one.kind, one.handle);
        for (name, delta) in [("drops", one.drops), ("requeues", one.requeues)] {
            if delta != 0 {
                _ = write!(word, " {name} +{delta}");
            }
        }
        if one.backlog_bytes != 0 {
            _ = write!(word, " backlog {} B", one.backlog_bytes);
        }
        if one.harm() != 0 || one.backlog_bytes != 0 {
            words.push(word);
        }
    }
    if let Some(softnet) = &sample.softnet {
        for (name, delta) in [
            ("dropped", softnet.dropped),
            ("time_squeeze", softnet.time_squeeze),
        ] {
            if delta != 0 {
                words.push(format!("softnet {name} +{delta}"));
            }
        }
    }
    words.extend(sample.sockets.iter().map(socket));
    if !sample.unread.is_empty() {
        let parts: Vec<_> = sample.unread.keys().map(String::as_str).collect();
        words.insert(0, format!("not read: {}", parts.join(" ")));
    }
    if words.is_empty() {
        words.push("no drops, errors or retransmissions".to_owned());
    }
    #[allow(clippy::cast_precision_loss)]
    let seconds = sample.interval_ns as f64 / 1e9;
    line(
        "sample",
        sample.boot_ns,
        clock,
        &format!("{seconds:.1} s:"),
        &words,
    )
}

/// The line of a change for people, much as `ip monitor` prints it.
pub fn change_text(change: &Change, clock: &Clock) -> String {
    let what = words_of(change);
    line("change", change.boot_ns, clock, change.what.name(), &[what])
}

/// The same without a time.
pub fn change_words(change: &Change) -> String {
    format!("{} {}", change.what.name(), words_of(change))
}

fn words_of(change: &Change) -> String {
    match &change.what {
        ChangeKind::Link(change) => link(change),
        ChangeKind::Address(change) => format!(
            "{} {}{}{}",
            change.action.name(),
            change.address,
            device(change.interface.as_deref(), Some(change.ifindex)),
            change
                .flags
                .iter()
                .fold(String::new(), |text, flag| text + " " + flag)
        ),
        ChangeKind::Route(change) => route_change(change),
        ChangeKind::Neighbour(change) => neighbour(change),
        ChangeKind::Lost(lost) => {
            let count = lost
                .count
                .map_or_else(|| "some".to_owned(), |count| count.to_string());
            let of = lost
                .of
                .as_deref()
                .map_or_else(String::new, |of| format!(" of {of}"));
            format!("{count} changes{of} ({})", lost.why)
        }
        ChangeKind::Unknown(_) => "of a kind that this version does not know".to_owned(),
    }
}

/// What a person would look for first, then every other counter that grows only when something went wrong.
fn harm_of_counters(counts: &Counts) -> Vec<String> {
    const FIRST: [&str; 6] = [
        "Tcp.RetransSegs",
        "TcpExt.TCPTimeouts",
        "TcpExt.TCPAbortOnTimeout",
        "Tcp.AttemptFails",
        "Tcp.EstabResets",
        "TcpExt.ListenDrops",
    ];
    const WORDS: [&str; 13] = [
        "Err", "Drop", "Fail", "Timeout", "Retrans", "Overflow", "Abort", "NoRoute", "Discard",
        "Pressure", "Unreach", "Pruned", "NoPorts",
    ];
    let first = FIRST.iter().filter_map(|name| counts.get_key_value(*name));
    let others = counts.iter().filter(|(name, _)| {
        !FIRST.contains(&name.as_str()) && WORDS.iter().any(|word| name.contains(word))
    });
    let all = first.chain(others);
    all.map(|(name, delta)| format!("{name} +{delta}"))
        .collect()
}

fn socket(one: &SocketSample) -> String {
    let mut text = format!("{} → {}", one.local, one.remote);
    let found = match one.found {
        Found::Yes | Found::TimeWait => one.state.as_deref().unwrap_or("TIME_WAIT"),
        Found::Other => "is another socket now",
        Found::NotFound => "is gone",
        Found::OtherNetns => "is in another namespace",
        Found::Unknown => "unknown",
    };
    _ = write!(text, " {found}");
    if let Some(bytes) = one.send_queue_bytes {
        _ = write!(text, " Send-Q {bytes}");
    }
    if let Some(lost) = one.tcp.as_ref().and_then(|tcp| tcp.lost_segments) {
        _ = write!(text, " lost {lost}");
    }
    text
}

fn link(change: &LinkChange) -> String {
    let mut text = change.action.name().to_owned();
    text += &device(change.interface.as_deref(), Some(change.ifindex));
    if let Some(state) = &change.operstate {
        _ = write!(text, " {state}");
    }
    _ = write!(text, " <{}>", change.flags.join(","));
    if let Some(mtu) = change.mtu {
        _ = write!(text, " mtu {mtu}");
    }
    if !change.changed.is_empty() {
        _ = write!(text, " (changed: {})", change.changed.join(", "));
    }
    text
}

fn route_change(change: &RouteChange) -> String {
    format!("{} {}", change.action.name(), change.route)
}

fn neighbour(change: &NeighbourChange) -> String {
    let mut text = change.address.clone();
    text += &device(change.interface.as_deref(), Some(change.ifindex));
    if let Some(address) = &change.link_address {
        _ = write!(text, " lladdr {address}");
    }
    _ = write!(text, " {}", change.state);
    let was = [&change.link_address_was, &change.state_was];
    let was: Vec<_> = was.into_iter().flatten().map(String::as_str).collect();
    if !was.is_empty() {
        _ = write!(text, " (was {})", was.join(" "));
    }
    text
}

fn device(name: Option<&str>, index: Option<u32>) -> String {
    match (name, index) {
        (Some(name), _) => format!(" dev {name}"),
        (None, Some(index)) => format!(" ifindex {index}"),
        (None, None) => String::new(),
    }
}

/// A line with as many of the words as fit, and how many more there are. The words may hold anything.
fn line(kind: &str, boot_ns: u64, clock: &Clock, start: &str, words: &[String]) -> String {
    let time = clock
        .time_of_day(boot_ns)
        .unwrap_or_else(|| "--:--:--.---".to_owned());
    let mut text = format!("{time} {kind:<10} {start}");
    // "; +1234 more"
    const MORE: usize = 12;
    for (number, word) in words.iter().enumerate() {
        let word = escape::name(word.as_bytes());
        let between = if number == 0 { " " } else { "; " };
        let rest = words.len() - number - 1;
        let room = COLUMNS - if rest == 0 { 0 } else { MORE };
        let room = room.saturating_sub(escape::width(&text) + between.len());
        if number == 0 {
            _ = write!(text, "{between}{}", escape::shorten(&word, room));
        } else if escape::width(&word) <= room {
            _ = write!(text, "{between}{word}");
        } else {
            _ = write!(text, "; +{} more", rest + 1);
            break;
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
