//! Queueing disciplines: where packets wait, and are dropped, before an interface gets them.

use std::collections::BTreeMap;
use std::io;

use super::counters::delta_u32;
use super::netlink::{Attributes, Netlink, text, u32_at, u64_at};
use tracer_model::samples::QdiscSample;

/// `struct tcmsg`.
const FIXED: usize = 20;
// linux/rtnetlink.h and linux/gen_stats.h
const TCA_KIND: u16 = 1;
const TCA_STATS2: u16 = 7;
const TCA_STATS_BASIC: u16 = 1;
const TCA_STATS_QUEUE: u16 = 3;
const TCA_STATS_PKT64: u16 = 8;
const TC_H_ROOT: u32 = u32::MAX;

/// So many are followed at most: an interface with `mq` has one for each of its queues.
const FOLLOWED: usize = 8192;
/// So many are listed at most in one sample, those with drops and requeues first.
pub const LISTED: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    ifindex: u32,
    parent: u32,
    handle: u32,
    kind: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    bytes: u64,
    packets: u64,
    /// The kernel's newer counter of packets, which does not wrap.
    wide: bool,
    drops: u32,
    overlimits: u32,
    requeues: u32,
    backlog: u32,
    qlen: u32,
}

/// The counters of the previous sample.
#[derive(Default)]
pub struct Qdiscs {
    before: Option<BTreeMap<Key, Counters>>,
}

impl Qdiscs {
    /// Takes the counters of now: what happened, unless this is the first look, and how many are not listed or
    /// not followed although something may have happened there. `names` are those of the interfaces.
    ///
    /// # Errors
    /// When the kernel does not list them.
    pub fn sample(
        &mut self,
        netlink: &mut Netlink,
        names: &BTreeMap<u32, String>,
    ) -> io::Result<(Option<Vec<QdiscSample>>, u64)> {
        let (mut now, mut left_out) = (BTreeMap::new(), 0);
        netlink.dump(libc::RTM_GETQDISC, &[0; FIXED], |kind, body| {
            if kind == libc::RTM_NEWQDISC
                && let Some((key, counters)) = parse(body)
            {
                if now.len() < FOLLOWED {
                    now.insert(key, counters);
                } else {
                    left_out += 1;
                }
            }
        })?;
        let listed = self.before.as_ref().map(|before| {
            let mut listed: Vec<_> = now
                .iter()
                .filter_map(|(key, counters)| Some(between(key, before.get(key)?, counters)))
                .filter(is_listed)
                .collect();
            if listed.len() > LISTED {
                left_out += (listed.len() - LISTED) as u64;
                listed.sort_by_key(|sample| std::cmp::Reverse(sample.harm()));
                listed.truncate(LISTED);
            }
            for sample in &mut listed {
                sample.interface = names.get(&sample.ifindex).cloned();
            }
            listed
        });
        self.before = Some(now);
        Ok((listed, left_out))
    }
}

/// `None` for what is not whole, and for `noqueue`, which counts nothing.
fn parse(body: &[u8]) -> Option<(Key, Counters)> {
    let mut key = Key {
        ifindex: u32_at(body, 4)?,
        handle: u32_at(body, 8)?,
        parent: u32_at(body, 12)?,
        kind: String::new(),
    };
    let mut counters = None;
    for (attribute, value) in Attributes::after(body, FIXED) {
        match attribute {
            TCA_KIND => key.kind = text(value),
            TCA_STATS2 => counters = statistics(value),
            _ => {}
        }
    }
    (key.kind != "noqueue").then_some(())?;
    Some((key, counters?))
}

/// `gnet_stats_basic`, `gnet_stats_queue`.
fn statistics(nested: &[u8]) -> Option<Counters> {
    let mut counters = Counters::default();
    let mut has_basic = false;
    for (attribute, value) in Attributes(nested) {
        match attribute {
            TCA_STATS_BASIC => {
                counters.bytes = u64_at(value, 0)?;
                if !counters.wide {
                    counters.packets = u32_at(value, 8)?.into();
                }
                has_basic = true;
            }
            TCA_STATS_QUEUE => {
                counters.qlen = u32_at(value, 0)?;
                counters.backlog = u32_at(value, 4)?;
                counters.drops = u32_at(value, 8)?;
                counters.requeues = u32_at(value, 12)?;
                counters.overlimits = u32_at(value, 16)?;
            }
            TCA_STATS_PKT64 => {
                counters.packets = u64_at(value, 0)?;
                counters.wide = true;
            }
            _ => {}
        }
    }
    has_basic.then_some(counters)
}

fn between(key: &Key, before: &Counters, now: &Counters) -> QdiscSample {
    let bytes = now.bytes.checked_sub(before.bytes);
    let narrow = |before, now| delta_u32(before, now, bytes.is_some());
    let packets = if before.wide == now.wide {
        let low = |packets| u32::try_from(packets).unwrap_or(u32::MAX);
        let wrapped = || (!now.wide).then(|| narrow(low(before.packets), low(now.packets)))?;
        now.packets.checked_sub(before.packets).or_else(wrapped)
    } else {
        None
    };
    let drops = narrow(before.drops, now.drops);
    let overlimits = narrow(before.overlimits, now.overlimits);
    let requeues = narrow(before.requeues, now.requeues);
    let all = [bytes, packets, drops, overlimits, requeues];
    QdiscSample {
        interface: None,
        ifindex: key.ifindex,
        kind: key.kind.clone(),
        handle: handle(key.handle),
        parent: handle(key.parent),
        bytes: bytes.unwrap_or(0),
        packets: packets.unwrap_or(0),
        drops: drops.unwrap_or(0),
        overlimits: overlimits.unwrap_or(0),
        requeues: requeues.unwrap_or(0),
        backlog_bytes: now.backlog,
        qlen_packets: now.qlen,
        reset: all.contains(&None),
    }
}

/// As `tc` writes it: major and minor in hexadecimal, a minor of 0 left out.
fn handle(handle: u32) -> String {
    match (handle >> 16, handle & 0xffff) {
        _ if handle == TC_H_ROOT => "root".to_owned(),
        (major, 0) => format!("{major:x}:"),
        (0, minor) => format!(":{minor:x}"),
        (major, minor) => format!("{major:x}:{minor:x}"),
    }
}

/// Below the root only what is in trouble is worth a line: the root has the sums.
fn is_listed(qdisc: &QdiscSample) -> bool {
    let waits = qdisc.backlog_bytes != 0 || qdisc.qlen_packets != 0;
    let busy = qdisc.bytes != 0 || qdisc.packets != 0;
    qdisc.reset
        || waits
        || qdisc.harm() != 0
        || qdisc.overlimits != 0
        || (busy && qdisc.parent == "root")
}

#[cfg(test)]
mod tests {
    use super::super::netlink::build::{attribute, hostile};
    use super::*;

    fn message(bytes: u64, packets: u32, wide: Option<u64>) -> Vec<u8> {
        let mut body = vec![0; 4];
        for word in [3, 0x8001_0000, TC_H_ROOT, 2] {
            body.extend(u32::to_ne_bytes(word));
        }
        body.extend(attribute(TCA_KIND, b"tbf\0"));
        let mut basic = bytes.to_ne_bytes().to_vec();
        basic.extend(packets.to_ne_bytes());
        basic.extend([0; 4]);
        let queue: Vec<u8> = [1_u32, 1500, 7, 8, 9]
            .iter()
            .flat_map(|w| w.to_ne_bytes())
            .collect();
        let mut nested = attribute(TCA_STATS_BASIC, &basic);
        nested.extend(
            wide.map(|w| attribute(TCA_STATS_PKT64, &w.to_ne_bytes()))
                .unwrap_or_default(),
        );
        nested.extend(attribute(TCA_STATS_QUEUE, &queue));
        body.extend(attribute(TCA_STATS2, &nested));
        body
    }

    #[test]
    fn counters_are_differences_and_what_waits_is_a_value() {
        let (key, before) = parse(&message(1000, 10, None)).unwrap();
        let now = Counters {
            drops: 9,
            ..parse(&message(4000, 12, None)).unwrap().1
        };
        let sample = between(&key, &before, &now);
        assert_eq!(
            (sample.kind.as_str(), sample.handle.as_str()),
            ("tbf", "8001:")
        );
        assert_eq!(sample.parent, "root");
        assert_eq!((sample.bytes, sample.packets, sample.drops), (3000, 2, 2));
        assert_eq!((sample.requeues, sample.overlimits), (0, 0));
        assert_eq!((sample.backlog_bytes, sample.qlen_packets), (1500, 1));
        assert!(!sample.reset);
    }

    #[test]
    fn packets_wrap_but_bytes_that_go_backwards_are_a_reset() {
        let (key, before) = parse(&message(1000, u32::MAX, None)).unwrap();
        let wrapped = between(&key, &before, &parse(&message(2000, 4, None)).unwrap().1);
        assert_eq!((wrapped.packets, wrapped.reset), (5, false));
        let reset = between(&key, &before, &parse(&message(10, 4, None)).unwrap().1);
        assert_eq!((reset.packets, reset.bytes, reset.reset), (0, 0, true));
    }

    #[test]
    fn the_wide_counter_of_packets_is_used_where_there_is_one() {
        let (_, counters) = parse(&message(1, 2, Some(1 << 33))).unwrap();
        assert_eq!((counters.packets, counters.wide), (1 << 33, true));
    }

    #[test]
    fn hostile_messages_are_survived() {
        let (key, before) = parse(&message(1000, 10, Some(10))).unwrap();
        for body in hostile(&message(1000, 10, Some(10))) {
            if let Some((_, now)) = parse(&body) {
                between(&key, &before, &now);
            }
        }
    }

    #[test]
    fn handles_read_as_tc_writes_them() {
        let read = [0, 1, 0x1_0000, 0x8001_0001, u32::MAX].map(handle);
        assert_eq!(read, ["0:", ":1", "1:", "8001:1", "root"]);
    }
}
