//! The shapes of linux/ethtool.h: what is asked of drivers, and how their answers read.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::netlink::{text, u8_at, u32_at, u64_at};
use crate::sys::ethtool::{Ethtool, ROOM};
use tracer_model::samples::Counts;

// linux/ethtool.h
const ETHTOOL_GDRVINFO: u32 = 0x3;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_GLINKSETTINGS: u32 = 0x4c;
const ETH_SS_STATS: u32 = 1;
const ETH_SS_FEATURES: u32 = 4;
const ETH_GSTRING_LEN: usize = 32;

/// So many counters of one interface are taken at most.
pub const COUNTERS: usize = 512;

/// Counters of a driver, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    pub names: Arc<[String]>,
    pub values: Vec<u64>,
}

impl Statistics {
    /// By name; a name that a driver gives twice is summed.
    pub fn counts(&self) -> Counts {
        let mut counts = BTreeMap::new();
        for (name, value) in self.names.iter().zip(&self.values) {
            let sum: &mut u64 = counts.entry(name.clone()).or_default();
            *sum = sum.wrapping_add(*value);
        }
        counts
    }
}

/// Asks drivers, in the network namespace in which it was opened.
pub struct Ask(Ethtool);

impl Ask {
    /// # Errors
    /// When there is no socket to be had.
    pub fn open() -> io::Result<Self> {
        Ethtool::open().map(Self)
    }

    /// The counters of an interface; `None` when its driver has none. `known` are their names as they were.
    pub fn statistics(
        &mut self,
        interface: &str,
        known: Option<Arc<[String]>>,
    ) -> Option<Statistics> {
        let count = self
            .length(interface, ETH_SS_STATS)
            .filter(|count| *count > 0)?;
        let known = known.filter(|names| names.len() == (count as usize).min(COUNTERS));
        let names = match known {
            Some(names) => names,
            None => self.strings(interface, ETH_SS_STATS, count)?.into(),
        };
        // The kernel writes as many as the driver has now; a buffer for `count` was agreed upon.
        let question = words(&[ETHTOOL_GSTATS, count]);
        let answer = self.0.ask(interface.as_bytes(), &question).ok()?;
        // It changed in between: the next sample starts anew.
        (u32_at(answer, 4)? == count).then_some(())?;
        let values = (0..names.len()).map_while(|at| u64_at(answer, 8 + at * 8));
        Some(Statistics {
            values: values.collect(),
            names,
        })
    }

    /// The driver, as `ethtool -i` names it.
    pub fn driver(&mut self, interface: &str) -> Option<String> {
        let mut question = words(&[ETHTOOL_GDRVINFO]);
        question.resize(196, 0);
        let answer = self.0.ask(interface.as_bytes(), &question).ok()?;
        Some(text(answer.get(4..36)?)).filter(|driver| !driver.is_empty())
    }

    /// Speed in Mbit/s, and whether both directions work at once; each `None` when the driver does not know.
    pub fn speed(&mut self, interface: &str) -> (Option<u32>, Option<bool>) {
        link_settings(self.link_settings(interface).as_deref().unwrap_or_default())
    }

    fn link_settings(&mut self, interface: &str) -> Option<Vec<u8>> {
        const FIXED: usize = 48;
        const MASK_WORDS: usize = 15;
        // The first answer is how many words the masks need, negative.
        let mut question = words(&[ETHTOOL_GLINKSETTINGS]);
        question.resize(FIXED, 0);
        let answer = self.0.ask(interface.as_bytes(), &question).ok()?;
        let needed = u8_at(answer, MASK_WORDS)?.wrapping_neg();
        if needed > 127 {
            return None;
        }
        question[MASK_WORDS] = needed;
        question.resize(FIXED + 3 * 4 * usize::from(needed), 0);
        let answer = self.0.ask(interface.as_bytes(), &question).ok()?;
        answer.get(..FIXED).map(<[u8]>::to_vec)
    }

    /// The offloads and other features that are switched on, by the names that `ethtool -k` takes.
    pub fn features(&mut self, interface: &str) -> Option<Vec<String>> {
        let count = self.length(interface, ETH_SS_FEATURES)?;
        let names = self.strings(interface, ETH_SS_FEATURES, count)?;
        let blocks = count.div_ceil(32);
        let mut question = words(&[ETHTOOL_GFEATURES, blocks]);
        question.resize(8 + 16 * blocks as usize, 0);
        let answer = self.0.ask(interface.as_bytes(), &question).ok()?;
        active(answer, &names)
    }

    /// How many names a set has.
    fn length(&mut self, interface: &str, set: u32) -> Option<u32> {
        let mut question = words(&[ETHTOOL_GSSET_INFO, 0]);
        question.extend((1_u64 << set).to_ne_bytes());
        question.extend([0; 4]);
        let answer = self.0.ask(interface.as_bytes(), &question).ok()?;
        // The mask comes back without the sets that the driver does not have.
        (u64_at(answer, 8)? == 1 << set).then(|| u32_at(answer, 16))?
    }

    fn strings(&mut self, interface: &str, set: u32, count: u32) -> Option<Vec<String>> {
        let length = usize::try_from(count).ok()?.checked_mul(ETH_GSTRING_LEN)?;
        if 12 + length > ROOM {
            return None;
        }
        let mut question = words(&[ETHTOOL_GSTRINGS, set, count]);
        question.resize(12 + length, 0);
        let answer = self.0.ask(interface.as_bytes(), &question).ok()?;
        (u32_at(answer, 8)? == count).then(|| names(&answer[12..12 + length]))
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// The data of `struct ethtool_gstrings`.
fn names(data: &[u8]) -> Vec<String> {
    let names = data.chunks_exact(ETH_GSTRING_LEN).take(COUNTERS);
    // Drivers indent with blanks.
    names.map(|name| text(name).trim().to_owned()).collect()
}

/// `struct ethtool_gfeatures`: blocks of available, requested, active, never changed.
fn active(answer: &[u8], names: &[String]) -> Option<Vec<String>> {
    let blocks = u32_at(answer, 4)?;
    let mut active = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let block = number / 32;
        if block >= blocks as usize {
            break;
        }
        let bits = u32_at(answer, 8 + 16 * block + 8)?;
        if bits & 1 << (number % 32) != 0 && !name.is_empty() {
            active.push(name.clone());
        }
    }
    Some(active)
}

/// `struct ethtool_link_settings`.
fn link_settings(answer: &[u8]) -> (Option<u32>, Option<bool>) {
    let speed = u32_at(answer, 4).filter(|speed| !matches!(*speed, 0 | u32::MAX));
    let duplex = match u8_at(answer, 8) {
        Some(0) => Some(false),
        Some(1) => Some(true),
        _ => None,
    };
    (speed, duplex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_nul_and_are_bounded() {
        let mut data = vec![0; 2 * ETH_GSTRING_LEN];
        data[..5].copy_from_slice(b"  tx\0");
        data[ETH_GSTRING_LEN..].fill(b'x');
        assert_eq!(names(&data), ["tx".to_owned(), "x".repeat(32)]);
        assert_eq!(names(&vec![b'a'; 32 * 1000]).len(), COUNTERS);
        assert!(names(&data[..31]).is_empty());
    }

    #[test]
    fn features_are_read_across_blocks() {
        let all: Vec<_> = (0..40).map(|n| format!("f{n}")).collect();
        let mut answer = words(&[ETHTOOL_GFEATURES, 2, 0, 0, 0b101, 0, 0, 0, 1 << 7, 0]);
        assert_eq!(active(&answer, &all).unwrap(), ["f0", "f2", "f39"]);
        answer[4] = 1;
        assert_eq!(active(&answer, &all).unwrap(), ["f0", "f2"]);
        assert_eq!(active(&answer[..12], &all), None);
    }

    #[test]
    fn an_unknown_speed_is_missing() {
        let mut answer = words(&[0, u32::MAX, 0xff]);
        assert_eq!(link_settings(&answer), (None, None));
        answer = words(&[0, 25_000, 1]);
        assert_eq!(link_settings(&answer), (Some(25_000), Some(true)));
        assert_eq!(link_settings(&[]), (None, None));
    }

    #[test]
    fn the_loopback_has_features_but_no_counters_and_no_speed() {
        let mut ask = Ask::open().unwrap();
        assert!(
            ask.features("lo")
                .is_some_and(|on| on.contains(&"loopback".to_owned()))
        );
        assert_eq!(ask.statistics("lo", None), None);
        assert_eq!(ask.speed("lo"), (None, None));
        assert_eq!(ask.driver("no such interface at all"), None);
    }
}
