//! One kernel from its image to its record: booted again where the emulator, not the kernel, had died.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use vm_guest::protocol::{Frame, Manifest};

use super::fetch::Kernel;
use super::modules::{self, WANTED};
use super::qemu::{Accelerator, End, Machine, Outcome};
use super::record::Record;
use super::{console, initramfs, kvm, say};
use crate::arch::Arch;

/// What all machines share.
pub struct Shared {
    pub qemu: PathBuf,
    pub arch: Arch,
    /// Another processor than that of this machine, which can only be emulated.
    pub foreign: bool,
    pub common: PathBuf,
    pub kvm: kvm::Trial,
    /// Of each, in MiB.
    pub memory: u32,
    /// More words for every kernel.
    pub append: Vec<String>,
}

/// A kernel that has run.
pub struct Finished {
    pub id: String,
    pub record: Record,
    /// What went wrong outside of the steps.
    pub faults: Vec<String>,
    /// What the kernel printed on its console.
    pub console: Vec<String>,
    /// So many lines of it are of the boot: some kernels complain of an emulated machine then.
    pub boot_lines: usize,
    pub boot: Option<Duration>,
    pub whole: Duration,
    pub how: &'static str,
}

/// Boots a kernel and runs the manifest; every frame is also handed to `each`.
pub fn in_machine(
    kernel: &Kernel,
    manifest: &Manifest,
    shared: &Shared,
    dir: &Path,
    mut each: impl FnMut(&Frame, &Record),
) -> Result<Finished> {
    // Everything may be built in.
    let modules = match &kernel.modules {
        Some(dir) => modules::load_order(dir, WANTED)
            .with_context(|| format!("{}: the modules", kernel.id))?,
        None => Vec::new(),
    };
    let own = dir.join("own.cpio");
    initramfs::write_own(&own, &modules, manifest)?;
    let image = dir.join("initramfs.cpio");
    initramfs::join(&[&shared.common, &own], &image)?;
    fs::remove_file(&own)?;

    let mut tries = 0;
    loop {
        let accelerator = match shared.kvm.may_work() && !shared.foreign {
            true => Accelerator::Kvm,
            false => Accelerator::Tcg,
        };
        let machine = Machine {
            qemu: &shared.qemu,
            arch: shared.arch,
            image: &kernel.image,
            initramfs: &image,
            dir,
            accelerator,
            manifest,
            memory: shared.memory,
            append: &shared.append,
        };
        let mut record = Record::default();
        let outcome = machine.run(|frame| {
            record.add(frame.clone());
            each(&frame, &record);
        })?;
        tries += 1;
        if !outcome.started {
            if accelerator == Accelerator::Kvm {
                shared.kvm.failed();
                say(&format!(
                    "{}: not even init started under KVM: emulating",
                    kernel.id
                ));
                tries = 0;
                continue;
            }
            // QEMU 7.2 has died once before the kernel's first word. Twice is no accident.
            if tries < 2 {
                say(&format!(
                    "{}: died before init ({:?}); trying once more. Last words: {}",
                    kernel.id,
                    outcome.end,
                    words(&outcome.console)
                ));
                continue;
            }
        }
        return Ok(Finished {
            id: kernel.id.clone(),
            faults: faults(&outcome, &record),
            console: outcome.console,
            boot_lines: outcome.boot_lines,
            record,
            boot: outcome.boot,
            whole: outcome.whole,
            how: accelerator.name(),
        });
    }
}

/// Runs the manifest on the kernel of this machine. Needs root.
pub fn on_this_host(
    manifest: &Manifest,
    guest: &Path,
    dir: &Path,
    mut each: impl FnMut(&Frame, &Record),
) -> Result<Finished> {
    let file = dir.join("manifest.json");
    fs::write(&file, serde_json::to_vec(manifest)?)?;
    let begun = Instant::now();
    let mut child = Command::new(guest)
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", guest.display()))?;
    let mut record = Record::default();
    let mut done = false;
    let pipe = child.stdout.take().context("no pipe")?;
    for line in BufReader::new(pipe).lines() {
        let frame: Frame = serde_json::from_str(&line?).context("not a frame")?;
        done |= frame == Frame::Done;
        record.add(frame.clone());
        each(&frame, &record);
    }
    let status = child.wait()?;
    let mut faults = complaints(&record);
    if !done {
        faults.push(format!("the steps did not come to their end ({status})"));
    }
    Ok(Finished {
        id: "host".to_owned(),
        record,
        faults,
        console: Vec::new(),
        boot_lines: 0,
        boot: None,
        whole: begun.elapsed(),
        how: "native",
    })
}

fn faults(outcome: &Outcome, record: &Record) -> Vec<String> {
    let mut faults = complaints(record);
    let at = record
        .steps
        .last()
        .map_or("before the first step", |step| &step.name);
    let console = &outcome.console[outcome.boot_lines..];
    let words = words(console);
    match (outcome.end, outcome.started) {
        (End::Done, _) => {}
        (End::Died, false) => faults.push(format!("died before init: {words}")),
        (End::Hung, false) => faults.push(format!("silent: init never started: {words}")),
        (End::Died, true) => faults.push(format!("died at: {at}: {words}")),
        (End::Hung, true) => faults.push(format!("hung at: {at}: {words}")),
    }
    // What came through /dev/kmsg is not told twice, nor what it died of.
    let survived = outcome.end == End::Done;
    for line in console.iter().filter(|_| survived) {
        let known = || {
            record
                .kernel
                .iter()
                .any(|(_, text)| line.contains(text.as_str()))
        };
        if let Some(kind) = console::complaint(line)
            && !known()
        {
            faults.push(format!("{kind} on the console: {line}"));
        }
    }
    faults
}

/// What the kernel complained of while the steps ran.
fn complaints(record: &Record) -> Vec<String> {
    let complaints = record.kernel.iter().filter_map(|(step, text)| {
        let kind = console::complaint(text)?;
        let step = step.as_deref().unwrap_or("between steps");
        Some(format!("{kind} during {step}: {text}"))
    });
    complaints.collect()
}

/// What is told of a machine that did not come to its end.
fn words(console: &[String]) -> String {
    console::headline(console).unwrap_or_else(|| last_words(console))
}

fn last_words(console: &[String]) -> String {
    let words = console.iter().filter(|line| !line.trim().is_empty());
    let all: Vec<&str> = words.map(String::as_str).collect();
    match &all[all.len().saturating_sub(3)..] {
        [] => "(not a word on the console)".to_owned(),
        words => words.join(" | "),
    }
}
