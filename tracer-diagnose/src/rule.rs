//! What a rule is: what it concludes, from what, what would refute it, and what the operator should do.

use std::fmt;

use super::sign::Sign;
use super::{Evidence, Observed, Sum};
use tracer_model::event::EventKind;

/// No more events than this are named with a piece of evidence.
const EXAMPLES: usize = 3;

/// How the failure shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Symptom {
    /// Sent but not drained, or not sent: it may still go on.
    Stall,
    /// The session is gone.
    Disconnect,
    /// Somebody said no at once.
    Refused,
    /// Something has run out on this host.
    Exhaustion,
    /// Packets were thrown away on this host.
    Drop,
    /// Work was done twice; nothing failed.
    Waste,
}

/// Who has to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    App,
    Kernel,
    Nic,
    Network,
    Peer,
}

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    Low,
    Medium,
    High,
}

impl Symptom {
    pub const ALL: [Self; 6] = [
        Self::Stall,
        Self::Disconnect,
        Self::Refused,
        Self::Exhaustion,
        Self::Drop,
        Self::Waste,
    ];

    /// As the contract says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Disconnect => "disconnect",
            Self::Refused => "refused",
            Self::Exhaustion => "exhaustion",
            Self::Drop => "drop",
            Self::Waste => "waste",
        }
    }
}

impl Layer {
    pub const ALL: [Self; 5] = [
        Self::App,
        Self::Kernel,
        Self::Nic,
        Self::Network,
        Self::Peer,
    ];

    /// As the contract says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Kernel => "kernel",
            Self::Nic => "nic",
            Self::Network => "network",
            Self::Peer => "peer",
        }
    }
}

impl Confidence {
    /// As the contract says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// One step less.
    pub const fn less(self) -> Self {
        match self {
            Self::High => Self::Medium,
            _ => Self::Low,
        }
    }
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A rule. All text is for people.
pub struct Rule {
    /// The name of the cause, in snake case.
    pub cause: &'static str,
    pub symptom: Symptom,
    /// `None`: the evidence does not tell.
    pub layer: Option<Layer>,
    /// What is the matter, in one line.
    pub title: &'static str,
    /// Why this evidence points to this cause.
    pub reason: &'static str,
    /// The kernel functions, counters or RFC behind it.
    pub rests_on: &'static str,
    /// Event kinds without which it cannot judge.
    pub needs: &'static [EventKind],
    /// Does it need the counters of the host?
    pub needs_samples: bool,
    /// What would show that it is something else.
    pub refuted_by: &'static str,
    /// The smallest thing to look at or to change.
    pub next_step: &'static str,
    pub do_not: &'static str,
    /// Causes that say less about the same sockets: they step back where this one is found.
    pub supersedes: &'static [&'static str],
    pub judge: fn(&Observed) -> Vec<Match>,
}

/// What a rule found.
#[derive(Clone, Debug)]
pub struct Match {
    /// Indices into [`Observed::conversations`]; none: it is about the host.
    pub conversations: Vec<usize>,
    /// Indices into [`Observed::sockets`] whose trouble it explains.
    pub sockets: Vec<usize>,
    /// Index of the host.
    pub host: usize,
    pub confidence: Confidence,
    /// Trouble that it explains, in events; see [`super::Socket::trouble`].
    pub explains: u64,
    /// The first time that it shows, nanoseconds of the wall clock.
    pub first_ns: i64,
    /// The last time that it shows, nanoseconds of the wall clock.
    pub last_ns: i64,
    pub evidence: Vec<Evidence>,
    /// What speaks against it.
    pub against: Vec<String>,
    /// What it might have been as well, and is not.
    pub excluded: Vec<String>,
    /// What could not be seen of it.
    pub unseen: Vec<String>,
    /// Which signs of its sockets it explains.
    pub claims: fn(&Sign) -> bool,
    /// Harm of what it explains; see [`super::Socket::harm`].
    pub harm: f64,
    /// What it is about, where that is no conversation: an interface, a port.
    pub about: Option<String>,
    /// Where it shows itself otherwise than the rule says.
    pub symptom: Option<Symptom>,
    /// Where somebody else has to be asked than the rule says.
    pub layer: Option<Layer>,
}

impl Match {
    /// A case about sockets of one conversation.
    pub fn of(
        observed: &Observed,
        conversation: usize,
        sockets: Vec<usize>,
        confidence: Confidence,
    ) -> Self {
        Self::of_many(observed, vec![conversation], sockets, confidence)
    }

    /// A case about sockets of several conversations of one host.
    pub fn of_many(
        observed: &Observed,
        conversations: Vec<usize>,
        sockets: Vec<usize>,
        confidence: Confidence,
    ) -> Self {
        let all = || sockets.iter().map(|index| &observed.sockets[*index]);
        let span = observed.span.unwrap_or((0, 0));
        let host = conversations
            .first()
            .map_or(0, |index| observed.conversations[*index].host);
        Self {
            host,
            confidence,
            explains: all().map(super::Socket::trouble).sum::<u64>().max(1),
            // A socket whose sends were only counted has no time of its own.
            first_ns: all()
                .map(|socket| socket.first_ns)
                .filter(|at| *at > 0)
                .min()
                .unwrap_or(span.0),
            last_ns: all()
                .map(|socket| socket.last_ns)
                .filter(|at| *at > 0)
                .max()
                .unwrap_or(span.1),
            evidence: Vec::new(),
            against: Vec::new(),
            excluded: Vec::new(),
            unseen: Vec::new(),
            claims: |_| true,
            harm: 0.0,
            about: None,
            symptom: None,
            layer: None,
            conversations,
            sockets,
        }
    }

    /// A case about a host.
    pub fn of_host(host: usize, confidence: Confidence, first_ns: i64, last_ns: i64) -> Self {
        Self {
            conversations: Vec::new(),
            sockets: Vec::new(),
            host,
            confidence,
            explains: 1,
            first_ns,
            last_ns,
            evidence: Vec::new(),
            against: Vec::new(),
            excluded: Vec::new(),
            unseen: Vec::new(),
            claims: |_| true,
            harm: 0.0,
            about: None,
            symptom: None,
            layer: None,
        }
    }

    /// Adds a sum as evidence, if there is anything in it, and stretches the time over it.
    #[must_use]
    pub fn shown_by(mut self, what: impl Into<String>, sum: &Sum) -> Self {
        if sum.count > 0 {
            self.evidence.push(Evidence::of(what, sum));
        }
        self
    }

    /// Adds a fact without a count.
    #[must_use]
    pub fn with(mut self, what: impl Into<String>) -> Self {
        self.evidence.push(Evidence::fact(what));
        self
    }

    /// Adds what speaks against it, when `is`.
    #[must_use]
    pub fn but(mut self, is: bool, what: impl Into<String>) -> Self {
        if is {
            self.against.push(what.into());
        }
        self
    }

    /// Explains only these signs of its sockets.
    #[must_use]
    pub fn claiming(mut self, claims: fn(&Sign) -> bool) -> Self {
        self.claims = claims;
        self
    }

    /// Sets the time to that of its evidence, where events carry it.
    #[must_use]
    pub fn timed(mut self) -> Self {
        let times = || self.evidence.iter().filter_map(|one| one.when);
        if let Some(first) = times().map(|(first, _)| first).min() {
            self.first_ns = first;
            self.last_ns = times().map(|(_, last)| last).max().unwrap_or(first);
        }
        self
    }

    /// Takes over another case of the same cause.
    pub fn join(&mut self, other: Self) {
        self.conversations.extend(other.conversations);
        self.sockets.extend(other.sockets);
        self.harm += other.harm;
        self.confidence = self.confidence.max(other.confidence);
        self.explains = self.explains.saturating_add(other.explains);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        for one in other.evidence {
            let alike = self.evidence.iter_mut().find(|had| had.what == one.what);
            match alike {
                None => self.evidence.push(one),
                Some(had) => {
                    let room = EXAMPLES.saturating_sub(had.events.len());
                    had.events.extend(one.events.into_iter().take(room));
                    had.count = had.count.zip(one.count).map(|(a, b)| a.saturating_add(b));
                    had.when = match (had.when, one.when) {
                        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
                        (a, b) => a.or(b),
                    };
                }
            }
        }
        let unite = |known: &mut Vec<String>, new: Vec<String>| {
            known.extend(
                new.into_iter()
                    .filter(|one| !known.contains(one))
                    .collect::<Vec<_>>(),
            );
        };
        unite(&mut self.against, other.against);
        unite(&mut self.unseen, other.unseen);
        // Excluded is what is excluded for all.
        self.excluded.retain(|one| other.excluded.contains(one));
    }
}
