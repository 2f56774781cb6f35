//! Names that only the running kernel knows: drop reasons, symbols, interfaces.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use crate::decode::Names;
use crate::kernel::facts::{self, Facts, Symbols};

/// Reasons that free a packet without losing anything: duplicates, and what was merely consumed.
const BENIGN: [&str; 6] = [
    "CONSUMED",
    "NOT_DROPPED_YET",
    "TCP_OLD_DATA",
    "TCP_OLD_SEQUENCE",
    "TCP_OFOMERGE",
    "TCP_OLD_ACK",
];

/// Names of the running kernel.
pub struct KernelNames {
    drop_reasons: BTreeMap<u32, String>,
    drop_subsystems: BTreeMap<u32, String>,
    reset_reasons: BTreeMap<u32, String>,
    symbols: RefCell<Symbols>,
    netns: Option<u32>,
    hz: u64,
}

impl KernelNames {
    /// Opens what must be opened while privileges last.
    pub fn open(root: &Path, facts: &Facts) -> Self {
        let btf = facts.btf.as_ref().ok();
        let names = |names: Option<&Option<BTreeMap<u32, String>>>| {
            names.cloned().flatten().unwrap_or_default()
        };
        Self {
            drop_reasons: names(btf.map(|btf| &btf.drop_reasons)),
            drop_subsystems: names(btf.map(|btf| &btf.drop_subsystems)),
            reset_reasons: names(btf.map(|btf| &btf.reset_reasons)),
            symbols: RefCell::new(Symbols::open(root)),
            netns: facts::netns_of_self(root)
                .ok()
                .and_then(|inode| u32::try_from(inode).ok()),
            hz: facts.hz().map_or(0, u64::from),
        }
    }

    /// Numbers of the reasons that lose nothing.
    pub fn benign_reasons(&self) -> Vec<u32> {
        let benign = |(_, name): &(&u32, &String)| BENIGN.contains(&name.as_str());
        self.drop_reasons
            .iter()
            .filter(benign)
            .map(|(number, _)| *number)
            .collect()
    }
}

impl Names for KernelNames {
    fn drop_reason(&self, reason: u32) -> Option<String> {
        match reason >> 16 {
            0 => self.drop_reasons.get(&reason).cloned(),
            // Reasons of a subsystem are named in its module's BTF, which is not read: mac80211_unusable:3.
            subsystem => {
                let name = self.drop_subsystems.get(&subsystem)?;
                Some(format!("{name}:{}", reason & 0xffff))
            }
        }
    }

    fn reset_reason(&self, reason: u32) -> Option<String> {
        self.reset_reasons.get(&reason).cloned()
    }

    fn symbol(&self, address: u64) -> Option<String> {
        self.symbols.borrow_mut().name_at(address)
    }

    fn interface(&self, netns: u32, ifindex: u32) -> Option<String> {
        // Other namespaces number their interfaces alike.
        if Some(netns) == self.netns {
            facts::interface_name(ifindex)
        } else {
            None
        }
    }

    fn hz(&self) -> u64 {
        self.hz
    }
}
