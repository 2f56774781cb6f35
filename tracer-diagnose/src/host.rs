//! The host beside the events: settings at the start, counters at intervals, changes as they happened.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use tracer_model::samples::{Change, InterfaceFacts, Inventory, Sample};

/// A host that recorded.
#[derive(Clone, Debug)]
pub struct HostFacts {
    /// Its name, or that of the trace.
    pub name: String,
    /// In which its times are shown.
    pub zone: TimeZone,
    /// CLOCK_REALTIME minus CLOCK_BOOTTIME at the first event, nanoseconds; `None` when there was none.
    pub wall_minus_boot_ns: Option<i64>,
    /// Events of other network namespaces than one were filtered out (`--netns`).
    pub one_namespace: bool,
    /// As it was when the recording began; defaults where the trace does not say.
    pub once: Inventory,
    /// Samples, in the order of time.
    pub samples: Vec<TimedSample>,
    /// Changes of its network's configuration, in the order of time.
    pub changes: Vec<TimedChange>,
}

/// A sample, with the wall clock.
#[derive(Clone, Debug)]
pub struct TimedSample {
    pub wall_ns: i64,
    pub sample: Sample,
}

/// A change, with the wall clock.
#[derive(Clone, Debug)]
pub struct TimedChange {
    pub wall_ns: i64,
    pub change: Change,
}

impl HostFacts {
    pub fn new(name: String, zone: TimeZone, header: &Map<String, Value>) -> Self {
        let arguments = header.get("arguments").and_then(Value::as_array);
        let mut arguments = arguments.into_iter().flatten().filter_map(Value::as_str);
        let once = serde_json::from_value(Value::Object(header.clone()));
        Self {
            name,
            zone,
            wall_minus_boot_ns: None,
            one_namespace: arguments.any(|one| one.starts_with("--netns")),
            once: once.unwrap_or_default(),
            samples: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// A sysctl of the start, as a number; of several words the first.
    pub fn sysctl(&self, name: &str) -> Option<i64> {
        self.sysctl_words(name).next()?.parse().ok()
    }

    /// The words of a sysctl.
    pub fn sysctl_words(&self, name: &str) -> impl Iterator<Item = &str> {
        let text = self.once.sysctls.get(name);
        text.map_or("", String::as_str).split_whitespace()
    }

    /// How far a counter grew while it was sampled (`TcpExt.ListenOverflows`); `None` when nothing was sampled.
    pub fn grew(&self, counter: &str) -> Option<u64> {
        let mut grown = None;
        for one in &self.samples {
            if let Some(counters) = &one.sample.counters {
                *grown.get_or_insert(0) += counters.get(counter).copied().unwrap_or(0);
            }
        }
        grown
    }

    /// The first and last sample in which a counter grew.
    pub fn grew_when(&self, counter: &str) -> Option<(i64, i64)> {
        let mut times = self.samples.iter().filter_map(|one| {
            let counters = one.sample.counters.as_ref()?;
            (counters.get(counter).copied().unwrap_or(0) > 0).then_some(one.wall_ns)
        });
        let first = times.next()?;
        Some((first, times.next_back().unwrap_or(first)))
    }

    /// The largest value of a gauge (`TCP.mem`).
    pub fn gauge_max(&self, gauge: &str) -> Option<u64> {
        let values = self.samples.iter().filter_map(|one| {
            let gauges = one.sample.gauges.as_ref()?;
            gauges.get(gauge).copied()
        });
        values.max()
    }

    /// How far counters of interfaces grew, by interface and counter (`eth0`, `tx_errors`).
    pub fn interface_counters(&self) -> BTreeMap<(String, String), u64> {
        let mut all = BTreeMap::new();
        for one in &self.samples {
            for interface in one.sample.interfaces.iter().flatten() {
                for (name, value) in &interface.counters {
                    *all.entry((interface.name.clone(), name.clone()))
                        .or_default() += value;
                }
            }
        }
        all
    }

    /// An interface of the start.
    pub fn interface(&self, name: &str) -> Option<&InterfaceFacts> {
        let mut all = self.once.interfaces.iter().flatten();
        all.find(|one| one.name.as_deref() == Some(name))
    }
}
