//! One purpose, one hook: the best candidate that fits the host.

use super::{Choice, Group, Hook, Kind, Loss, PassedOver, Variant, fields};
use crate::kernel::facts::{BtfFacts, Feature};

/// The first candidate of a group that can run here.
pub(super) fn choose(group: &'static Group, btf: &BtfFacts) -> Choice {
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
                return Choice {
                    group,
                    hook: Some(hook),
                    passed_over,
                };
            }
            Some(Obstacle { fits, why }) => passed_over.push(PassedOver {
                program: variant.program,
                attach: group.attach,
                kind: group.kind,
                fits,
                why,
            }),
        }
    }
    Choice {
        group,
        hook: None,
        passed_over,
    }
}

/// What keeps a candidate from running here, and whether it fits the prototype.
struct Obstacle {
    fits: bool,
    why: String,
}

fn obstacle(group: &Group, variant: &Variant, btf: &BtfFacts) -> Option<Obstacle> {
    let attach = group.attach;
    let absent = |what: String| {
        Some(Obstacle {
            fits: false,
            why: format!("this kernel {what}"),
        })
    };
    let arguments = match group.kind {
        Kind::TpBtf | Kind::Tracepoint => match btf.tracepoints.get(attach) {
            Some(&count) => Some(count),
            None => return absent(format!("has no tracepoint {attach}")),
        },
        Kind::Fexit if !btf.features.contains(&Feature::Fexit) => {
            return absent(format!("lacks {}", Feature::Fexit.name()));
        }
        Kind::Fexit => match btf.functions.get(attach) {
            Some(&count) => Some(count),
            None => return absent(format!("has no function {attach}")),
        },
        Kind::Iter if !btf.features.contains(&Feature::TaskFileIterator) => {
            return absent(format!("lacks the {}", Feature::TaskFileIterator.name()));
        }
        Kind::Iter => None,
    };
    if let Some(count) = arguments.filter(|&count| count != variant.args) {
        let why = format!(
            "{attach} has {count} arguments here, this form needs {}",
            variant.args
        );
        return Some(Obstacle { fits: false, why });
    }
    let missing: Vec<&str> = fields::needed_by(variant.program)
        .filter(|name| is_unresolved(btf, name))
        .collect();
    (!missing.is_empty()).then(|| Obstacle {
        fits: true,
        why: format!(
            "the kernel's BTF lacks a field it cannot do without: {}",
            missing.join(", ")
        ),
    })
}

fn is_unresolved(btf: &BtfFacts, name: &str) -> bool {
    btf.unresolved().any(|field| field.name == name)
}

/// The loss of a choice that is not the best one.
pub(super) fn loss_of(choice: &Choice) -> Option<Loss> {
    let first = choice.passed_over.first()?;
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
            (variant.short_of_best, first.why.clone())
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
    })
}
