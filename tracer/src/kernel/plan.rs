//! Which programs to load on this host, and what the host costs the user: facts in, plan out.
//!
//! Pure: no I/O, no clock. Decides from what BTF says (is the tracepoint there, how many arguments has it,
//! which fields were found), never from a version number: vendors back-port.

mod fields;
mod groups;
mod privilege;

use std::fmt;

use tracer_common::{OFFSET_COUNT, signal};

use crate::kernel::facts::{BtfFacts, Facts, Feature, ProgramVerdict};

pub use fields::{FieldLoss, field_losses};
pub use groups::{FUNCTIONS, GROUPS, Group, TRACEPOINTS, Variant};
pub use privilege::{Missing, Privileges, privileges};

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
    pub const ALL: Self = Self { signals: (1 << signal::COUNT) - 1, follow: false };

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
            Self::Signal(_) => "unknown",
            Self::Owner => "owner",
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
}

impl Kind {
    /// The prefix of the section name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf",
            Self::Iter => "iter",
            Self::Fexit => "fexit",
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
    /// Known before anything is loaded; see [`Plan::losses_after`].
    pub losses: Vec<Loss>,
    /// Fields that were not found, and what that makes null.
    pub fields: Vec<FieldLoss>,
}

impl Plan {
    /// The programs to load, in order.
    pub fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.choices.iter().filter_map(|choice| choice.hook.as_ref())
    }

    /// Whether the program is to be loaded.
    pub fn loads(&self, program: &str) -> bool {
        self.hooks().any(|hook| hook.program == program)
    }

    /// All losses once the kernel has had its say: those of the plan, then one per refused program.
    pub fn losses_after(&self, verdicts: &[(String, ProgramVerdict)]) -> Vec<Loss> {
        let refused = verdicts.iter().filter_map(|(program, verdict)| {
            let ProgramVerdict::Refused { text, .. } = verdict else { return None };
            let choice = self.choices.iter().find(|choice| choice.hook.is_some_and(|hook| hook.program == *program))?;
            let hook = choice.hook?;
            Some(Loss {
                serves: hook.serves[0],
                lost: choice.group.lost.to_owned(),
                why: format!("the kernel refuses {}/{}: {text}", hook.kind.name(), hook.attach),
                remedy: choice.group.remedy.to_owned(),
            })
        });
        self.losses.iter().cloned().chain(refused).collect()
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

/// Why nothing can be traced here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// BTF is absent or unreadable.
    NoBtf(String),
    /// The kernel lacks these.
    TooOld(Vec<Feature>),
    /// None of the wanted signals has a hook.
    NoHooks(Vec<Loss>),
    /// The hard limit of open files is below [`NEEDED_FILES`].
    FileLimit(u64),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBtf(why) => write!(
                f,
                "the kernel's type information (BTF) is needed and cannot be read ({why}): \
                 use a kernel built with CONFIG_DEBUG_INFO_BTF=y, and mount sysfs"
            ),
            Self::TooOld(features) => {
                let names: Vec<_> = features.iter().map(|feature| feature.name()).collect();
                write!(f, "this kernel is too old, it lacks: {}; use a newer kernel", names.join(", "))
            }
            Self::NoHooks(losses) => {
                let why: Vec<_> = losses.iter().map(|loss| loss.why.as_str()).collect();
                write!(f, "this kernel has no hook for any wanted signal ({}); ", why.join("; "))?;
                f.write_str("ask for other signals, or run `sendtrace doctor` to see which it has")
            }
            Self::FileLimit(hard) => write!(
                f,
                "{NEEDED_FILES} open files are needed and the hard limit is {hard}: \
                 raise it (`ulimit -Hn 1024` as root, or LimitNOFILE= of the service)"
            ),
        }
    }
}

impl std::error::Error for PlanError {}

/// Without these nothing works.
const NEEDED_FEATURES: [Feature; 3] = [Feature::RingBuffer, Feature::TypedTracepoint, Feature::TracingSocketStorage];

/// Decides what to load.
pub fn plan(facts: &Facts, wanted: Wanted) -> Result<Plan, PlanError> {
    let btf = facts.btf.as_ref().map_err(|why| PlanError::NoBtf(why.clone()))?;
    let lacking: Vec<_> = NEEDED_FEATURES.into_iter().filter(|feature| !btf.features.contains(feature)).collect();
    if !lacking.is_empty() {
        return Err(PlanError::TooOld(lacking));
    }
    if let Some(limit) = facts.open_files.filter(|limit| limit.hard < NEEDED_FILES) {
        return Err(PlanError::FileLimit(limit.hard));
    }

    let choices: Vec<_> = GROUPS.iter().filter(|group| is_wanted(group, wanted)).map(|group| choose(group, btf)).collect();
    let mut losses: Vec<_> = choices.iter().filter_map(loss_of).collect();
    let plan = Plan { choices, offsets: btf.offsets, file_refs_bias: btf.file_refs_bias, losses: Vec::new(), fields: field_losses(btf) };
    let wanted_signals = (0..signal::COUNT as u32).filter(|&signal| wanted.has(signal));
    if wanted.signals != 0 && wanted_signals.clone().all(|signal| !plan.sees(signal, &[])) {
        return Err(PlanError::NoHooks(losses));
    }
    losses.extend(losses_of_names(facts, btf, wanted));
    Ok(Plan { losses, ..plan })
}

fn is_wanted(group: &Group, wanted: Wanted) -> bool {
    group.serves.iter().any(|serves| match *serves {
        Serves::Signal(signal) => wanted.has(signal),
        Serves::Owner => true,
        Serves::DeviceOwner => wanted.has(signal::DEVICE),
        Serves::Follow => wanted.follow,
    })
}

fn choose(group: &'static Group, btf: &BtfFacts) -> Choice {
    let mut passed_over = Vec::new();
    for variant in group.variants {
        match obstacle(group, variant, btf) {
            None => {
                let hook = Hook {
                    program: variant.program,
                    attach: group.attach,
                    kind: group.kind,
                    serves: group.serves,
                    need: group.need,
                };
                return Choice { group, hook: Some(hook), passed_over };
            }
            Some(why) => passed_over.push(PassedOver {
                program: variant.program,
                attach: group.attach,
                kind: group.kind,
                why,
            }),
        }
    }
    Choice { group, hook: None, passed_over }
}

/// What keeps a candidate from running here.
fn obstacle(group: &Group, variant: &Variant, btf: &BtfFacts) -> Option<String> {
    let attach = group.attach;
    let arguments = match group.kind {
        Kind::TpBtf => match btf.tracepoints.get(attach) {
            Some(&count) => Some(count),
            None => return Some(format!("this kernel has no tracepoint {attach}")),
        },
        Kind::Fexit if !btf.features.contains(&Feature::Fexit) => {
            return Some(format!("this kernel lacks {}", Feature::Fexit.name()));
        }
        Kind::Fexit => match btf.functions.get(attach) {
            Some(&count) => Some(count),
            None => return Some(format!("this kernel has no function {attach}")),
        },
        Kind::Iter if !btf.features.contains(&Feature::TaskFileIterator) => {
            return Some(format!("this kernel lacks the {}", Feature::TaskFileIterator.name()));
        }
        Kind::Iter => None,
    };
    if let Some(count) = arguments.filter(|&count| count != variant.args) {
        return Some(format!("{attach} has {count} arguments here, this form needs {}", variant.args));
    }
    let missing: Vec<&str> = fields::needed_by(variant.program)
        .filter(|name| is_unresolved(btf, name))
        .collect();
    (!missing.is_empty()).then(|| format!("the kernel's BTF lacks a field it cannot do without: {}", missing.join(", ")))
}

fn is_unresolved(btf: &BtfFacts, name: &str) -> bool {
    btf.unresolved().any(|field| field.name == name)
}

/// The loss of a choice that is not the best one.
fn loss_of(choice: &Choice) -> Option<Loss> {
    let first = choice.passed_over.first()?;
    let group = choice.group;
    let (lost, why) = match choice.hook {
        None => (group.lost, choice.passed_over.last().map_or_else(String::new, |last| last.why.clone())),
        Some(hook) => {
            let variant = group.variants.iter().find(|variant| variant.program == hook.program)?;
            (variant.short_of_best, first.why.clone())
        }
    };
    if lost.is_empty() {
        return None;
    }
    Some(Loss { serves: group.serves[0], lost: lost.to_owned(), why, remedy: group.remedy.to_owned() })
}

/// What cannot be named, although it is seen.
fn losses_of_names(facts: &Facts, btf: &BtfFacts, wanted: Wanted) -> Vec<Loss> {
    let mut losses = Vec::new();
    let mut lose = |serves, lost: &str, why: &str, remedy: &str| {
        losses.push(Loss { serves, lost: lost.to_owned(), why: why.to_owned(), remedy: remedy.to_owned() });
    };
    if wanted.has(signal::DROP) {
        let reasons = btf.tracepoints.get("kfree_skb").is_some_and(|&count| count >= 3);
        if reasons && btf.drop_reasons.is_none() {
            lose(
                Serves::Signal(signal::DROP),
                "names of drop reasons (numbers are shown)",
                "enum skb_drop_reason is not in the kernel's BTF",
                "none on this kernel; drop.location still tells the place",
            );
        }
        if facts.kptr_restrict == Some(2) {
            lose(
                Serves::Signal(signal::DROP),
                "drop.location is null",
                "kernel.kptr_restrict is 2, which hides addresses even from root",
                "`sysctl kernel.kptr_restrict=1` before the start",
            );
        }
    }
    let reset_reasons = btf.tracepoints.get("tcp_send_reset").is_some_and(|&count| count == 3);
    if wanted.has(signal::RESET) && reset_reasons && btf.reset_reasons.is_none() {
        lose(
            Serves::Signal(signal::RESET),
            "names of reset reasons (numbers are shown)",
            "enum sk_rst_reason is not in the kernel's BTF",
            "none on this kernel",
        );
    }
    if facts.tick_ns.is_none() {
        lose(
            Serves::Signal(signal::RETRANSMIT),
            "tcp.rto_us, tcp.last_send_us_ago and tcp.last_ack_us_ago are null",
            "the length of a tick is unknown (clock_getres of CLOCK_MONOTONIC_COARSE)",
            "none; the other tcp fields are not affected",
        );
    }
    if facts.cgroup2.is_none() {
        lose(
            Serves::Owner,
            "owner.cgroup is null, and --cgroup cannot be used",
            "no cgroup v2 hierarchy is mounted",
            "mount one: `mount -t cgroup2 none DIRECTORY`",
        );
    }
    losses
}

#[cfg(test)]
mod tests;
