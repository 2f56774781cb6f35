//! `replay --aggregate`: how many of what, by whom and to whom, instead of each event.
//!
//! Works on rows of blocks: owners and flows are looked at once per block, and no event is put together.

use std::collections::HashMap;

use anyhow::Result;
use foldhash::fast::RandomState;

use crate::commands::merged_reader::TraceReader;
use tracer_format::{Block, Malformed};
use tracer_model::event::{Counted, CountedKind, EventKind};
use tracer_model::tally::Tally;

/// Adds up events, in windows of time when that is asked for.
#[derive(Default)]
pub struct Aggregate {
    tally: Tally,
    /// Length of a window, nanoseconds.
    window_ns: Option<i128>,
    /// The window at hand, counted from 1970.
    window: Option<i128>,
    /// Windows that are over.
    done: Vec<Vec<Counted>>,
}

/// Of one kind, owner and flow in one block.
#[derive(Clone, Copy)]
struct Sum {
    /// `false`: a filter removes it.
    wanted: bool,
    count: u64,
    first_boot_ns: u64,
    last_boot_ns: u64,
}

/// Event kind, code, row of the owner, row of the flow and one.
type Key = (EventKind, u64, u32, u32);

/// The sums of one block. Events of a flow are mostly alike, so the last one of its flow is looked at first.
struct TotalsWindow {
    rows: Vec<(Key, Sum)>,
    /// Of the flow's last event; beyond the end: none.
    of_flow: Vec<usize>,
    by_key: HashMap<Key, usize, RandomState>,
}

impl TotalsWindow {
    fn new(flows: usize) -> Self {
        Self {
            rows: Vec::new(),
            of_flow: vec![usize::MAX; flows + 1],
            by_key: HashMap::default(),
        }
    }

    #[inline]
    fn of(&mut self, key: Key, new: impl FnOnce() -> Sum) -> &mut Sum {
        let flow = key.3 as usize;
        let near = self.of_flow[flow];
        if self.rows.get(near).is_some_and(|(known, _)| *known == key) {
            return &mut self.rows[near].1;
        }
        let row = *self.by_key.entry(key).or_insert(self.rows.len());
        if row == self.rows.len() {
            self.rows.push((key, new()));
        }
        self.of_flow[flow] = row;
        &mut self.rows[row].1
    }

    fn take(&mut self) -> Vec<(Key, Sum)> {
        self.by_key.clear();
        self.of_flow.fill(usize::MAX);
        std::mem::take(&mut self.rows)
    }
}

impl Aggregate {
    pub fn new(window_ns: Option<i128>) -> Self {
        Self {
            window_ns: window_ns.filter(|length| *length > 0),
            ..Self::default()
        }
    }

    /// Adds the events of a block.
    ///
    /// # Errors
    /// When the block is not what the format says.
    pub fn block(&mut self, trace: &mut TraceReader, block: &Block) -> Result<(), Malformed> {
        let mut rows = block.rows()?;
        let mut codes = block.codes()?;
        let mut sums = TotalsWindow::new(block.flows.len());
        while let Some(row) = rows.next()? {
            let code = codes.next(row.event_kind)?;
            let wall_ns = block.header.wall_ns(row.boot_ns);
            if !trace.in_time(wall_ns) {
                trace.remove(row.event_kind, row.count);
                continue;
            }
            if let Some(length) = self.window_ns {
                let window = wall_ns.div_euclid(length);
                // An event that comes a little late counts in the window at hand.
                if self.window.is_none_or(|now| window > now) {
                    self.add(trace, block, &mut sums)?;
                    self.next_window(window);
                }
            }
            let flow = row.flow.map_or(0, |flow| flow as u32 + 1);
            let key = (row.event_kind, code, row.owner as u32, flow);
            let sum = sums.of(key, || Sum {
                wanted: trace.wants_parts(
                    row.event_kind,
                    errno(row.event_kind, code),
                    &block.owners[row.owner],
                    row.flow.map(|flow| &block.flows[flow]),
                ),
                count: 0,
                first_boot_ns: row.boot_ns,
                last_boot_ns: row.boot_ns,
            });
            if !sum.wanted {
                trace.remove(row.event_kind, row.count);
                continue;
            }
            sum.count = sum.count.saturating_add(row.count);
            sum.first_boot_ns = sum.first_boot_ns.min(row.boot_ns);
            sum.last_boot_ns = sum.last_boot_ns.max(row.boot_ns);
        }
        self.add(trace, block, &mut sums)
    }

    fn add(
        &mut self,
        trace: &TraceReader,
        block: &Block,
        sums: &mut TotalsWindow,
    ) -> Result<(), Malformed> {
        // In the order of time: of rows that become one, the first says whose it is.
        let wanted = sums
            .take()
            .into_iter()
            .filter(|(_, sum)| sum.wanted && sum.count > 0);
        let mut wanted: Vec<_> = wanted.collect();
        wanted.sort_unstable_by_key(|(key, sum)| (sum.first_boot_ns, *key));
        for ((event_kind, code, owner, flow), sum) in wanted {
            let name = block.code_name(event_kind, code)?;
            // Rows are of one recording; times are rendered with the clock of the last block.
            let shift =
                i128::from(block.header.wall_minus_boot_ns) - trace.clock.wall_minus_boot_ns;
            let at = |boot_ns: u64| u64::try_from(i128::from(boot_ns) + shift).ok();
            self.tally.count(Counted {
                event_kind,
                kind: CountedKind::Aggregated,
                code: name.map(|name| name.into_owned()),
                count: sum.count,
                bytes: None,
                first_boot_ns: at(sum.first_boot_ns),
                last_boot_ns: at(sum.last_boot_ns),
                owner: Some(block.owners[owner as usize].clone()),
                flow: flow
                    .checked_sub(1)
                    .map(|flow| block.flows[flow as usize].clone()),
            });
        }
        Ok(())
    }

    fn next_window(&mut self, window: i128) {
        if self.window.replace(window).is_some() {
            self.done.push(self.tally.counted());
        }
    }

    /// Windows that are over, each with its rows, most first.
    pub fn take_done(&mut self) -> Vec<Vec<Counted>> {
        std::mem::take(&mut self.done)
    }

    /// The last window, or all.
    pub fn finish(mut self) -> Vec<Counted> {
        self.tally.counted()
    }
}

fn errno(event_kind: EventKind, code: u64) -> Option<u32> {
    match event_kind {
        EventKind::SendError => u32::try_from(code).ok(),
        EventKind::Connection => u32::try_from(code.checked_sub(1)?).ok(),
        _ => None,
    }
}
