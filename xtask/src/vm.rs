//! `cargo xtask vm`: the one binary on real kernels, old and new, each in a virtual machine.
//!
//! Kernels come from Debian's packages (or the command line), init and everything under test is built here
//! and packed with them, QEMU runs it. What fails, hangs, makes the kernel complain, or says nothing is a
//! failure.

mod catalog;
mod checks;
mod conclude;
mod console;
mod cpio;
mod docs;
mod doctor;
mod fetch;
mod foreign;
mod host_programs;
mod initramfs;
mod judge;
mod kvm;
mod modules;
mod output;
mod programs;
mod qemu;
mod record;
mod run;
mod steps;
mod table;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use self::catalog::ENTRIES;
use self::checks::{Check, Outcome};
use self::conclude::{conclude, late_lines, live_line, withheld};
use self::fetch::Kernel;
use self::programs::Programs;
use self::run::{Finished, Shared};
use self::steps::{TESTS, WHOLE, Wanted};
use crate::arch::Arch;
use crate::setup;
use anyhow::{Context, Result, bail};
use vm_guest::protocol::Manifest;

/// The kernel of this machine.
const HOST: &str = "host";
/// That of `--image`.
const OWN: &str = "own";
/// So often a step of this machine is run where its kernel withholds events from BPF programs.
const TRIES: usize = 3;

#[derive(clap::Args)]
pub struct Args {
    /// Only this kernel: 5.10, 6.1, 6.12, 6.12-generic, 6.12-rt, 7.x or host, 6.12-arm64 or 7.x-arm64 (default: all
    /// of --arch); may be given several times
    #[arg(long = "kernel", value_name = "K")]
    kernels: Vec<String>,
    /// Boot kernels of this processor (default: that of this machine)
    #[arg(long)]
    arch: Option<Arch>,
    /// Boot this kernel image instead
    #[arg(long, value_name = "VMLINUZ", conflicts_with = "kernels")]
    image: Option<PathBuf>,
    /// The modules of --image, such as /lib/modules/5.14.0-1.el9; needless where all is built in
    #[arg(long, value_name = "DIR", requires = "image")]
    modules: Option<PathBuf>,
    /// More words for the kernel's command line, such as `panic_on_warn=0`; may be given several times
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Run every scenario test, not only those that fit into a CI run
    #[arg(long)]
    suite: bool,
    /// Run only this test program; may be given several times
    #[arg(long = "test", value_name = "NAME", conflicts_with = "suite")]
    tests: Vec<String>,
    /// Memory of each machine: KASAN needs three times as much
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,
    /// Machines at once; each has one processor
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    at_once: u8,
    /// Write every line that came out of the machines to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write docs/kernels.md from what was seen
    #[arg(long, conflicts_with_all = ["image", "tests"])]
    docs: bool,
    /// Write the facts of each kernel to DIR, as tests/kernels has them (debian-6.12-cloud-x86_64.json)
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
}

pub fn command(args: &Args) -> Result<()> {
    let begun = Instant::now();
    let ready = setup::setup()?;
    let arch = match args.arch {
        Some(arch) => arch,
        None => Arch::of_host(&ready).context("name the processor of the kernels with --arch")?,
    };
    let foreign = arch.is_foreign(&ready);
    let ids = chosen(args, arch, foreign)?;
    let virtual_ids: Vec<&str> = ids
        .iter()
        .map(String::as_str)
        .filter(|id| *id != HOST)
        .collect();
    let qemu = match virtual_ids.is_empty() {
        true => PathBuf::new(),
        false => qemu::find(arch)?,
    };
    let (tests, whole) = tests(args, &ids)?;
    let work = tempfile::tempdir().context("cannot make a folder for this run")?;
    say("building the static programs");
    let programs = programs::build(
        &ready,
        foreign.then_some(arch),
        &[&tests[..], &whole].concat(),
        &work.path().join("programs"),
    )?;
    let built = begun.elapsed().as_secs_f64();
    let wanted = Wanted {
        selftest: foreign || has_selftest(&programs)?,
        tests,
        whole,
        chosen: args.suite || !args.tests.is_empty(),
    };
    let mut all: Vec<(Finished, Vec<Check>)> = Vec::new();
    let mut failed_early = Vec::new();

    let mut kernels = VecDeque::new();
    let cache = setup::cache_dir()?;
    for id in virtual_ids {
        match kernel(id, args, &cache) {
            Ok(kernel) => kernels.push_back(kernel),
            Err(error) => failed_early.push((id.to_owned(), format!("{error:#}"))),
        }
    }

    let has_host = ids.iter().any(|id| id == HOST);
    let runs_host = has_host && nix::unistd::geteuid().is_root();
    if has_host && !runs_host {
        println!("{HOST:<5} skipped: needs root: run `sudo --preserve-env=PATH cargo xtask vm`");
    }
    thread::scope(|scope| {
        // Beside the machines: most of its time it waits for timers.
        let here = runs_host.then(|| scope.spawn(|| host(&programs, &wanted, work.path())));
        if !kernels.is_empty() {
            let shared = Shared {
                qemu,
                arch,
                foreign,
                common: work.path().join("common.cpio"),
                kvm: kvm::Trial::new(&cache),
                memory: args.memory,
                append: args.append.clone(),
            };
            let packages = match foreign {
                true => Some(foreign::fetch(arch, &cache)?),
                false => None,
            };
            let packages = packages.as_deref().map(|tree| (tree, arch));
            initramfs::write_common(&shared.common, &programs, packages)?;
            machines(
                kernels,
                args.at_once,
                &wanted,
                &shared,
                work.path(),
                &mut all,
                &mut failed_early,
            )?;
        }
        if let Some(here) = here {
            all.push(here.join().ok().context("a thread panicked")??);
        }
        anyhow::Ok(())
    })?;
    let order = |id: &str| ids.iter().position(|known| known == id);
    all.sort_by_key(|(finished, _)| order(&finished.id));

    output::report(&all, &failed_early);
    if let Some(file) = &args.json {
        output::write_lines(file, &all)?;
    }
    match &args.record {
        Some(dir) => output::write_facts(dir, &all)?,
        None => output::compare_facts(&all),
    }
    output::write_docs(args.docs, &ids, &all)?;
    let failures = all
        .iter()
        .flat_map(|(_, checks)| checks)
        .filter(|check| check.outcome == Outcome::Fail)
        .count();
    let all = begun.elapsed().as_secs_f64();
    say(&format!(
        "{all:.0} s in all, {built:.0} s of them for building"
    ));
    match failures + failed_early.len() {
        0 => Ok(()),
        count => bail!("{count} checks failed, listed above"),
    }
}

/// Which kernels, by id.
fn chosen(args: &Args, arch: Arch, foreign: bool) -> Result<Vec<String>> {
    if args.image.is_some() {
        return Ok(vec![OWN.to_owned()]);
    }
    let booted = ENTRIES.iter().filter(|entry| entry.arch == arch);
    let here = (!foreign).then_some(HOST);
    let known: Vec<&str> = booted.map(|entry| entry.id).chain(here).collect();
    for id in &args.kernels {
        if !known.contains(&id.as_str()) {
            bail!("no kernel {id}: there are {}", known.join(", "));
        }
    }
    Ok(known
        .into_iter()
        .filter(|id| args.kernels.is_empty() || args.kernels.iter().any(|k| k == id))
        .map(str::to_owned)
        .collect())
}

fn kernel(id: &str, args: &Args, cache: &Path) -> Result<Kernel> {
    if let Some(image) = &args.image {
        for path in [Some(image), args.modules.as_ref()].into_iter().flatten() {
            if !path.exists() {
                bail!("{} does not exist", path.display());
            }
        }
        return Ok(Kernel {
            id: id.to_owned(),
            image: image.clone(),
            modules: args.modules.clone(),
        });
    }
    let entry = ENTRIES.iter().find(|entry| entry.id == id);
    fetch::kernel(entry.context("no such kernel")?, cache)
}

/// Which tests are run on each kernel, and which on one.
fn tests(args: &Args, ids: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let all = programs::all_tests()?;
    if let Some(unknown) = args.tests.iter().find(|test| !all.contains(test)) {
        bail!("no test program {unknown}: there are {}", all.join(", "));
    }
    if !args.tests.is_empty() {
        return Ok((args.tests.clone(), Vec::new()));
    }
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let whole: Vec<String> = owned(&WHOLE);
    Ok(match args.suite {
        true => {
            let others = all.into_iter().filter(|test| !whole.contains(test));
            (others.collect(), whole)
        }
        false => {
            // What none of them runs need not be built.
            let used = |test: &&str| ids.iter().any(|id| steps::is_of_part(id, test));
            let used: Vec<&str> = TESTS.into_iter().filter(used).collect();
            let here = ids.iter().any(|id| id == steps::WHOLE_ON);
            (owned(&used), if here { whole } else { Vec::new() })
        }
    })
}

/// Whether the program has the command `selftest`.
fn has_selftest(programs: &Programs) -> Result<bool> {
    let help = Command::new(&programs.under_test[0])
        .args(["selftest", "--help"])
        .stdin(Stdio::null())
        .output()
        .context("the program that was just built does not start")?;
    Ok(help.status.success())
}

fn host(programs: &Programs, wanted: &Wanted, work: &Path) -> Result<(Finished, Vec<Check>)> {
    let dir = work.join("programs");
    let manifest = steps::manifest(wanted, HOST, &dir.to_string_lossy(), false);
    let on_this_host = |manifest: &Manifest| {
        run::on_this_host(manifest, &programs.guest, work, |frame, record| {
            live_line(HOST, frame, record);
        })
    };
    let mut finished = on_this_host(&manifest)?;
    for _ in 1..TRIES {
        let again = withheld(&finished.record);
        if again.is_empty() {
            break;
        }
        for step in &again {
            println!(
                "{HOST:<5} again       {}: {} events fired while a task of process 1 was at hand, for which this \
                 host may run no BPF program",
                step.name, step.withheld
            );
        }
        let mut some = manifest.clone();
        some.steps
            .retain(|step| again.iter().any(|known| known.name == step.name));
        let later = on_this_host(&some)?;
        finished.faults.extend(later.faults);
        finished.whole += later.whole;
        finished.record.replace(later.record);
    }
    let checks = conclude(&finished);
    late_lines(HOST, &checks);
    Ok((finished, checks))
}

/// Runs all kernels, some at a time.
fn machines(
    kernels: VecDeque<Kernel>,
    at_once: u8,
    wanted: &Wanted,
    shared: &Shared,
    work: &Path,
    all: &mut Vec<(Finished, Vec<Check>)>,
    failed: &mut Vec<(String, String)>,
) -> Result<()> {
    let queue = Mutex::new(kernels);
    let results = Mutex::new(Vec::new());
    let one = || {
        loop {
            let next = queue.lock().ok().and_then(|mut queue| queue.pop_front());
            let Some(kernel) = next else { return };
            let dir = work.join(&kernel.id);
            let manifest = steps::in_machine(wanted, &kernel.id);
            let result = fs::create_dir_all(&dir).map_err(Into::into).and_then(|()| {
                run::in_machine(&kernel, &manifest, shared, &dir, |frame, record| {
                    live_line(&kernel.id, frame, record);
                })
            });
            let result = result.map(|finished| {
                let checks = conclude(&finished);
                late_lines(&kernel.id, &checks);
                (finished, checks)
            });
            if let Ok(mut results) = results.lock() {
                results.push((kernel.id, result));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(one);
        }
    });
    let results = results.into_inner().ok().context("a thread panicked")?;
    for (id, result) in results {
        match result {
            Ok(pair) => all.push(pair),
            Err(error) => failed.push((id, format!("{error:#}"))),
        }
    }
    Ok(())
}

/// One line about what is going on.
fn say(line: &str) {
    eprintln!("vm: {line}");
}
