//! Arguments that may be null: no program that looks at one is loaded where no test for null holds.

use super::{Choice, Group, Kind, Variant};
use crate::kernel::facts::{BtfFacts, Facts, NULLABLE, NullTest, Nullable};

/// Arguments of the tracepoint that may be null, with what the verifier makes of a test.
fn nullable<'a>(
    facts: &'a Facts,
    attach: &'a str,
) -> impl Iterator<Item = (&'static Nullable, NullTest)> + 'a {
    let tests = facts.null_tests.iter().flatten().copied();
    NULLABLE
        .iter()
        .zip(tests)
        .filter(move |(nullable, _)| nullable.tracepoint == attach)
}

/// Why a program of this form may not look at its arguments here. Nothing is said where nobody asked the verifier:
/// then nothing is loaded either, or the facts are a record of a kernel whose plan is the one with every test kept.
pub(super) fn obstacle(group: &Group, variant: &Variant, facts: &Facts) -> Option<String> {
    if group.kind != Kind::TpBtf {
        return None;
    }
    // A program looks at all the arguments that it was written for.
    let looked_at =
        nullable(facts, group.attach).filter(|(nullable, _)| nullable.argument < variant.args);
    looked_at
        .filter_map(|(nullable, test)| match test.untyped {
            Some(true) => None,
            Some(false) => Some(format!(
                "{} may be null, and this kernel's verifier deletes every test for that (CVE-2025-21852)",
                nullable.name
            )),
            None => Some(format!(
                "{} may be null, and whether this kernel's verifier keeps a test for that could not be found out",
                nullable.name
            )),
        })
        .next()
}

/// Where arguments are trusted although they may be null, and what is done about it.
pub(super) fn remarks(
    facts: &Facts,
    btf: &BtfFacts,
    choices: &[Choice],
) -> Vec<(&'static str, String)> {
    let mut remarks: Vec<(&str, String)> = Vec::new();
    for choice in choices
        .iter()
        .filter(|choice| choice.group.kind == Kind::TpBtf)
    {
        let attach = choice.group.attach;
        let there = btf.tracepoints.get(attach).copied().unwrap_or(0);
        let unmarked: Vec<_> = nullable(facts, attach)
            .filter(|(nullable, test)| nullable.argument < there && test.typed == Some(false))
            .collect();
        if unmarked.is_empty() {
            continue;
        }
        let names: Vec<_> = unmarked.iter().map(|(nullable, _)| nullable.name).collect();
        let keeps = unmarked.iter().all(|(_, test)| test.untyped == Some(true));
        let looks = |hook: &super::Hook| {
            let variant = choice.group.variants.iter();
            let mut variant = variant.filter(|variant| variant.program == hook.program);
            let arguments = variant.next().map_or(0, |variant| variant.args);
            unmarked
                .iter()
                .any(|(nullable, _)| nullable.argument < arguments)
        };
        let done = match &choice.hook {
            Some(hook) if looks(hook) && keeps => {
                "the programs test it on an untyped value, which this verifier keeps".to_owned()
            }
            Some(hook) => format!("the program {} does not look at it", hook.program),
            None => "no program that looks at it is loaded".to_owned(),
        };
        let text = format!(
            "{} may be null and this kernel does not say so (CVE-2025-21852); {done}",
            names.join(" and ")
        );
        remarks.push((attach, text));
    }
    remarks
}
