//! Whether the tool degrades as `doctor` says, and no further.
//!
//! What was refused is known exactly: `restrict` has refused it. Doctor must name those programs and no
//! other; `live` must start if doctor says that it can, and else fail with one clear line; the selftest must
//! pass what it passed on the whole kernel, except what doctor says is lost.

use std::collections::BTreeSet;

use serde_json::Value;

use super::checks::{self, Check, Outcome};
use super::doctor::{Doctor, Hook};
use super::record::{Record, Step};
use super::steps::{LOCKDOWN, VARIANTS};

pub const GROUP: &str = "degrades";
/// The kernel keeps this many bytes of a program's name.
const NAME_BYTES: usize = 15;
/// The program of a few instructions that asks the verifier about tests for null.
const NULL_TEST: &str = "null_test";
/// What a policy answers; anything else comes from the verifier.
const EPERM: i64 = 1;

/// The hooks of the whole kernel. A machine has no policy: whatever is refused there, the verifier refused.
pub fn hooks(doctor: &Doctor, has_policy: bool) -> Vec<Check> {
    let one = |hook: &Hook| {
        let program = hook.program.as_deref().unwrap_or("none");
        let (outcome, detail) = match hook.status.as_str() {
            "allowed" => (Outcome::Pass, format!("{}, {program}", hook.attach)),
            "missing" => (Outcome::Unsupported, hook.why_not()),
            _ if has_policy && hook.errno == Some(EPERM) => (Outcome::Unsupported, hook.why_not()),
            status => (
                Outcome::Fail,
                format!("{program}: {status}: {}", hook.why_not()),
            ),
        };
        Check::new("hook", &hook.purpose, outcome, detail)
    };
    doctor.hooks.iter().map(one).collect()
}

/// Checks of every variant that has been run.
pub fn variants(record: &Record) -> Vec<Check> {
    let whole = doctor(record, None);
    let mut checks = Vec::new();
    for name in VARIANTS
        .iter()
        .map(|variant| variant.name)
        .chain([LOCKDOWN])
    {
        let Some(step) = doctor_step(record, name) else {
            continue;
        };
        let mut add = |what: &str, problem: Result<String, String>| {
            let (outcome, detail) = match problem {
                Ok(detail) => (Outcome::Pass, detail),
                Err(detail) => (Outcome::Fail, detail),
            };
            checks.push(Check::new(GROUP, what, outcome, detail).of_variant(Some(name)));
        };
        if name == LOCKDOWN
            && let Some(raise) = record.step(&format!("{name}: raise"))
            && !raise.succeeded()
        {
            let detail = format!("cannot be raised here: {}", checks::ending(raise));
            let check = Check::new(GROUP, "doctor", Outcome::Unsupported, detail);
            checks.push(check.of_variant(Some(name)));
            continue;
        }
        let (Some(whole), Some(left)) = (&whole, Doctor::of_step(step)) else {
            add(
                "doctor",
                Err(format!("no report: {}", checks::ending(step))),
            );
            continue;
        };
        let mut refused = refused(step);
        if takes(name, "capabilities") {
            refused.extend(perf_refused(&left));
        }
        let known = (name != LOCKDOWN).then_some(&refused);
        add("doctor", compare(whole, &left, known, takes(name, "btf")));
        if let Some(live) = record.step(&format!("{name}: live")) {
            add("live", live_fits(&left, live));
        }
        let base = record.step("selftest");
        if let (Some(base), Some(now)) = (base, record.step(&format!("{name}: selftest"))) {
            add("selftest", selftest_fits(whole, &left, base, now));
        }
    }
    checks
}

fn doctor(record: &Record, variant: Option<&str>) -> Option<Doctor> {
    Doctor::of_step(match variant {
        None => record.step("doctor")?,
        Some(variant) => doctor_step(record, variant)?,
    })
}

/// The step of a variant in which doctor speaks: one of its own, or with the selftest.
fn doctor_step<'a>(record: &'a Record, variant: &str) -> Option<&'a Step> {
    let own = record.step(&format!("{variant}: doctor"));
    own.or_else(|| record.step(&format!("{variant}: selftest")))
}

fn takes(variant: &str, what: &str) -> bool {
    VARIANTS
        .iter()
        .any(|known| known.name == variant && known.takes.contains(&what))
}

/// Programs of perf tracepoints that are refused: their events are opened through tracefs, which lets in nobody
/// but a root with all its capabilities.
fn perf_refused(left: &Doctor) -> impl Iterator<Item = String> + '_ {
    let refused = left
        .hooks
        .iter()
        .filter(|hook| hook.attach.starts_with("tracepoint/") && !hook.allowed());
    refused.filter_map(|hook| hook.program.clone())
}

/// The programs that `restrict` has refused; probes of the kernel have no name.
fn refused(step: &Step) -> BTreeSet<String> {
    let program = |line: &String| {
        let value: Value = serde_json::from_str(line).ok()?;
        (value.get("type")?.as_str()? == "refused").then_some(())?;
        value.get("program")?.as_str().map(str::to_owned)
    };
    let names = step.stdout.iter().filter_map(program);
    names.filter(|name| !name.is_empty()).collect()
}

/// Every hook that has gone was refused, and every refused one has gone. `refused` is `None` where the kernel
/// itself refuses; `may_lose_all` where the program has nothing to plan with.
fn compare(
    whole: &Doctor,
    left: &Doctor,
    refused: Option<&BTreeSet<String>>,
    may_lose_all: bool,
) -> Result<String, String> {
    if left.hooks.is_empty() && !left.can_trace {
        if whole.can_trace && !may_lose_all {
            return Err(format!(
                "nothing works any more, without need: {}",
                left.problem.as_deref().unwrap_or_default()
            ));
        }
        let problem = left.problem.clone().filter(|problem| !problem.is_empty());
        return problem.ok_or_else(|| "says that nothing works, but not why".to_owned());
    }
    let mut lost = Vec::new();
    for hook in whole.hooks.iter().filter(|hook| hook.allowed()) {
        let purpose = &hook.purpose;
        if stood_in_for(whole, left, hook) {
            continue;
        }
        let was_refused = |program: &str| {
            let name = &program[..program.len().min(NAME_BYTES)];
            refused.is_none_or(|refused| refused.contains(name))
        };
        let Some(now) = left.hook(hook) else {
            // When all that stand in for a tracepoint are refused, doctor speaks of the tracepoint alone.
            let told =
                |words: &[String]| left.losses.iter().any(|loss| words.contains(&loss.serves));
            let gone = |other: &&Hook| !other.allowed() && told(&other.serves);
            let is_told = |word: &String| {
                told(std::slice::from_ref(word))
                    || left
                        .hooks
                        .iter()
                        .filter(gone)
                        .any(|other| other.serves.contains(word))
            };
            if hook.program.as_deref().is_some_and(was_refused) && hook.serves.iter().any(is_told) {
                lost.push(purpose.as_str());
                continue;
            }
            return Err(format!("does not mention `{purpose}` any more"));
        };
        let was_refused = |program: &str| refused.is_some() && was_refused(program);
        let candidates = now
            .program
            .iter()
            .chain(now.passed_over.iter().map(|(name, _)| name));
        match (now.allowed(), now.program.as_deref()) {
            (true, Some(program)) if was_refused(program) => {
                return Err(format!(
                    "says that {program} is allowed, but it was refused"
                ));
            }
            (true, _) => {}
            (false, _) if refused.is_none() && now.error.is_some() => lost.push(purpose.as_str()),
            (false, _) if candidates.into_iter().any(|program| was_refused(program)) => {
                lost.push(purpose.as_str());
            }
            // What needs an answer of the verifier goes with the program that asks for it.
            (false, _) if was_refused(NULL_TEST) && now.status == "missing" => {
                lost.push(purpose.as_str());
            }
            // One half of a pair goes with the other.
            (false, _) if now.why_not().contains("of no use without") => {
                lost.push(purpose.as_str());
            }
            (false, _) => {
                return Err(format!(
                    "`{purpose}` is gone without need: {}",
                    now.why_not()
                ));
            }
        }
    }
    // A required hook that is gone is a loss that must be reported to the user.
    let silent = lost.iter().find(|purpose| {
        let hook = left.hooks.iter().find(|hook| hook.purpose == **purpose);
        hook.is_some_and(|hook| {
            !left
                .losses
                .iter()
                .any(|loss| hook.serves.contains(&loss.serves))
        })
    });
    match (silent, lost.is_empty()) {
        (Some(purpose), _) => Err(format!("`{purpose}` is refused, but no loss is named")),
        (None, true) => Ok("nothing is lost".to_owned()),
        (None, false) => Ok(format!("lost: {}", lost.join(", "))),
    }
}

/// Do hooks that were not there before serve all that this one did?
fn stood_in_for(whole: &Doctor, left: &Doctor, hook: &Hook) -> bool {
    let new = || {
        let hooks = left.hooks.iter().filter(|hook| hook.allowed());
        hooks.filter(|hook| !whole.hook(hook).is_some_and(Hook::allowed))
    };
    let is_served = |word| new().any(|other| other.serves.contains(word));
    !hook.serves.is_empty() && hook.serves.iter().all(is_served)
}

fn live_fits(doctor: &Doctor, live: &Step) -> Result<String, String> {
    if let Some(line) = live.stderr.iter().find(|line| line.contains("panicked at")) {
        return Err(line.clone());
    }
    let errors: Vec<&String> = live
        .stderr
        .iter()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("sendtrace: warning: "))
        .filter(|line| !line.starts_with("Ready: "))
        .collect();
    if doctor.can_trace {
        let totals = live
            .stdout
            .iter()
            .any(|line| line.starts_with(r#"{"type":"totals""#));
        return match live.succeeded() && totals {
            true => Ok("starts".to_owned()),
            false => Err(format!(
                "doctor says that it can trace, but: {}",
                checks::ending(live)
            )),
        };
    }
    match (live.end.as_ref().and_then(|end| end.code), &errors[..]) {
        (Some(1), [line]) if line.starts_with("sendtrace: ") => {
            Ok("fails with one clear line".to_owned())
        }
        (Some(1), lines) => Err(format!("fails with {} lines, not one", lines.len())),
        _ => Err(format!(
            "doctor says that it cannot trace, but: {}",
            live.ending()
        )),
    }
}

fn selftest_fits(whole: &Doctor, left: &Doctor, base: &Step, now: &Step) -> Result<String, String> {
    let parse = |step: &Step| -> Vec<Check> {
        step.stdout
            .iter()
            .filter_map(|line| checks::parse(line))
            .collect()
    };
    let (base, checks) = (parse(base), parse(now));
    if !left.can_trace && checks.is_empty() {
        let code = now.end.as_ref().and_then(|end| end.code);
        return match (
            code,
            now.stderr
                .iter()
                .any(|line| line.starts_with("sendtrace: ")),
        ) {
            (Some(1), true) => Ok("fails with a clear line".to_owned()),
            _ => Err(format!("nothing can be traced, but: {}", now.ending())),
        };
    }
    let mut failed = checks.iter().filter(|check| check.outcome == Outcome::Fail);
    if let Some(first) = failed.next() {
        let others: Vec<&str> = failed.map(|check| check.name.as_str()).collect();
        return Err(format!(
            "fails: {}: {}; and {} others: {}",
            first.name,
            first.detail,
            others.len(),
            others.join(", ")
        ));
    }
    let mut gone = 0;
    for before in base.iter().filter(|check| check.outcome == Outcome::Pass) {
        let after = checks
            .iter()
            .find(|check| check.group == before.group && check.name == before.name);
        match after {
            None => return Err(format!("{} has disappeared", before.name)),
            Some(after) if after.outcome == Outcome::Pass => {}
            Some(after) if explained(whole, left, &after.detail) => gone += 1,
            Some(after) => {
                return Err(format!(
                    "{} is lost, and doctor does not say so: {}",
                    after.name, after.detail
                ));
            }
        }
    }
    if !now.succeeded() {
        return Err(checks::ending(now));
    }
    Ok(format!("{gone} of {} lost, as doctor says", base.len()))
}

/// The reason is one that doctor gives here and does not give on the whole kernel.
fn explained(whole: &Doctor, left: &Doctor, detail: &str) -> bool {
    let new_loss = left
        .losses
        .iter()
        .filter(|loss| !whole.losses.contains(loss))
        .any(|loss| detail.contains(&loss.lost) || detail.contains(&loss.why));
    let gone_hook = left
        .hooks
        .iter()
        .filter(|hook| !hook.allowed() && whole.hook(hook).is_some_and(Hook::allowed))
        .any(|hook| detail.contains(&hook.attach));
    let nothing = left
        .problem
        .as_ref()
        .is_some_and(|problem| detail.contains(problem));
    new_loss || gone_hook || nothing
}

#[cfg(test)]
mod tests;
