//! Which programs to load on this host, and what the host costs the user: facts in, plan out.
//!
//! Pure: no I/O, no clock. Decides from what BTF says (is the tracepoint there, how many arguments has it,
//! which fields were found), never from a version number: vendors back-port.

mod abilities;
mod choose;
mod connects;
mod error;
mod fields;
mod groups;
mod names;
mod null;
mod perf_tracepoint;
mod privilege;
mod sends;
mod waits;

use tracer_common::{OFFSET_COUNT, SystemCalls, event_kind};

use crate::kernel::facts::{
    BtfFacts, Facts, Feature, PerfTracepointSends, Processor, ProgramVerdict,
};
use choose::{choose, loss_of};
use names::losses_of_names;

pub use error::PlanError;
pub use fields::{FieldLoss, field_losses};
pub use groups::{FUNCTIONS, GROUPS, Group, OWNER_ENDS, TRACEPOINTS, Variant};
pub use perf_tracepoint::PERF_TRACEPOINT;
pub use privilege::{Missing, Privileges, privileges};
pub use sends::{OTHER_SENDS, SENDS};
pub use waits::WAIT_ENDS;

/// Open files that programs, maps, links and rings need, with room for looking into processes.
pub const NEEDED_FILES: u64 = 128;

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Bit per [`tracer_common::event_kind`].
    pub event_kinds: u64,
    /// Children of the wanted processes too.
    pub follow: bool,
    /// Connects that fail before their SYN, even where that costs every system call.
    pub connect_errors: bool,
}

impl Wanted {
    /// Every event kind, at no other cost.
    pub const ALL: Self = Self {
        event_kinds: (1 << event_kind::COUNT) - 1,
        follow: false,
        connect_errors: false,
    };

    const fn has(self, event_kind: u32) -> bool {
        self.event_kinds >> event_kind & 1 != 0
    }
}

/// What a hook is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// One of [`tracer_common::event_kind`].
    Event(u32),
    /// Who owns a socket.
    Owner,
    /// Whose packet a driver refused: known from the drop of the same packet just before.
    DeviceOwner,
    /// `--follow`.
    Follow,
    /// When to forget an owner that is kept by the address of its socket.
    OwnerEnd,
}

impl Purpose {
    /// The word of the output contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event(event_kind::RETRANSMIT) => "retransmit",
            Self::Event(event_kind::SEND_ERROR) => "send_error",
            Self::Event(event_kind::DROP) => "drop",
            Self::Event(event_kind::DEVICE) => "device",
            Self::Event(event_kind::RESET) => "reset",
            Self::Event(event_kind::CONNECTION) => "connection",
            Self::Event(event_kind::SEND) => "send",
            Self::Event(event_kind::BLOCKED) => "blocked",
            Self::Event(event_kind::WAITING) => "waiting",
            Self::Event(_) => "unknown",
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
    Fentry,
    Fexit,
    /// A perf event of a tracepoint.
    Tracepoint,
    /// A perf event at the end of a system call.
    CallExit,
}

impl Kind {
    /// The prefix of the section name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf",
            Self::Iter => "iter",
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::Tracepoint | Self::CallExit => "tracepoint",
        }
    }
}

/// Whether a run is poorer than promised without the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A refusal is a warning, and an error when no event kind is left.
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
    pub serves: &'static [Purpose],
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
    /// What the kernel said to it, when that is what keeps it from running.
    pub refusal: Option<ProgramVerdict>,
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
    /// Nothing is lost without it: others do its work, or tell the loss.
    pub covered: bool,
}

impl Choice {
    /// Why nothing runs: what the kernel said to the best that it could be asked about, else what keeps the form
    /// that was written for this host, else that there is none.
    pub fn why_missing(&self) -> Option<&str> {
        Some(&self.closest()?.why)
    }

    /// The best candidate that was refused, where nothing runs for that reason.
    pub fn refused(&self) -> Option<&PassedOver> {
        self.closest().filter(|closest| closest.refusal.is_some())
    }

    fn closest(&self) -> Option<&PassedOver> {
        if self.hook.is_some() {
            return None;
        }
        let all = || self.passed_over.iter();
        all()
            .find(|candidate| candidate.refusal.is_some())
            .or_else(|| all().find(|candidate| candidate.fits))
            .or(self.passed_over.first())
    }
}

/// Something that this host does not give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    pub serves: Purpose,
    /// What the user will not see.
    pub lost: String,
    pub why: String,
    /// What the user can do about it.
    pub remedy: String,
    /// Said by `doctor` only: many hosts refuse an optional hook by policy.
    pub quiet: bool,
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
    /// How system calls look there.
    pub calls: SystemCalls,
    /// Why the programs do not see what the caller of a send asks for; `None` where they do.
    pub requests_unseen: Option<String>,
    /// How the programs of perf events read sockets; `None`: none is loaded.
    pub perf_tracepoint_sends: Option<PerfTracepointSends>,
    /// What this host does not give, as far as the kernel has had its say.
    pub losses: Vec<Loss>,
    /// Fields that were not found, and what that makes null.
    pub fields: Vec<FieldLoss>,
    /// What is remarkable about arguments that may be null: (tracepoint, one line).
    pub remarks: Vec<(&'static str, String)>,
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

    /// Whether any hook is left for one of [`tracer_common::event_kind`]. An optional one does where there is no other.
    pub fn sees(&self, event_kind: u32) -> bool {
        self.hooks().any(|hook| {
            (hook.need == Need::Required || !is_promised(event_kind))
                && hook.serves.contains(&Purpose::Event(event_kind))
        })
    }

    /// Whether programs that were loaded for another plan do for this one: what they were told at the load is the
    /// same.
    pub fn is_told_as(&self, other: &Self) -> bool {
        let told = |plan: &Self| {
            (
                plan.offsets,
                plan.file_refs_bias,
                plan.abilities,
                plan.registers_offset,
                plan.perf_tracepoint_sends,
                plan.sees_other_sends(),
            )
        };
        told(self) == told(other)
    }

    /// Whether sends of families without a program of their own are seen where a security module's refusals are
    /// among their results.
    pub fn sees_other_sends(&self) -> bool {
        self.loads(sends::OTHER_SEND)
    }
}

/// Without these nothing works.
const NEEDED_FEATURES: [Feature; 2] = [Feature::RingBuffer, Feature::TypedTracepoint];

/// Owners that are kept by address, where there is no socket storage.
pub const OWNERS_BY_ADDRESS: u32 = 1 << 16;

/// Decides what to load. Programs that the kernel has refused are gone around, so after a refusal this decides what
/// takes their place.
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

    let wants = |group: &Group| is_wanted(group, wanted, btf);
    let choices: Vec<_> = GROUPS
        .iter()
        .filter(|group| wants(group))
        .flat_map(|group| match group.attach {
            sends::TRACEPOINT => sends::choices(group, facts, btf, wants),
            _ if group.kind == Kind::Fentry => waits::choices(group, facts, btf),
            connects::CALL => connects::choice(group, facts, btf, wanted)
                .into_iter()
                .collect(),
            _ => vec![choose(group, facts, btf)],
        })
        .collect();
    let mut losses: Vec<_> = choices.iter().filter_map(loss_of).collect();
    let abilities = abilities::abilities(btf);
    let reads_untyped = choices
        .iter()
        .filter_map(|choice| choice.hook)
        .any(|hook| hook.kind == Kind::CallExit);
    let plan = Plan {
        remarks: null::remarks(facts, btf, &choices),
        choices,
        offsets: btf.offsets,
        file_refs_bias: btf.file_refs_bias,
        abilities,
        registers_offset: abilities::registers_offset(btf, abilities),
        calls: btf.processor.map_or(SystemCalls::NONE, Processor::calls),
        requests_unseen: abilities::requests_unseen(btf, abilities),
        losses: Vec::new(),
        fields: field_losses(btf),
        perf_tracepoint_sends: btf
            .perf_tracepoint_sends
            .filter(|_| btf.preemptible_tracepoints || reads_untyped),
    };
    let wanted_kinds = (0..event_kind::COUNT as u32).filter(|&event_kind| wanted.has(event_kind));
    // Once the kernel has refused a program, what is missing is told by the losses.
    let is_first = facts.verdicts.refusals().next().is_none();
    if is_first
        && wanted.event_kinds != 0
        && wanted_kinds
            .clone()
            .all(|event_kind| !plan.sees(event_kind))
    {
        return Err(PlanError::NoHooks(losses));
    }
    losses.extend(losses_of_names(facts, btf, wanted));
    losses.extend(abilities::losses(btf, wanted));
    losses.extend(perf_tracepoint::loss(btf, wanted));
    Ok(Plan { losses, ..plan })
}

/// Whether every host is expected to show events of this kind ([`tracer_common::event_kind`]).
pub fn is_promised(event_kind: u32) -> bool {
    GROUPS.iter().any(|group| {
        group.need == Need::Required && group.serves.contains(&Purpose::Event(event_kind))
    })
}

/// The names of all programs.
pub fn programs() -> impl Iterator<Item = &'static str> {
    let groups = GROUPS
        .iter()
        .chain(PERF_TRACEPOINT)
        .chain(SENDS)
        .chain(OTHER_SENDS)
        .chain(WAIT_ENDS);
    groups
        .flat_map(|group| group.variants)
        .map(|variant| variant.program)
}

fn is_wanted(group: &Group, wanted: Wanted, btf: &BtfFacts) -> bool {
    group.serves.iter().any(|serves| match *serves {
        // The time for which a send was blocked is told when it returns.
        Purpose::Event(event_kind::SEND_ERROR) => {
            wanted.has(event_kind::SEND_ERROR) || wanted.has(event_kind::BLOCKED)
        }
        Purpose::Event(event_kind) => wanted.has(event_kind),
        Purpose::Owner => true,
        Purpose::DeviceOwner => wanted.has(event_kind::DEVICE),
        Purpose::Follow => wanted.follow,
        Purpose::OwnerEnd => !btf.features.contains(&Feature::TracingSocketStorage),
    })
}

#[cfg(test)]
mod tests;
