//! From the record of a kernel to its checks, and the line of each as soon as it is known.

use vm_guest::protocol::Frame;

use super::checks::{self, Check, Outcome};
use super::doctor::Doctor;
use super::record::{Record, Step};
use super::run::Finished;
use super::steps::{self, Kind};
use super::{HOST, judge, table};

/// Prints the checks of a step as soon as it has ended.
pub fn live_line(id: &str, frame: &Frame, record: &Record) {
    match frame {
        Frame::Trouble { text } => println!("{id:<5} trouble     {text}"),
        Frame::End { step, .. } => {
            if let Some(step) = record.step(step) {
                for check in of_step(step) {
                    println!("{}", table::line(id, &check));
                }
            }
        }
        _ => {}
    }
}

/// Prints the checks that only the whole record shows.
pub fn late_lines(id: &str, checks: &[Check]) {
    let late = ["hook", judge::GROUP, "step", "kernel"];
    for check in checks
        .iter()
        .filter(|check| late.contains(&check.group.as_str()))
    {
        println!("{}", table::line(id, check));
    }
}

/// What one step alone says. What it does under a variant is judged against the whole kernel, later.
fn of_step(step: &Step) -> Vec<Check> {
    match steps::kind(&step.name) {
        Some((None, Kind::Test(program))) => checks::of_tests(&program, step),
        Some((None, Kind::Selftest)) => {
            let lines = step.stdout.iter();
            let checks: Vec<Check> = lines.filter_map(|line| checks::parse(line)).collect();
            match checks.is_empty() {
                true => vec![Check::new(
                    "step",
                    &step.name,
                    Outcome::Fail,
                    "printed no check",
                )],
                false => checks,
            }
        }
        _ => Vec::new(),
    }
}

/// The steps that failed while this host kept events from BPF programs: nothing is known of them.
pub fn withheld(record: &Record) -> Vec<Step> {
    let failed = |check: &Check| check.outcome == Outcome::Fail;
    let variants = judge::variants(record);
    let judged = |step: &Step| {
        variants.iter().filter(|check| failed(check)).any(|check| {
            let variant = check.variant.as_deref().unwrap_or_default();
            step.name == format!("{variant}: {}", check.name)
        })
    };
    let steps = record.steps.iter().filter(|step| step.withheld > 0);
    steps
        .filter(|step| of_step(step).iter().any(failed) || judged(step))
        .cloned()
        .collect()
}

/// Everything that a kernel has shown.
pub fn conclude(finished: &Finished) -> Vec<Check> {
    let record = &finished.record;
    let mut checks = Vec::new();
    if let Some(doctor) = record.step("doctor").and_then(Doctor::of_step) {
        checks.extend(judge::hooks(&doctor, finished.id == HOST));
    }
    checks.extend(record.steps.iter().flat_map(of_step));
    checks.extend(judge::variants(record));
    for step in &record.steps {
        let judged = match steps::kind(&step.name) {
            // Its tests say themselves what failed.
            Some((None, Kind::Test(_))) => true,
            // Whether it may fail there is the judge's.
            Some((Some(_), Kind::Live | Kind::Selftest | Kind::Lockdown)) => true,
            _ => false,
        };
        if !judged && !step.succeeded() {
            checks.push(Check::new(
                "step",
                &step.name,
                Outcome::Fail,
                checks::ending(step),
            ));
        }
    }
    for fault in &finished.faults {
        checks.push(Check::new("kernel", "is well", Outcome::Fail, fault));
    }
    if finished.faults.is_empty() {
        checks.push(Check::new("kernel", "is well", Outcome::Pass, ""));
    }
    checks
}
