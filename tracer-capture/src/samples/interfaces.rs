//! Statistics of interfaces: the kernel's, and those of their drivers.

use std::collections::BTreeMap;
use std::io;

use super::drivers::Drivers;
use super::link::{self, Link, STATISTICS};
use super::netlink::Netlink;
use tracer_model::samples::InterfaceSample;

/// So many interfaces are followed at most.
const FOLLOWED: usize = 4096;
/// So many interfaces are listed at most in one sample; those with errors and drops first.
pub const LISTED: usize = 256;

/// As [`STATISTICS`] names them, and the changes of the carrier.
type Seen = (Vec<u64>, Option<u32>);

/// The counters of the previous sample.
#[derive(Default)]
pub struct Interfaces {
    before: Option<BTreeMap<u32, Seen>>,
    drivers: Drivers,
}

/// What one look found.
pub struct Found {
    /// `None` when this was the first look.
    pub listed: Option<Vec<InterfaceSample>>,
    /// How many interfaces are not listed or not followed although something may have been counted.
    pub left_out: u64,
    /// Names by index, for what else has only the index.
    pub names: BTreeMap<u32, String>,
}

impl Interfaces {
    /// Takes the counters of now.
    ///
    /// # Errors
    /// When the kernel does not list its interfaces.
    pub fn sample(&mut self, netlink: &mut Netlink) -> io::Result<Found> {
        let (mut links, mut left_out) = (Vec::new(), 0);
        list(netlink, |link| {
            if links.len() < FOLLOWED {
                links.push(link);
            } else {
                left_out += 1;
            }
        })?;
        let mut drivers = self.drivers.sample(&links);
        let mut found: Vec<_> = links
            .iter()
            .map(|link| {
                let mut sample = InterfaceSample {
                    name: link.name.clone().unwrap_or_default(),
                    ifindex: link.index,
                    ..InterfaceSample::default()
                };
                if let Some(before) = self.before.as_ref().and_then(|all| all.get(&link.index)) {
                    between(before, link, &mut sample);
                }
                if let Some((grown, reset)) = drivers.remove(&link.index) {
                    sample.ethtool = grown;
                    sample.reset.extend(reset);
                }
                sample
            })
            .filter(|s| !(s.counters.is_empty() && s.ethtool.is_empty() && s.reset.is_empty()))
            .collect();
        if found.len() > LISTED {
            left_out += (found.len() - LISTED) as u64;
            found.sort_by_key(|sample| std::cmp::Reverse(sample.harm()));
            found.truncate(LISTED);
            found.sort_by_key(|sample| sample.ifindex);
        }
        let first = self.before.is_none();
        let names = links
            .iter()
            .filter_map(|link| Some((link.index, link.name.clone()?)))
            .collect();
        let now = links
            .into_iter()
            .map(|link| (link.index, (link.statistics, link.carrier_changes)));
        self.before = Some(now.collect());
        Ok(Found {
            listed: (!first).then_some(found),
            left_out,
            names,
        })
    }
}

/// Every interface of the namespace, without virtual functions.
pub fn list(netlink: &mut Netlink, mut each: impl FnMut(Link)) -> io::Result<()> {
    netlink.dump(libc::RTM_GETLINK, &[0; link::FIXED], |kind, body| {
        if kind == libc::RTM_NEWLINK
            && let Some(link) = link::parse(body)
        {
            each(link);
        }
    })
}

fn between(before: &Seen, link: &Link, sample: &mut InterfaceSample) {
    let (statistics, carrier_changes) = before;
    let pairs = statistics.iter().zip(&link.statistics);
    for (name, (before, now)) in STATISTICS.iter().zip(pairs) {
        match now.checked_sub(*before) {
            Some(0) => {}
            Some(delta) => _ = sample.counters.insert((*name).to_owned(), delta),
            None => sample.reset.push((*name).to_owned()),
        }
    }
    if let (Some(before), Some(now)) = (carrier_changes, link.carrier_changes) {
        // The kernel's own counter goes on for as long as the interface.
        let delta = u64::from(now.wrapping_sub(*before));
        if delta != 0 {
            sample.counters.insert("carrier_changes".to_owned(), delta);
        }
    }
}

#[cfg(test)]
mod tests {
    use tracer_model::samples::is_harm;

    use super::*;

    #[test]
    fn only_what_grew_is_listed() {
        let link = Link {
            statistics: vec![10, 20, 30, 3],
            carrier_changes: Some(4),
            ..Link::default()
        };
        let mut sample = InterfaceSample::default();
        between(&(vec![10, 15, 31], Some(2)), &link, &mut sample);
        let grown: Vec<_> = sample
            .counters
            .iter()
            .map(|(n, d)| (n.as_str(), *d))
            .collect();
        assert_eq!(grown, [("carrier_changes", 2), ("tx_packets", 5)]);
        assert_eq!(sample.reset, ["rx_bytes"]);
        assert_eq!(sample.harm(), 2);
    }

    #[test]
    fn packets_for_others_are_no_harm() {
        let harmful: Vec<_> = STATISTICS.iter().filter(|name| is_harm(name)).collect();
        assert_eq!(harmful.len(), 16, "{harmful:?}");
        assert!(!is_harm("rx_bytes") && !is_harm("rx_otherhost_dropped") && is_harm("tx_dropped"));
    }
}
