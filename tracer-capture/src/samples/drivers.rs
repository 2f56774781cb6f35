//! What drivers count beyond the kernel: `ethtool -S`.
//!
//! Some drivers ask their firmware for this, with the lock of all interfaces held (`rtnl`), so only interfaces that
//! are up are asked, hardware first, and not many.

use std::collections::{BTreeMap, BTreeSet};

use super::counters::deltas;
use super::ethtool::{Ask, Statistics};
use super::link::Link;
use tracer_model::samples::Counts;

/// So many interfaces are asked at most.
const ASKED: usize = 32;

/// Counters of drivers at the previous sample, by interface.
#[derive(Default)]
pub struct Drivers {
    ask: Option<Ask>,
    /// Interfaces whose drivers count nothing, with their names: an index can be used again.
    silent: BTreeSet<(u32, String)>,
    before: BTreeMap<u32, Statistics>,
}

impl Drivers {
    /// Takes the counters of now: what grew, and what went backwards.
    pub fn sample(&mut self, links: &[Link]) -> BTreeMap<u32, (Counts, Vec<String>)> {
        if self.ask.is_none() {
            self.ask = Ask::open().ok();
        }
        let Some(ask) = &mut self.ask else {
            return BTreeMap::new();
        };
        let named = |link: &Link| Some((link.index, link.name.clone()?));
        self.silent = {
            let present: BTreeSet<_> = links.iter().filter_map(named).collect();
            self.silent.intersection(&present).cloned().collect()
        };
        let mut asked: Vec<_> = links
            .iter()
            .filter(|link| link.is_up())
            .filter(|link| named(link).is_some_and(|key| !self.silent.contains(&key)))
            .collect();
        asked.sort_by_key(|link| (!link.may_be_hardware(), link.index));
        asked.truncate(ASKED);

        let mut before = std::mem::take(&mut self.before);
        let mut changed = BTreeMap::new();
        for link in asked {
            let Some(name) = &link.name else { continue };
            let old = before.remove(&link.index);
            let names = old.as_ref().map(|old| old.names.clone());
            let Some(now) = ask.statistics(name, names) else {
                self.silent.insert((link.index, name.clone()));
                continue;
            };
            // Other names are other counters: a queue more, or another driver.
            if let Some(old) = old.filter(|old| old.names == now.names) {
                let mut reset = Vec::new();
                let grown = deltas(&old.counts(), &now.counts(), &mut reset);
                changed.insert(link.index, (grown, reset));
            }
            self.before.insert(link.index, now);
        }
        changed
    }
}
