//! Counts a run: what was delivered, and what is counted instead of listed. Pure; bounded.

use std::collections::HashMap;

use tracer_common::{Counters, event_kind};

use crate::event::{Counted, CountedKind, Endpoint, EventKind, EventTotals, Flow, Owner, Totals};

/// No more rows than this are kept apart; what comes after is added to a row without owner and flow.
const MOST_ROWS: usize = 10_000;
/// Nor rows whose texts take more than this together, bytes.
const MOST_BYTES: usize = 16 << 20;

/// What user space adds to the kernel's counters.
#[derive(Debug, Default)]
pub struct Tally {
    delivered: [u64; event_kind::COUNT],
    /// Events that user space has made by itself.
    made: [u64; event_kind::COUNT],
    /// Records that made no event.
    undecoded: [u64; event_kind::COUNT],
    /// Emitted by the kernel, which could not be sure of the owner, and removed by the same filter here.
    filtered_emitted: [u64; event_kind::COUNT],
    /// The same among the aggregated.
    filtered_aggregated: [u64; event_kind::COUNT],
    rows: HashMap<Row, Counted>,
    /// What the texts of the rows take, about.
    row_bytes: usize,
}

/// Would-block and partial sends are counted per owner and destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Row {
    event_kind: EventKind,
    kind: CountedKind,
    code: Option<String>,
    process: Option<(u32, Option<u64>)>,
    proto: Option<String>,
    remote: Option<Endpoint>,
}

impl Tally {
    /// A record came out of the ring and made an event.
    pub fn delivered(&mut self, event_kind: u32) {
        self.delivered[event_kind as usize] += 1;
    }

    /// User space has made an event that no program has seen.
    pub fn made(&mut self, event_kind: u32) {
        self.made[event_kind as usize] += 1;
    }

    /// A record came out of the ring and made no event.
    pub fn undecoded(&mut self, event_kind: u32) {
        self.undecoded[event_kind as usize] += 1;
    }

    /// A filter removed a record after all.
    pub fn filtered_emitted(&mut self, event_kind: u32) {
        self.filtered_emitted[event_kind as usize] += 1;
    }

    /// A filter removed aggregated events after all.
    pub fn filtered_aggregated(&mut self, event_kind: u32, count: u64) {
        self.filtered_aggregated[event_kind as usize] += count;
    }

    /// Adds to the row of this owner and destination.
    pub fn count(&mut self, counted: Counted) {
        let row = Row {
            event_kind: counted.event_kind,
            kind: counted.kind,
            code: counted.code.clone(),
            process: counted
                .owner
                .as_ref()
                .and_then(|owner| Some((owner.pid?, owner.started_boot_ns))),
            proto: counted.flow.as_ref().map(|flow| flow.proto.to_string()),
            remote: counted.flow.as_ref().and_then(|flow| flow.remote.clone()),
        };
        if let Some(known) = self.rows.get_mut(&row) {
            merge(known, &counted);
            return;
        }
        let code_bytes = counted.code.as_ref().map_or(0, String::len);
        let bytes = 2 * code_bytes
            + counted.owner.as_ref().map_or(0, Owner::heap_bytes)
            + 2 * counted.flow.as_ref().map_or(0, Flow::heap_bytes);
        if self.rows.len() < MOST_ROWS && self.row_bytes.saturating_add(bytes) <= MOST_BYTES {
            self.row_bytes += bytes;
            self.rows.insert(row, counted);
            return;
        }
        // There are few codes, unless somebody made them up.
        let few = self.rows.len() < MOST_ROWS + MOST_ROWS / 10 && code_bytes < 100;
        let code = counted.code.filter(|_| few);
        let rest = Row {
            process: None,
            proto: None,
            remote: None,
            code: code.clone(),
            ..row
        };
        let counted = Counted {
            owner: None,
            flow: None,
            code,
            ..counted
        };
        match self.rows.get_mut(&rest) {
            Some(known) => merge(known, &counted),
            None => drop(self.rows.insert(rest, counted)),
        }
    }

    /// Everything that was counted instead of listed, largest first; equals in the order of time, so that the
    /// same trace always gives the same rows.
    pub fn counted(&mut self) -> Vec<Counted> {
        self.row_bytes = 0;
        let mut rows: Vec<_> = std::mem::take(&mut self.rows).into_values().collect();
        let pid = |row: &Counted| row.owner.as_ref().and_then(|owner| owner.pid);
        rows.sort_by(|a, b| {
            b.count
                .cmp(&a.count)
                .then_with(|| a.code.cmp(&b.code))
                .then_with(|| a.first_boot_ns.cmp(&b.first_boot_ns))
                .then_with(|| (a.event_kind, pid(a)).cmp(&(b.event_kind, pid(b))))
        });
        rows
    }

    /// The totals of a run, from the kernel's counters; only of `wanted` event kinds (bit per event kind).
    pub fn totals(
        &self,
        counters: &[Counters; event_kind::COUNT],
        missed: &[Option<u64>; event_kind::COUNT],
        wanted: u64,
    ) -> Totals {
        let event_kinds = (0..event_kind::COUNT)
            .filter(|index| wanted >> index & 1 != 0)
            .filter_map(|index| {
                let kernel = counters[index];
                let made = self.made[index];
                let removed = self.filtered_emitted[index];
                let unaggregated = self.filtered_aggregated[index];
                let totals = EventTotals {
                    seen: kernel.seen + made,
                    filtered: kernel.filtered + removed + unaggregated,
                    emitted: (kernel.emitted + made).saturating_sub(removed),
                    aggregated: kernel.aggregated.saturating_sub(unaggregated),
                    delivered: self.delivered[index],
                    lost: kernel.lost + self.undecoded[index],
                    missed: missed[index],
                    saturated: false,
                };
                Some((EventKind::from_number(index as u32)?, totals))
            })
            .collect();
        Totals {
            events: event_kinds,
        }
    }
}

fn merge(known: &mut Counted, more: &Counted) {
    known.count = known.count.saturating_add(more.count);
    known.bytes = match (known.bytes, more.bytes) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    };
    known.first_boot_ns = known
        .first_boot_ns
        .min(more.first_boot_ns)
        .or(more.first_boot_ns);
    known.last_boot_ns = known.last_boot_ns.max(more.last_boot_ns);
    if let (Some(flow), Some(other)) = (&mut known.flow, &more.flow) {
        // One destination by several sockets: neither is the local end.
        if flow.local != other.local {
            flow.local = None;
        }
        if flow.socket != other.socket {
            flow.socket = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attribution, Owner};

    fn row(pid: u32, count: u64) -> Counted {
        Counted {
            event_kind: EventKind::SendError,
            kind: CountedKind::WouldBlock,
            code: Some("EAGAIN".to_owned()),
            count,
            bytes: None,
            first_boot_ns: Some(u64::from(pid)),
            last_boot_ns: Some(u64::from(pid)),
            owner: Some(Owner {
                grade: Attribution::AtSend,
                pid: Some(pid),
                ..Owner::default()
            }),
            flow: None,
        }
    }

    #[test]
    fn counts_of_one_owner_and_destination_add_up() {
        let mut tally = Tally::default();
        tally.count(row(1, 2));
        tally.count(row(2, 10));
        tally.count(row(1, 3));
        let counts: Vec<_> = tally
            .counted()
            .iter()
            .map(|counted| counted.count)
            .collect();
        assert_eq!(counts, [10, 5]);
    }

    #[test]
    fn beyond_the_bound_counts_are_kept_without_an_owner() {
        let mut tally = Tally::default();
        let total = MOST_ROWS as u32 + 100;
        for pid in 0..total {
            tally.count(row(pid, 1));
        }
        let rows = tally.counted();
        assert_eq!(rows.len(), MOST_ROWS + 1);
        assert_eq!(
            rows.iter().map(|row| row.count).sum::<u64>(),
            u64::from(total)
        );
        assert_eq!(rows[0].count, 100);
        assert_eq!(rows[0].owner, None);
    }

    #[test]
    fn events_made_in_user_space_are_in_the_totals_like_others() {
        let mut tally = Tally::default();
        for _ in 0..3 {
            tally.made(event_kind::WAITING);
        }
        tally.delivered(event_kind::WAITING);
        tally.delivered(event_kind::WAITING);
        tally.filtered_emitted(event_kind::WAITING);
        let counters = [Counters::default(); event_kind::COUNT];
        let totals = tally.totals(&counters, &[None; event_kind::COUNT], u64::MAX);
        let mut totals = totals.events.iter();
        let (_, waiting) = totals
            .find(|(kind, _)| *kind == EventKind::Waiting)
            .expect("waiting");
        assert!(waiting.seen_holds() && waiting.emitted_holds());
        assert_eq!(
            (waiting.seen, waiting.filtered, waiting.delivered),
            (3, 1, 2)
        );
    }

    #[test]
    fn both_equations_hold_after_user_space_has_filtered() {
        let mut tally = Tally::default();
        let index = event_kind::DROP as usize;
        let mut counters = [Counters::default(); event_kind::COUNT];
        counters[index] = Counters {
            seen: 100,
            filtered: 10,
            emitted: 60,
            aggregated: 30,
            lost: 5,
        };
        for _ in 0..40 {
            tally.delivered(event_kind::DROP);
        }
        for _ in 0..15 {
            tally.filtered_emitted(event_kind::DROP);
        }
        tally.filtered_aggregated(event_kind::DROP, 7);
        let totals = tally.totals(&counters, &[None; event_kind::COUNT], 1 << event_kind::DROP);
        let (_, drop) = &totals.events[0];
        assert!(drop.seen_holds() && drop.emitted_holds(), "{drop:?}");
        assert_eq!(drop.filtered, 32);
    }
}
