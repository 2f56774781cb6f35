//! The kernel's own counters of a network namespace: what our counts are compared with.

use std::collections::BTreeMap;
use std::fs;

use crate::peer::Peer;

/// /proc/net/snmp and /proc/net/netstat of one namespace; names as `nstat` writes them (`TcpRetransSegs`,
/// `TcpExtTCPTimeouts`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Of the namespace that this process lives in.
    pub fn of(peer: &Peer) -> Self {
        let mut counters = BTreeMap::new();
        for file in ["snmp", "netstat"] {
            let path = format!("/proc/{}/net/{file}", peer.id.pid);
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            counters.extend(parse(&text));
        }
        Self(counters)
    }

    /// What was added since then.
    pub fn since(&self, before: &Self) -> Self {
        let added = self.0.iter().map(|(name, now)| {
            let then = before.0.get(name).copied().unwrap_or(0);
            (name.clone(), now.wrapping_sub(then))
        });
        Self(added.collect())
    }

    /// One counter; panics when this kernel does not have it.
    pub fn get(&self, name: &str) -> u64 {
        let found = self.0.get(name).copied();
        found.unwrap_or_else(|| panic!("this kernel has no counter {name}"))
    }
}

/// Lines come in pairs: `Tcp: NAME…`, then `Tcp: VALUE…`. A few values are negative settings, not counters.
fn parse(text: &str) -> impl Iterator<Item = (String, u64)> {
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    lines
        .chunks_exact(2)
        .flat_map(|pair| {
            let (group, names) = pair[0];
            let values = pair[1].1.split(' ');
            names
                .split(' ')
                .zip(values)
                .filter_map(|(name, value)| Some((format!("{group}{name}"), value.parse().ok()?)))
                .collect::<Vec<_>>()
        })
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_paired_as_nstat_does() {
        let text = "Tcp: MaxConn RetransSegs\nTcp: -1 7\nTcpExt: TCPTimeouts\nTcpExt: 3\n";
        let before = Counters(parse(text).collect());
        assert_eq!(before.get("TcpRetransSegs"), 7);
        let now = Counters(parse(&text.replace(": 3", ": 5")).collect());
        assert_eq!(now.since(&before).get("TcpExtTCPTimeouts"), 2);
        assert_eq!(now.since(&before).get("TcpRetransSegs"), 0);
    }
}
