//! What each word means that the tool can print: errnos, causes, reasons, states, grades. Pure: tables, and how a
//! word is found in them.
//!
//! One file per kind of word. The causes of a report are made of its table of rules, so that nothing is said twice.

mod device;
mod drop;
mod drop_in;
mod drop_other;
mod drop_out;
mod drop_socket;
mod entry;
mod errno;
mod errno_caller;
mod errno_path;
mod errno_room;
mod event_kind;
mod field;
mod owner;
mod reset;
mod retransmit;
mod tcp_state;
#[cfg(test)]
mod tests;
mod verdict;

pub use entry::{Entry, Kind};

use tracer_model::errno::distance;

/// Words of a pasted text that are looked up.
const WORDS: usize = 64;

/// Every entry, in the order of its kinds.
pub fn all() -> Vec<Entry> {
    let tables = [
        retransmit::TABLE,
        device::TABLE,
        reset::TABLE,
        tcp_state::TABLE,
        owner::TABLE,
        event_kind::TABLE,
        field::TABLE,
        verdict::TABLE,
    ];
    let errnos = errno::entries().map(|entry| Entry {
        number: tracer_model::errno::parse(&entry.word).ok(),
        ..entry.clone()
    });
    let mut all: Vec<Entry> = errnos
        .chain(verdict::causes())
        .chain(tables.into_iter().flatten().cloned())
        .chain(drop::entries())
        .collect();
    all.sort_by_key(|entry| entry.kind);
    all
}

/// Everything that a word means; empty when it means nothing. Upper and lower case are alike, and so are `-` and `_`.
pub fn of(word: &str) -> Vec<Entry> {
    let asked = normal(word);
    let mut found = all();
    found.retain(|entry| {
        let name = normal(&entry.word);
        name == asked
            || long_forms(entry.kind).any(|prefix| asked.strip_prefix(prefix) == Some(&name))
    });
    if let Some(errno) = errno::of(&asked)
        && !found.iter().any(|entry| entry.kind == Kind::Errno)
    {
        found.insert(0, errno);
    }
    let mut prefixes = long_forms(Kind::DropReason);
    let reason = prefixes.find_map(|prefix| asked.strip_prefix(prefix));
    let reason = reason.unwrap_or(&asked);
    if found.is_empty() {
        found.extend(drop::by_form(reason));
    }
    if found.is_empty() && close(word).is_empty() {
        found.extend(drop::by_prefix(reason));
    }
    found
}

/// Everything that is known of what somebody pasted: a message with an errno in it, a whole line of `live`.
pub fn of_text(text: &str) -> Vec<Entry> {
    let error = crate::applog::error(text).and_then(|number| errno::of(&number.to_string()));
    let mut found: Vec<Entry> = error.into_iter().collect();
    let words = text.split(|c: char| c.is_whitespace() || ",;()[]\"".contains(c));
    for word in words.take(WORDS) {
        // rto=224ms, SYN_SENT→CLOSE
        let parts = word.split(['=', '→', ':']).map(str::trim);
        for part in
            parts.filter(|part| part.len() > 1 && !part.starts_with(|c: char| c.is_ascii_digit()))
        {
            let meanings = of(part).into_iter();
            found.extend(
                meanings
                    .filter(|entry| !found.contains(entry))
                    .collect::<Vec<_>>(),
            );
        }
    }
    found
}

/// Prefixes that the kernel's own names have and the tool leaves out.
fn long_forms(kind: Kind) -> impl Iterator<Item = &'static str> {
    let prefixes: &[&str] = match kind {
        Kind::DropReason => &["SKB_DROP_REASON_", "SKB_"],
        Kind::ResetReason => &["SK_RST_REASON_"],
        Kind::TcpState => &["TCP_"],
        Kind::CongestionState => &["TCP_CA_"],
        _ => &[],
    };
    prefixes.iter().copied()
}

/// Up to three words that may have been meant.
pub fn close(word: &str) -> Vec<String> {
    let asked = normal(word);
    if asked.len() < 3 || asked.len() > 40 {
        return Vec::new();
    }
    let allowed = match asked.len() {
        3..6 => 1,
        6..12 => 2,
        _ => 3,
    };
    let mut close: Vec<(bool, usize, String)> = all()
        .into_iter()
        .filter_map(|entry| {
            let name = normal(&entry.word);
            let starts = name.starts_with(&asked) || name[1..].starts_with(&asked);
            let edits = distance(&asked, &name);
            (starts || edits <= allowed).then(|| (!starts, edits, entry.word.into_owned()))
        })
        .collect();
    close.sort();
    close.dedup_by(|a, b| a.2.eq_ignore_ascii_case(&b.2));
    close.into_iter().take(3).map(|(_, _, word)| word).collect()
}

fn normal(word: &str) -> String {
    word.trim().to_ascii_uppercase().replace('-', "_")
}
