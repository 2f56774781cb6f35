//! Which programs to load on this host, and what the host costs the user: facts in, plan out.
//!
//! Pure: no I/O, no clock. Decides from what BTF says (is the tracepoint there, how many arguments has it,
//! which fields were found), never from a version number: vendors back-port.

mod abilities;
mod choose;
mod error;
mod fields;
mod groups;
mod names;
mod privilege;
mod sends;
mod steady;

use tracer_common::{OFFSET_COUNT, signal};

use crate::kernel::facts::{BtfFacts, Facts, Feature, ProgramVerdict, SteadySends};
use choose::{choose, loss_of};
use names::losses_of_names;

pub use error::PlanError;
pub use fields::{FieldLoss, field_losses};
pub use groups::{FUNCTIONS, GROUPS, Group, OWNER_ENDS, TRACEPOINTS, Variant};
pub use privilege::{Missing, Privileges, privileges};
pub use sends::{OTHER_SENDS, SENDS};
pub use steady::STEADY;

/// Open files that programs, maps, links and rings need, with room for looking into processes.
pub const NEEDED_FILES: u64 = 128;

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Bit per [`tracer_common::signal`].
    pub signals: u64,
    /// Children of the wanted processes too.
    pub follow: bool,
}

impl Wanted {
    /// Every signal, without following children.
    pub const ALL: Self = Self {
        signals: (1 << signal::COUNT) - 1,
        follow: false,
    };

    const fn has(self, signal: u32) -> bool {
        self.signals >> signal & 1 != 0
    }
}

/// What a hook is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Serves {
    /// One of [`tracer_common::signal`].
    Signal(u32),
    /// Who owns a socket.
    Owner,
    /// Whose packet a driver refused: told by the drop of the same packet just before.
    DeviceOwner,
    /// `--follow`.
    Follow,
    /// When to forget an owner that is kept by the address of its socket.
    OwnerEnd,
}

impl Serves {
    /// The word of the output contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal(signal::RETRANSMIT) => "retransmit",
            Self::Signal(signal::SEND_ERROR) => "send_error",
            Self::Signal(signal::DROP) => "drop",
            Self::Signal(signal::DEVICE) => "device",
            Self::Signal(signal::RESET) => "reset",
            Self::Signal(signal::CONNECTION) => "connection",
            Self::Signal(signal::SEND) => "send",
            Self::Signal(_) => "unknown",
            Self::Owner | Self::OwnerEnd => "owner",
            Self::DeviceOwner => "device owner",
            Self::Follow => "follow",
        }
    }
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    TpBtf,
    Iter,
    Fexit,
    /// A perf event of a tracepoint.
    Tracepoint,
}

impl Kind {
    /// The prefix of the section name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf",
            Self::Iter => "iter",
            Self::Fexit => "fexit",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// Whether a run is poorer than promised without the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A refusal is a warning, and an error when no signal is left.
    Required,
    /// A refusal shows in `doctor` only: many hosts refuse it by policy.
    Optional,
}

/// A program to load and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Name of the program in the object.
    pub program: &'static str,
    /// Tracepoint, iterator target or kernel function.
    pub attach: &'static str,
    pub kind: Kind,
    pub serves: &'static [Serves],
    pub need: Need,
}

/// A candidate that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    pub program: &'static str,
    pub attach: &'static str,
    pub kind: Kind,
    /// Whether it was written for the prototype that the place has here.
    pub fits: bool,
    pub why: String,
}

/// What was decided for one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub group: &'static Group,
    /// `None`: nothing fits this host.
    pub hook: Option<Hook>,
    /// The candidates before the chosen one (all, when none was), best first.
    pub passed_over: Vec<PassedOver>,
}

impl Choice {
    /// Why nothing fits: what keeps the form that was written for this host, else that there is none.
    pub fn why_missing(&self) -> Option<&str> {
        if self.hook.is_some() {
            return None;
        }
        let closest = self
            .passed_over
            .iter()
            .find(|candidate| candidate.fits)
            .or(self.passed_over.first())?;
        Some(&closest.why)
    }
}

/// Something that this host does not give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    pub serves: Serves,
    /// What the user will not see.
    pub lost: String,
    pub why: String,
    /// What the user can do about it.
    pub remedy: String,
}

/// What to load, and what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub choices: Vec<Choice>,
    /// For `.rodata`, in the order of [`tracer_common::FIELDS`].
    pub offsets: [u32; OFFSET_COUNT],
    /// What to add to the number in `file_refs` to get the references of a file: `file_ref_t` starts at 0.
    pub file_refs_bias: u64,
    /// Bits of [`tracer_common::ability`].
    pub abilities: u64,
    /// Distance of the saved registers from the start of a task's stack; 0: not needed, or unknown.
    pub registers_offset: u64,
    /// How the program of [`STEADY`] reads sockets; `None`: it is not loaded.
    pub steady_sends: Option<SteadySends>,
    /// Known before anything is loaded; see [`Plan::losses_after`].
    pub losses: Vec<Loss>,
    /// Fields that were not found, and what that makes null.
    pub fields: Vec<FieldLoss>,
}

impl Plan {
    /// The programs to load, in order.
    pub fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.choices
            .iter()
            .filter_map(|choice| choice.hook.as_ref())
    }

    /// Whether the program is to be loaded.
    pub fn loads(&self, program: &str) -> bool {
        self.hooks().any(|hook| hook.program == program)
    }

    /// All losses once the kernel has had its say: those of the plan, then one per refused program.
    pub fn losses_after(&self, verdicts: &[(String, ProgramVerdict)]) -> Vec<Loss> {
        let no_sends = self.sends_refused(verdicts);
        let refused = verdicts.iter().filter_map(|(program, verdict)| {
            let ProgramVerdict::Refused { text, .. } = verdict else {
                return None;
            };
            let choice = self
                .choices
                .iter()
                .find(|choice| choice.hook.is_some_and(|hook| hook.program == *program))?;
            let hook = choice.hook?;
            if no_sends.is_some() && sends::is_stand_in(choice.group) {
                return None;
            }
            Some(Loss {
                serves: hook.serves[0],
                lost: choice.group.lost.to_owned(),
                why: format!(
                    "the kernel refuses {}/{}: {text}",
                    hook.kind.name(),
                    hook.attach
                ),
                remedy: choice.group.remedy.to_owned(),
            })
        });
        let losses: Vec<_> = self.losses.iter().cloned().chain(refused).collect();
        losses.into_iter().chain(no_sends).collect()
    }

    /// One loss for all that stands in for the tracepoint of sends, when the kernel refuses every part of it.
    fn sends_refused(&self, verdicts: &[(String, ProgramVerdict)]) -> Option<Loss> {
        let parts = self
            .choices
            .iter()
            .filter(|choice| sends::is_stand_in(choice.group))
            .filter_map(|choice| choice.hook);
        let mut text = None;
        for hook in parts {
            let verdict = verdicts.iter().find(|(name, _)| name == hook.program);
            let Some((_, ProgramVerdict::Refused { text: words, .. })) = verdict else {
                return None;
            };
            text = Some(words);
        }
        let tracepoint = GROUPS
            .iter()
            .find(|group| group.attach == sends::TRACEPOINT)?;
        Some(Loss {
            serves: tracepoint.serves[0],
            lost: tracepoint.lost.to_owned(),
            why: format!(
                "this kernel has no tracepoint {}, and refuses fexit programs: {}",
                sends::TRACEPOINT,
                text?
            ),
            remedy: sends::REMEDY.to_owned(),
        })
    }

    /// Whether any hook is left for one of [`tracer_common::signal`], refused ones excluded.
    pub fn sees(&self, signal: u32, verdicts: &[(String, ProgramVerdict)]) -> bool {
        self.hooks().any(|hook| {
            hook.need == Need::Required
                && hook.serves.contains(&Serves::Signal(signal))
                && !verdicts.iter().any(|(program, verdict)| {
                    program == hook.program && matches!(verdict, ProgramVerdict::Refused { .. })
                })
        })
    }
}

/// Without these nothing works.
const NEEDED_FEATURES: [Feature; 2] = [Feature::RingBuffer, Feature::TypedTracepoint];

/// Owners that are kept by address, where there is no socket storage.
pub const OWNERS_BY_ADDRESS: u32 = 1 << 16;

/// Decides what to load.
pub fn plan(facts: &Facts, wanted: Wanted) -> Result<Plan, PlanError> {
    let btf = facts
        .btf
        .as_ref()
        .map_err(|why| PlanError::NoBtf(why.clone()))?;
    let lacking: Vec<_> = NEEDED_FEATURES
        .into_iter()
        .filter(|feature| !btf.features.contains(feature))
        .collect();
    if !lacking.is_empty() {
        return Err(PlanError::TooOld(lacking));
    }
    if let Some(limit) = facts.open_files.filter(|limit| limit.hard < NEEDED_FILES) {
        return Err(PlanError::FileLimit(limit.hard));
    }

    let choices: Vec<_> = GROUPS
        .iter()
        .filter(|group| is_wanted(group, wanted, btf))
        .flat_map(|group| match choose(group, btf) {
            choice if choice.hook.is_none() && group.attach == sends::TRACEPOINT => {
                sends::instead(choice, btf, |group| is_wanted(group, wanted, btf))
            }
            choice if choice.hook.is_some() && group.attach == sends::TRACEPOINT => {
                steady::choices(choice, btf, |group| is_wanted(group, wanted, btf))
            }
            choice => vec![choice],
        })
        .collect();
    let mut losses: Vec<_> = choices.iter().filter_map(loss_of).collect();
    let abilities = abilities::abilities(btf);
    let plan = Plan {
        choices,
        offsets: btf.offsets,
        file_refs_bias: btf.file_refs_bias,
        abilities,
        registers_offset: abilities::registers_offset(btf, abilities),
        losses: Vec::new(),
        fields: field_losses(btf),
        steady_sends: btf.steady_sends.filter(|_| btf.preemptible_tracepoints),
    };
    let wanted_signals = (0..signal::COUNT as u32).filter(|&signal| wanted.has(signal));
    if wanted.signals != 0 && wanted_signals.clone().all(|signal| !plan.sees(signal, &[])) {
        return Err(PlanError::NoHooks(losses));
    }
    losses.extend(losses_of_names(facts, btf, wanted));
    losses.extend(abilities::losses(btf, wanted));
    losses.extend(steady::loss(btf, wanted));
    Ok(Plan { losses, ..plan })
}

fn is_wanted(group: &Group, wanted: Wanted, btf: &BtfFacts) -> bool {
    group.serves.iter().any(|serves| match *serves {
        Serves::Signal(signal) => wanted.has(signal),
        Serves::Owner => true,
        Serves::DeviceOwner => wanted.has(signal::DEVICE),
        Serves::Follow => wanted.follow,
        Serves::OwnerEnd => !btf.features.contains(&Feature::TracingSocketStorage),
    })
}

#[cfg(test)]
mod tests;
