//! Scenarios that are generated: everything about one follows from its seed, and its kind knows what is true.
//!
//! A kind is one line in the table of a file here and the function that plays it. Rates, sizes, names, addresses,
//! times, what is between the hosts and what disturbs are drawn; no rule of the diagnosis is known here.

mod app;
mod dice;
mod healthy;
mod host;
mod limits;
mod path;
mod peer;
mod place;
mod play;
mod route;
mod truth;

use std::path::Path;

use self::dice::Dice;
use self::place::{Container, Ground};
use self::play::Play;
pub use self::truth::{Truth, Verdict, Wrong, judge};
pub use crate::faults::Impossible;

/// Seeds from here on are for measuring: no rule is tuned on them.
pub const MEASURED: u64 = 1000;

/// A kind of scenario.
pub struct Kind {
    pub name: &'static str,
    /// What is right to say, alternatives with `|` between them; empty: nothing.
    symptoms: &'static str,
    layers: &'static str,
    causes: &'static str,
    /// What else is true because of it.
    also: &'static str,
    everybody: bool,
    at: At,
    pub needs: &'static [&'static str],
    play: fn(&mut Play),
}

/// Where the applications must be for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Anywhere,
    Host,
    Container,
}

/// A fault: its symptoms, layers and causes.
const fn fault(
    name: &'static str,
    symptoms: &'static str,
    layers: &'static str,
    causes: &'static str,
    play: fn(&mut Play),
) -> Kind {
    Kind {
        name,
        symptoms,
        layers,
        causes,
        also: "",
        everybody: false,
        at: At::Anywhere,
        needs: &["nft"],
        play,
    }
}

/// Nothing is wrong, whatever it looks like.
const fn healthy(name: &'static str, play: fn(&mut Play)) -> Kind {
    fault(name, "", "", "", play)
}

impl Kind {
    /// Findings with these causes are true too.
    const fn also(mut self, causes: &'static str) -> Self {
        self.also = causes;
        self
    }

    /// Everybody on the host suffers, or nobody in particular.
    const fn everybody(mut self) -> Self {
        self.everybody = true;
        self
    }

    const fn at(mut self, at: At) -> Self {
        self.at = at;
        self
    }

    const fn needs(mut self, programs: &'static [&'static str]) -> Self {
        self.needs = programs;
        self
    }

    pub fn is_fault(&self) -> bool {
        !self.causes.is_empty()
    }

    fn truth(&self) -> Truth {
        let words = |text: &str| -> Vec<String> {
            let words = text.split('|').filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        };
        Truth {
            kind: self.name.to_owned(),
            symptoms: words(self.symptoms),
            layers: words(self.layers),
            causes: words(self.causes),
            also: words(self.also),
            everybody: self.everybody,
            ..Truth::default()
        }
    }

    /// `stall/network/path_loss`, or `nothing`.
    pub fn wanted(&self) -> String {
        match self.is_fault() {
            true => format!("{}/{}/{}", self.symptoms, self.layers, self.causes),
            false => "nothing".to_owned(),
        }
    }
}

/// All kinds, faults first.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    [
        host::ALL,
        limits::ALL,
        route::ALL,
        path::ALL,
        peer::ALL,
        app::ALL,
        healthy::ALL,
    ]
    .into_iter()
    .flatten()
}

/// How the applications speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
    /// IPv4 from sockets of IPv6.
    Mapped,
}

/// What goes on beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Links of others come and go.
    Links,
    Download,
    /// Somebody finds a port closed, once or twice, and takes the next.
    Refusals,
    Requests,
}

/// What a seed stands for.
#[derive(Clone)]
pub struct Plan {
    pub seed: u64,
    pub kind: &'static Kind,
    family: Family,
    ground: Ground,
    noise: Vec<Noise>,
    dice: Dice,
}

impl Plan {
    /// Of all kinds, or of those whose name has one of these words in it; none: no kind has.
    pub fn new(seed: u64, names: &[String]) -> Option<Self> {
        let mut dice = Dice::new(seed);
        let named = |kind: &&'static Kind| {
            names.is_empty() || names.iter().any(|name| kind.name.contains(name.as_str()))
        };
        let (faults, twins): (Vec<&'static Kind>, Vec<&'static Kind>) =
            kinds().filter(named).partition(|kind| kind.is_fault());
        // A quarter of the hosts is well.
        let well = dice.percent(25);
        let of = match (faults.is_empty(), twins.is_empty()) {
            (true, true) => return None,
            (_, true) => faults,
            (true, _) => twins,
            _ if well => twins,
            _ => faults,
        };
        let kind = dice.pick(&of);
        let family = match dice.between(0, 9) {
            0..=2 => Family::V6,
            3 => Family::Mapped,
            _ => Family::V4,
        };
        let mut ground = Ground::draw(&mut dice);
        match kind.at {
            At::Anywhere => {}
            At::Host => ground.container = None,
            At::Container => ground.container = ground.container.or(Some(Container::Bridged)),
        }
        let mut noise = Vec::new();
        for (one, of_100) in [
            (Noise::Links, 35),
            (Noise::Download, 20),
            (Noise::Refusals, 20),
            (Noise::Requests, 40),
        ] {
            if dice.percent(of_100) {
                noise.push(one);
            }
        }
        Some(Self {
            seed,
            kind,
            family,
            ground,
            noise,
            dice,
        })
    }

    /// What is between and around it, in one line.
    pub fn told(&self) -> String {
        let Ground {
            rtt_ms,
            bridge,
            nat,
            container,
            ..
        } = &self.ground;
        let container = container.map_or("host".to_owned(), |kind| {
            format!("{kind:?} container").to_lowercase()
        });
        format!(
            "{:?}, {container}, {rtt_ms} ms{}{}, beside it {:?}",
            self.family,
            if *nat { ", NAT" } else { "" },
            if *bridge { ", bridge" } else { "" },
            self.noise
        )
    }

    /// What is true of an earlier recording of it: what was measured then, in the words of its kind as they are now.
    pub fn truth_of(&self, recorded: Truth) -> Truth {
        let Truth {
            kind,
            symptoms,
            layers,
            causes,
            also,
            everybody,
            ..
        } = self.kind.truth();
        Truth {
            kind,
            symptoms,
            layers,
            causes,
            also,
            everybody,
            ..recorded
        }
    }

    /// Plays it, and records it into this trace. Panics when the fault could not be made.
    pub fn play(&self, trace: &Path) -> Truth {
        let mut play = Play::new(self, trace);
        (self.kind.play)(&mut play);
        play.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_enough_kinds_and_each_has_a_name_of_its_own() {
        let mut names: Vec<_> = kinds().map(|kind| kind.name).collect();
        let (faults, twins): (Vec<&Kind>, Vec<&Kind>) = kinds().partition(|kind| kind.is_fault());
        assert!(
            faults.len() >= 45 && twins.len() >= 15,
            "{} and {}",
            faults.len(),
            twins.len()
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), kinds().count());
    }

    #[test]
    fn a_seed_always_means_the_same_and_seeds_differ() {
        let told = |seed| {
            let plan = Plan::new(seed, &[]).expect("a plan");
            format!("{} {}", plan.kind.name, plan.told())
        };
        assert_eq!(told(1234), told(1234));
        let mut all: Vec<_> = (1000..1400).map(told).collect();
        all.sort_unstable();
        all.dedup();
        assert!(all.len() > 300, "{}", all.len());
    }
}
