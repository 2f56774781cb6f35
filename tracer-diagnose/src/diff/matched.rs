//! Findings of before and after: new, vanished, remaining.

use crate::Finding;

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingChange {
    New,
    Vanished,
    Remaining,
}

impl FindingChange {
    /// As JSON says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Vanished => "vanished",
            Self::Remaining => "remaining",
        }
    }
}

/// A finding of one side or of both.
pub struct Pair<'a> {
    pub became: FindingChange,
    pub before: Option<&'a Finding>,
    pub after: Option<&'a Finding>,
}

/// Cause and process of an id `cause:process:destination`, and the rest.
fn parts(id: &str) -> (&str, &str) {
    let mut colons = id.match_indices(':').map(|(at, _)| at);
    let second = colons.nth(1).unwrap_or(id.len());
    (&id[..second], id[second..].trim_start_matches(':'))
}

/// Pairs them: by cause, process and destination; then what is left by cause and process alone, where one side knows
/// several destinations and the other one of them.
pub fn pairs<'a>(before: &'a [Finding], after: &'a [Finding]) -> Vec<Pair<'a>> {
    let mut left: Vec<&Finding> = before.iter().collect();
    let mut found: Vec<(Option<&Finding>, &Finding)> = Vec::new();
    for one in after {
        let at = left.iter().position(|other| other.id == one.id);
        found.push((at.map(|at| left.remove(at)), one));
    }
    for (of_before, one) in found
        .iter_mut()
        .filter(|(of_before, _)| of_before.is_none())
    {
        let (who, to) = parts(&one.id);
        let at = left.iter().position(|other| {
            let (other_who, other_to) = parts(&other.id);
            who == other_who && (to == "several" || other_to == "several")
        });
        *of_before = at.map(|at| left.remove(at));
    }
    let pair = |before: Option<&'a Finding>, after: Option<&'a Finding>| Pair {
        became: match (before, after) {
            (Some(_), Some(_)) => FindingChange::Remaining,
            (None, _) => FindingChange::New,
            (_, None) => FindingChange::Vanished,
        },
        before,
        after,
    };
    let mut pairs: Vec<_> = found
        .into_iter()
        .map(|(before, after)| pair(before, Some(after)))
        .collect();
    pairs.extend(left.into_iter().map(|before| pair(Some(before), None)));
    pairs.sort_by_key(|pair| match pair.became {
        FindingChange::New => 0,
        FindingChange::Remaining => 1,
        FindingChange::Vanished => 2,
    });
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_apart_at_the_second_colon() {
        assert_eq!(
            parts("path_loss:sync:[::1]:80"),
            ("path_loss:sync", "[::1]:80")
        );
        assert_eq!(parts("path_loss:sync"), ("path_loss:sync", ""));
        assert_eq!(parts(""), ("", ""));
    }
}
