//! When which interface was down: shared by the rules about links.

use std::collections::BTreeMap;

use crate::diagnose::HostFacts;
use crate::samples::{LinkChange, What};

/// How often an interface went down, when first, and when it came back for good.
#[derive(Clone, Debug, Default)]
pub struct Down {
    pub times: u64,
    pub first_ns: i64,
    /// When it came up after the last time; `None`: it did not.
    pub up_ns: Option<i64>,
    /// When it was last seen to go down.
    pub last_ns: i64,
}

/// Interfaces that went down, as rtnetlink and the counters of the link tell it.
pub fn downs(host: &HostFacts) -> BTreeMap<String, Down> {
    let mut all: BTreeMap<String, Down> = BTreeMap::new();
    for one in &host.changes {
        let What::Link(change) = &one.change.what else {
            continue;
        };
        let Some(name) = &change.interface else {
            continue;
        };
        // Of tunnels and other devices without a carrier nothing is said here.
        if is_down(change) {
            let down = all.entry(name.clone()).or_default();
            down.times += 1;
            if down.first_ns == 0 {
                down.first_ns = one.wall_ns;
            }
            down.last_ns = one.wall_ns;
            down.up_ns = None;
        } else if let Some(down) = all.get_mut(name) {
            down.up_ns.get_or_insert(one.wall_ns);
        }
    }
    // A change that was overtaken by the next one still counts as two.
    for one in &host.samples {
        for interface in one.sample.interfaces.iter().flatten() {
            let changes = interface
                .counters
                .get("carrier_changes")
                .copied()
                .unwrap_or(0);
            if changes == 0 {
                continue;
            }
            let down = all.entry(interface.name.clone()).or_default();
            if down.first_ns == 0 {
                (down.first_ns, down.last_ns) = (one.wall_ns, one.wall_ns);
                down.up_ns = Some(one.wall_ns);
            }
            down.last_ns = down.last_ns.max(one.wall_ns);
        }
    }
    let carrier = host.interface_counters();
    for (name, down) in &mut all {
        let changes = carrier.get(&(name.clone(), "carrier_changes".to_owned()));
        down.times = down.times.max(changes.copied().unwrap_or(0) / 2);
    }
    all.retain(|_, down| down.times > 0);
    all
}

fn is_down(change: &LinkChange) -> bool {
    matches!(change.operstate.as_deref(), Some("DOWN" | "LOWERLAYERDOWN"))
}
