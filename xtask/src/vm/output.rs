//! What a run leaves: tables, the file of all lines, recorded facts, docs/kernels.md.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::catalog::ENTRIES;
use super::checks::Check;
use super::doctor::Doctor;
use super::record::facts_file;
use super::run::Finished;
use super::{console, docs, say, table};
use crate::workspace;

pub fn report(all: &[(Finished, Vec<Check>)], failed: &[(String, String)]) {
    for (finished, checks) in all {
        let release = finished
            .record
            .release
            .as_deref()
            .unwrap_or("never started");
        let title = format!(
            "{}: {release}, {}, {:.0} s",
            finished.id,
            finished.how,
            finished.whole.as_secs_f64()
        );
        print!(
            "{}",
            table::kernel(&title, checks, &finished.record, finished.boot)
        );
        let words = console::trouble(&finished.console[finished.boot_lines..]);
        if !words.is_empty() {
            println!("the kernel's own words:");
        }
        for line in words {
            println!("    {line}");
        }
    }
    for (id, why) in failed {
        println!("\n{id}: failed: {why}");
    }
}

pub fn write_lines(file: &Path, all: &[(Finished, Vec<Check>)]) -> Result<()> {
    let mut text = String::new();
    for (finished, _) in all {
        for step in &finished.record.steps {
            for line in &step.stdout {
                let line =
                    serde_json::json!({"kernel": finished.id, "step": step.name, "line": line});
                text.push_str(&format!("{line}\n"));
            }
            for line in &step.stderr {
                let line =
                    serde_json::json!({"kernel": finished.id, "step": step.name, "stderr": line});
                text.push_str(&format!("{line}\n"));
            }
        }
        for (step, line) in &finished.record.kernel {
            let line = serde_json::json!({"kernel": finished.id, "step": step, "kernel_log": line});
            text.push_str(&format!("{line}\n"));
        }
        for line in &finished.console {
            let line = serde_json::json!({"kernel": finished.id, "console": line});
            text.push_str(&format!("{line}\n"));
        }
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Writes docs/kernels.md, or says that it is no longer true.
pub fn write_docs(write: bool, ids: &[String], all: &[(Finished, Vec<Check>)]) -> Result<()> {
    let doctors: Vec<Option<Doctor>> = all
        .iter()
        .map(|(finished, _)| finished.record.step("doctor").and_then(Doctor::of_step))
        .collect();
    let kernels: Vec<docs::Kernel> = all
        .iter()
        .zip(&doctors)
        .filter_map(|((finished, checks), doctor)| {
            Some(docs::Kernel {
                id: &finished.id,
                release: finished.record.release.as_deref()?,
                doctor: doctor.as_ref()?,
                checks,
            })
        })
        .collect();
    let file = workspace::root().join("docs/kernels.md");
    let complete = all_were_asked_for(ids) && kernels.len() == ids.len();
    let old = fs::read_to_string(&file).unwrap_or_default();
    let new = || docs::document(&kernels, docs::section(&old, docs::BY_HAND));
    if write {
        if !complete {
            bail!(
                "docs/kernels.md tells of all kernels, and not all have run: it is left as it was"
            );
        }
        fs::write(&file, new()).with_context(|| format!("cannot write {}", file.display()))?;
        say("wrote docs/kernels.md");
    } else if complete && docs::section(&old, docs::HOOKS) != docs::section(&new(), docs::HOOKS) {
        say(
            "warning: the hooks chosen here differ from those in docs/kernels.md; \
             `cargo xtask vm --docs` writes it anew",
        );
    }
    Ok(())
}

/// Whether these are all kernels of one processor, with that of this machine.
fn all_were_asked_for(ids: &[String]) -> bool {
    let is_asked_for = |id: &str| ids.iter().any(|asked| asked == id);
    let Some(first) = ENTRIES.iter().find(|entry| is_asked_for(entry.id)) else {
        return false;
    };
    let sisters = ENTRIES.iter().filter(|entry| entry.arch == first.arch);
    ids.len() == sisters.count() + 1
}

pub fn write_facts(dir: &Path, all: &[(Finished, Vec<Check>)]) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for (finished, _) in all {
        let Some((name, text)) = facts(finished) else {
            continue;
        };
        let file = dir.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        say(&format!("wrote {}", file.display()));
    }
    Ok(())
}

/// Says where the plans are tested with facts that are no longer those of the kernel.
pub fn compare_facts(all: &[(Finished, Vec<Check>)]) {
    let dir = workspace::root().join("tests/kernels");
    for (finished, _) in all {
        let Some((name, text)) = facts(finished) else {
            continue;
        };
        let types = |text: &str| {
            let value: Value = serde_json::from_str(text).ok()?;
            value.get("btf").cloned()
        };
        let recorded = fs::read_to_string(dir.join(&name)).ok();
        if recorded.is_some_and(|recorded| types(&recorded) != types(&text)) {
            say(&format!(
                "warning: {}: its types differ from those in tests/kernels/{name}; \
                 `cargo xtask vm --record tests/kernels` records them anew",
                finished.id
            ));
        }
    }
}

/// The name of the file of a kernel's facts, and its content.
fn facts(finished: &Finished) -> Option<(String, String)> {
    let step = finished
        .record
        .step("facts")
        .filter(|step| step.succeeded())?;
    let text = step.stdout.join("\n") + "\n";
    let name = facts_file(&serde_json::from_str(&text).ok()?)?;
    Some((name, text))
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Entry;
    use super::super::{HOST, OWN};
    use super::*;
    use crate::arch::Arch;

    #[test]
    fn the_page_of_kernels_is_compared_with_all_of_a_processor_not_with_an_image() {
        let owned = |ids: &[&str]| -> Vec<String> { ids.iter().map(|id| (*id).into()).collect() };
        let x86_64 = |entry: &&Entry| entry.arch == Arch::X86_64;
        let all = ENTRIES.iter().filter(x86_64).map(|entry| entry.id);
        let all: Vec<&str> = all.chain([HOST]).collect();
        assert!(all_were_asked_for(&owned(&all)));
        assert!(!all_were_asked_for(&owned(&all[1..])));
        assert!(!all_were_asked_for(&owned(&[OWN])));
        assert!(!all_were_asked_for(&owned(&[HOST])));
    }
}
