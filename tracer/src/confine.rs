//! What a command that reads traces may still do once it has begun: read what it was told to read, write what it was
//! told to write, and nothing else. A trace comes from elsewhere; should one ever get the better of this program, it
//! finds no other files (Landlock), no sockets and no way to run another program (seccomp).
//!
//! Best effort: a kernel without Landlock (before 5.13; RHEL 8) or seccomp runs the command as it is, and `-v` says so.

mod syscalls;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, Scope,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use crate::cli::Command;

/// Where the library of time zones looks.
const TIME_ZONES: [&str; 5] = [
    "/etc/localtime",
    "/etc/timezone",
    "/etc/zoneinfo",
    "/usr/share/zoneinfo",
    "/usr/share/lib/zoneinfo",
];

/// Files that a command was told to use.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// To be read: files, or folders with all that is in them.
    pub read: Vec<PathBuf>,
    /// A file to be made: its folder is written to.
    pub write: Option<PathBuf>,
}

impl Files {
    /// Those of a command that reads traces; `None`: another one.
    pub fn of(command: &Command) -> Option<Self> {
        let read = |paths: &[PathBuf]| Self {
            read: paths.to_vec(),
            write: None,
        };
        Some(match command {
            Command::Replay(args) => read(&args.paths),
            Command::Info(args) => read(&args.paths),
            Command::Diff(args) => read(&[args.before.clone(), args.after.clone()]),
            Command::Report(args) => {
                let mut files = read(&args.paths);
                files.read.extend(args.app_log.clone());
                files
            }
            Command::Export(args) => Self {
                write: Some(args.output.clone()),
                ..read(&args.paths)
            },
            Command::Explain(_) => Self::default(),
            _ => return None,
        })
    }
}

/// Confines the calling thread, and all that it starts, to these files. Says what could not be had.
pub fn to(files: &Files) {
    if let Err(error) = only_these_files(files) {
        log::info!("not confined to the files that were named (Landlock): {error:#}");
    }
    if let Err(error) = only_these_calls() {
        log::info!("system calls are not restricted (seccomp): {error:#}");
    }
}

fn only_these_files(files: &Files) -> Result<()> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V5))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?;
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in files.read.iter().flat_map(|path| with_targets(path)) {
        rules = allow(rules, &path, reading);
    }
    let zones = TIME_ZONES.iter().map(PathBuf::from);
    // `TZ` may name a file, `TZDIR` another folder.
    let named = ["TZ", "TZDIR"].into_iter().filter_map(env::var_os);
    for path in zones.chain(named.map(PathBuf::from)) {
        rules = allow(rules, &path, reading);
    }
    if let Some(path) = &files.write {
        // The file is made under another name, which it loses when it is complete.
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let making = AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::WriteFile;
        rules = allow(rules, parent.unwrap_or(Path::new(".")), making);
        rules = allow(rules, path, AccessFs::WriteFile.into());
    }
    let status = rules.restrict_self()?;
    log::debug!("Landlock: {:?}", status.ruleset);
    Ok(())
}

/// The path, and what symbolic links lead to that lie in a folder: segments of a trace may be kept elsewhere.
fn with_targets(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    let mut all = vec![path.to_owned()];
    all.extend(links.map(|link| link.path()));
    all
}

/// Adds a rule. What is not there needs none: who opens it will say so.
fn allow(rules: RulesetCreated, path: &Path, mut access: BitFlags<AccessFs>) -> RulesetCreated {
    let Ok(fd) = PathFd::new(path) else {
        return rules;
    };
    if !path.is_dir() {
        access &= AccessFs::from_file(ABI::V5);
    }
    // The rules change only where one is taken; a pipe among the paths has no place in the file system, and is free.
    let mut rules = rules;
    let _ = (&mut rules).add_rule(PathBeneath::new(fd, access));
    rules
}

fn only_these_calls() -> Result<()> {
    let filter = SeccompFilter::new(
        syscalls::allowed()?.into_iter().collect::<BTreeMap<_, _>>(),
        SeccompAction::Errno(libc::EPERM as u32),
        SeccompAction::Allow,
        TargetArch::try_from(env::consts::ARCH).context("no filter for this processor")?,
    )?;
    let program = BpfProgram::try_from(filter)?;
    Ok(seccompiler::apply_filter(&program)?)
}
