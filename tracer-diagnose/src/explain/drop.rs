//! Reasons of drops. Names and numbers are the running kernel's (`enum skb_drop_reason`) and differ from kernel
//! to kernel, so these tables go by name; a reason that they do not have gets a general answer.
//!
//! Reasons that are alike share where they come from, what they point to and what to do: a [`Group`].

use std::borrow::Cow;

use super::entry::{Entry, Kind};
use super::{drop_in, drop_other, drop_out, drop_socket};
use crate::rule::Layer;

/// Reasons of one sort.
pub struct Group {
    pub from: &'static str,
    pub points_to: Option<Layer>,
    pub not_layer: Option<&'static str>,
    pub next: &'static str,
    pub worse: Option<&'static str>,
    /// Name and meaning.
    pub reasons: &'static [(&'static str, &'static str)],
}

/// The reasons of the kernels from 5.17 to 7.x.
pub fn entries() -> impl Iterator<Item = Entry> {
    let groups = [drop_socket::GROUPS, drop_in::GROUPS, drop_out::GROUPS]
        .into_iter()
        .flatten();
    groups.flat_map(|group| {
        let reasons = group.reasons.iter();
        reasons.map(|(word, means)| of_group(group, Cow::Borrowed(*word), means))
    })
}

fn of_group(group: &'static Group, word: Cow<'static, str>, means: &'static str) -> Entry {
    Entry {
        word,
        from: Some(group.from),
        points_to: group.points_to,
        not_layer: group.not_layer,
        next: Some(group.next),
        worse: group.worse,
        ..Entry::new(Kind::DropReason, "", means)
    }
}

/// Reasons of a subsystem (`QDISC:2`), numbers without a name (`reason_77`), and names that a newer kernel may
/// have: known by their form or first word. `word` is in upper case.
pub fn by_form(word: &str) -> Option<Entry> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (subsystem, number) = word.split_once(':').unwrap_or((word, "0"));
    for group in drop_other::SUBSYSTEMS {
        for (name, means) in group.reasons {
            if *name == subsystem && digits(number) {
                return Some(of_group(group, word.to_owned().into(), means));
            }
        }
    }
    if word.strip_prefix("REASON_").is_some_and(digits) {
        let word = word.to_ascii_lowercase();
        return Some(of_group(
            &drop_other::NUMBER,
            word.into(),
            drop_other::NUMBER_MEANS,
        ));
    }
    None
}

/// The general answer for a word that looks like a reason of a subsystem of the kernel: `TCP_SOMETHING_NEW`.
pub fn by_prefix(word: &str) -> Option<Entry> {
    let known = drop_other::PREFIXES.iter();
    let mut known = known.filter(|(prefix, _)| {
        let rest = word
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('_'));
        rest.is_some_and(|rest| rest.len() > 2 && rest.bytes().all(is_of_a_name))
    });
    let (_, means) = known.next()?;
    Some(of_group(&drop_other::NEW, word.to_owned().into(), means))
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}
