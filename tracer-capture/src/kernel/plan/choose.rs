//! One purpose, one hook: the best candidate that fits the host.

use super::{Choice, Group, Hook, Kind, Loss, Need, PassedOver, Variant, fields};
use super::{groups, null};
use crate::kernel::facts::{BtfFacts, Facts, Feature, ProgramVerdict};

/// The first candidate of a group that can run here.
pub(super) fn choose(group: &'static Group, facts: &Facts, btf: &BtfFacts) -> Choice {
    let mut passed_over = Vec::new();
    for variant in group.variants {
        match obstacle(group, variant, facts, btf) {
            None => {
                let hook = Hook {
                    program: variant.program,
                    attach: group.attach,
                    kind: group.kind,
                    serves: group.serves,
                    need: group.need,
                };
                return Choice {
                    group,
                    hook: Some(hook),
                    passed_over,
                    covered: false,
                };
            }
            Some(Obstacle { fits, refusal, why }) => passed_over.push(PassedOver {
                program: variant.program,
                attach: group.attach,
                kind: group.kind,
                fits,
                refusal,
                why,
            }),
        }
    }
    Choice {
        group,
        hook: None,
        passed_over,
        covered: false,
    }
}

/// What keeps a candidate from running here, and whether it fits the prototype.
struct Obstacle {
    fits: bool,
    refusal: Option<ProgramVerdict>,
    why: String,
}

impl Obstacle {
    fn of_form(why: String) -> Option<Self> {
        let (fits, refusal) = (false, None);
        Some(Self { fits, refusal, why })
    }

    fn of_host(why: String) -> Option<Self> {
        let (fits, refusal) = (true, None);
        Some(Self { fits, refusal, why })
    }
}

fn obstacle(group: &Group, variant: &Variant, facts: &Facts, btf: &BtfFacts) -> Option<Obstacle> {
    let attach = group.attach;
    let absent = |what: String| Obstacle::of_form(format!("this kernel {what}"));
    let arguments = match group.kind {
        Kind::TpBtf | Kind::Tracepoint => match btf.tracepoints.get(attach) {
            Some(&count) => Some(count),
            None => return absent(format!("has no tracepoint {attach}")),
        },
        Kind::Fentry | Kind::Fexit if !btf.features.contains(&Feature::Fexit) => {
            return absent(format!("lacks {}", Feature::Fexit.name()));
        }
        Kind::Fentry | Kind::Fexit => match btf.functions.get(attach) {
            Some(&count) => Some(count),
            None => return absent(format!("has no function {attach}")),
        },
        Kind::Iter if !btf.features.contains(&Feature::TaskFileIterator) => {
            return absent(format!("lacks the {}", Feature::TaskFileIterator.name()));
        }
        Kind::CallExit if btf.perf_tracepoint_sends.is_none() => {
            return absent("lacks bpf_rdonly_cast".to_owned());
        }
        Kind::Iter | Kind::CallExit => None,
    };
    if let Some(count) = arguments.filter(|&count| !fits(group, variant, count)) {
        return Obstacle::of_form(format!(
            "{attach} has {count} arguments here, this form needs {}",
            variant.args
        ));
    }
    if variant.program == groups::WALK && !btf.features.contains(&Feature::SocketFromFile) {
        return absent(format!("lacks {}", Feature::SocketFromFile.name()));
    }
    let missing: Vec<&str> = fields::needed_by(variant.program)
        .filter(|name| is_unresolved(btf, name))
        .collect();
    if !missing.is_empty() {
        return Obstacle::of_host(format!(
            "the kernel's BTF lacks a field it cannot do without: {}",
            missing.join(", ")
        ));
    }
    if let Some(why) = null::obstacle(group, variant, facts) {
        return Obstacle::of_host(why);
    }
    let verdict = facts.verdicts.of(variant.program);
    let why = match verdict {
        ProgramVerdict::Refused { text, .. } => {
            format!("the kernel refuses {}/{attach}: {text}", group.kind.name())
        }
        ProgramVerdict::Withheld => format!(
            "{} is {}",
            variant.program,
            verdict.words().unwrap_or_default()
        ),
        ProgramVerdict::Allowed | ProgramVerdict::Untried => return None,
    };
    Some(Obstacle {
        fits: true,
        refusal: Some(verdict.clone()),
        why,
    })
}

/// Can a program run where there are so many arguments? Those of a tracepoint have kept their places, so a program
/// that reads fewer than a known prototype has will do. The result of a function comes after its arguments.
fn fits(group: &Group, variant: &Variant, count: usize) -> bool {
    let is_known = || group.variants.iter().any(|other| other.args == count);
    match group.kind {
        Kind::TpBtf => variant.args <= count && is_known(),
        Kind::Tracepoint | Kind::CallExit | Kind::Fentry | Kind::Fexit | Kind::Iter => {
            variant.args == count
        }
    }
}

fn is_unresolved(btf: &BtfFacts, name: &str) -> bool {
    btf.unresolved().any(|field| field.name == name)
}

/// The loss of a choice that is not the best one.
pub(super) fn loss_of(choice: &Choice) -> Option<Loss> {
    // The first says why the best does not run; a refusal is what somebody can do something about.
    let passed_over = || choice.passed_over.iter();
    let decisive = passed_over()
        .find(|other| other.refusal.is_some())
        .or(choice.passed_over.first())?;
    if choice.covered {
        return None;
    }
    let group = choice.group;
    let (lost, why) = match choice.hook {
        None => (
            group.lost,
            choice.why_missing().unwrap_or_default().to_owned(),
        ),
        Some(hook) => {
            let variant = group
                .variants
                .iter()
                .find(|variant| variant.program == hook.program)?;
            (variant.short_of_best, decisive.why.clone())
        }
    };
    if lost.is_empty() {
        return None;
    }
    Some(Loss {
        serves: group.serves[0],
        lost: lost.to_owned(),
        why,
        remedy: group.remedy.to_owned(),
        quiet: group.need == Need::Optional && choice.refused().is_some(),
    })
}
