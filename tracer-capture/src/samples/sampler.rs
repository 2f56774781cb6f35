//! Takes samples: everything that is looked at, opened once.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::counters::{self, Source, deltas};
use super::interfaces::Interfaces;
use super::netlink::Netlink;
use super::qdisc::Qdiscs;
use super::sockets::{self, ASKED};
use super::softnet::{self, Table};
use tracer_model::samples::{Counts, Sample, SocketKey, SocketSample};

/// The counters of the network stack, from one look to the next. What cannot be opened or read is missing in
/// the samples, which say so; nothing fails.
pub struct Sampler {
    netns: Option<u64>,
    /// Files of counters and values, with what is called unread when one fails.
    files: Vec<(&'static str, Parse, io::Result<Source>)>,
    softnet: io::Result<Source>,
    routes: io::Result<Netlink>,
    diag: io::Result<Netlink>,
    before: Before,
    interfaces: Interfaces,
    qdiscs: Qdiscs,
}

type Parse = fn(&str, &mut Counts, &mut Counts);

#[derive(Default)]
struct Before {
    boot_ns: Option<u64>,
    /// By file: one that could not be read once starts anew.
    counters: BTreeMap<&'static str, Counts>,
    softnet: Option<Table>,
}

/// The thread's, not the process's: its network namespace may be another.
const NET: &str = "proc/thread-self/net";
/// Settings of netfilter, of the network namespace of the thread that opens them.
const NETFILTER: &str = "proc/sys/net/netfilter";

impl Sampler {
    /// Opens everything, while privileges are still there. `root` is `/`, except in tests: only files are
    /// looked for below it.
    pub fn open(root: &Path) -> Self {
        let files: [(&'static str, Parse); 10] = [
            ("snmp", counters::snmp),
            ("netstat", counters::snmp),
            ("snmp6", |text, counters, _| counters::snmp6(text, counters)),
            ("sockstat", |text, _, gauges| {
                counters::sockstat(text, gauges)
            }),
            ("sockstat6", |text, _, gauges| {
                counters::sockstat(text, gauges)
            }),
            ("stat/nf_conntrack", |text, counters, _| {
                counters::stat("nf_conntrack", text, counters);
            }),
            ("stat/arp_cache", |text, counters, _| {
                counters::stat("arp_cache", text, counters);
            }),
            ("stat/ndisc_cache", |text, counters, _| {
                counters::stat("ndisc_cache", text, counters);
            }),
            ("nf_conntrack_count", |text, _, gauges| {
                counters::value("nf_conntrack_count", text, gauges);
            }),
            ("nf_conntrack_max", |text, _, gauges| {
                counters::value("nf_conntrack_max", text, gauges);
            }),
        ];
        let open = |name: &str| {
            let folder = match name {
                "nf_conntrack_count" | "nf_conntrack_max" => NETFILTER,
                _ => NET,
            };
            Source::open(root, &format!("{folder}/{name}"))
        };
        Self {
            netns: super::netns(root),
            files: files
                .map(|(name, parse)| (name, parse, open(name)))
                .into_iter()
                // A kernel without IPv6 or connection tracking has no such files, and that is no failure.
                .filter(|(name, _, source)| {
                    let may_lack = name.ends_with('6') || name.contains('_');
                    !(may_lack && is_absent(source))
                })
                .collect(),
            softnet: open("softnet_stat"),
            routes: Netlink::open(libc::NETLINK_ROUTE),
            diag: Netlink::open(libc::NETLINK_SOCK_DIAG),
            before: Before::default(),
            interfaces: Interfaces::default(),
            qdiscs: Qdiscs::default(),
        }
    }

    /// What happened since the previous call; `None` the first time, which only takes the base. `now_boot_ns` is
    /// CLOCK_BOOTTIME of now.
    pub fn sample(&mut self, now_boot_ns: u64) -> Option<Sample> {
        let mut sample = Sample {
            boot_ns: now_boot_ns,
            netns: self.netns,
            ..Sample::default()
        };
        self.counters(&mut sample);
        self.softnet(&mut sample);
        self.links(&mut sample);
        let before = self.before.boot_ns.replace(now_boot_ns)?;
        sample.interval_ns = now_boot_ns.saturating_sub(before);
        Some(sample)
    }

    /// The state of these sockets now: of the first [`ASKED`] of them.
    pub fn sample_sockets(&mut self, keys: &[SocketKey]) -> Vec<SocketSample> {
        let Ok(diag) = &mut self.diag else {
            return Vec::new();
        };
        let asked = keys.iter().take(ASKED);
        asked
            .map(|key| sockets::sample(diag, key, self.netns))
            .collect()
    }

    fn counters(&mut self, sample: &mut Sample) {
        for (name, parse, source) in &self.files {
            let text = match source {
                Ok(source) => source.read(),
                Err(error) => Err(again(error)),
            };
            let text = match text {
                Ok(text) => text,
                Err(error) => {
                    self.before.counters.remove(name);
                    sample.unread.insert((*name).to_owned(), error.to_string());
                    continue;
                }
            };
            let (mut now, mut gauges) = (Counts::new(), Counts::new());
            parse(&text, &mut now, &mut gauges);
            if !gauges.is_empty() {
                sample.gauges.get_or_insert_default().append(&mut gauges);
            }
            if now.is_empty() {
                continue;
            }
            if let Some(before) = self.before.counters.get(name) {
                let mut grown = deltas(before, &now, &mut sample.reset);
                sample.counters.get_or_insert_default().append(&mut grown);
            }
            self.before.counters.insert(name, now);
        }
    }

    fn softnet(&mut self, sample: &mut Sample) {
        let text = match &self.softnet {
            Ok(source) => source.read(),
            Err(error) => Err(again(error)),
        };
        let now = text.map(|text| softnet::parse(&text));
        match &now {
            Ok(now) => {
                let before = self.before.softnet.as_ref();
                sample.softnet = before.and_then(|before| softnet::between(before, now));
            }
            Err(error) => {
                _ = sample
                    .unread
                    .insert("softnet".to_owned(), error.to_string())
            }
        }
        self.before.softnet = now.ok();
    }

    /// Interfaces and their queueing disciplines.
    fn links(&mut self, sample: &mut Sample) {
        let netlink = match &mut self.routes {
            Ok(netlink) => netlink,
            Err(error) => {
                for part in ["interfaces", "qdiscs"] {
                    sample.unread.insert(part.to_owned(), error.to_string());
                }
                return;
            }
        };
        let mut left_out = |part: &str, count| {
            if count != 0 {
                sample.left_out.insert(part.to_owned(), count);
            }
        };
        let mut names = BTreeMap::new();
        match self.interfaces.sample(netlink) {
            Ok(found) => {
                sample.interfaces = found.listed;
                names = found.names;
                left_out("interfaces", found.left_out);
            }
            Err(error) => {
                _ = sample
                    .unread
                    .insert("interfaces".to_owned(), error.to_string())
            }
        }
        match self.qdiscs.sample(netlink, &names) {
            Ok((listed, count)) => {
                sample.qdiscs = listed;
                left_out("qdiscs", count);
            }
            Err(error) => _ = sample.unread.insert("qdiscs".to_owned(), error.to_string()),
        }
    }
}

fn is_absent(source: &io::Result<Source>) -> bool {
    source
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

#[cfg(test)]
mod tests;
