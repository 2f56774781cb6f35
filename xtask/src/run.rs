//! `cargo xtask run -- ARGS`: builds as the user who asked, then becomes `sendtrace ARGS`.
//!
//! Only the commands that load programs into the kernel ask for root. The build never runs as
//! root for a user, so it leaves no files behind that the user cannot remove.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::{self, Linkage, Profile};
use crate::{setup, workspace};

/// All commands of sendtrace: the first of these words decides.
const COMMANDS: [&str; 11] = [
    "live", "record", "top", "selftest", "replay", "report", "diff", "export", "doctor", "explain",
    "help",
];
const ROOT_COMMANDS: [&str; 4] = ["live", "record", "top", "selftest"];

/// What the user set for the program has to survive sudo.
const KEPT_BY_SUDO: [&str; 5] = [
    "RUST_LOG",
    "RUST_BACKTRACE",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "TZ",
];

#[derive(clap::Args)]
pub struct Args {
    /// Build without optimisations: compiles faster, runs slower
    #[arg(long, conflicts_with = "release")]
    dev: bool,
    /// Build with optimisations (this is the default)
    #[arg(long)]
    release: bool,
    /// What `sendtrace` is given
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    args: Vec<OsString>,
}

pub fn command(args: &Args) -> Result<()> {
    let ready = setup::setup()?;
    let profile = if args.dev {
        Profile::Dev
    } else {
        Profile::Release
    };
    let program = build::sendtrace(&ready, profile, Linkage::Dynamic)?;

    let is_root = nix::unistd::geteuid().is_root();
    let mut command = if is_root || !needs_root(&args.args) {
        Command::new(&program)
    } else {
        let sudo = workspace::find_program("sudo").context(
            "this command loads programs into the kernel, which needs root, and there is no \
             `sudo` here: run the same command as root",
        )?;
        eprintln!("run: this command needs root; asking sudo");
        through_sudo(&sudo, &program)
    };
    command.args(&args.args);
    workspace::clean_environment(&mut command);
    // Becoming the program, not starting it: signals and the exit status are then its own.
    let error = command.exec();
    Err(error).with_context(|| format!("could not start {}", program.display()))
}

fn through_sudo(sudo: &Path, program: &Path) -> Command {
    let mut command = Command::new(sudo);
    let kept: Vec<&str> = KEPT_BY_SUDO
        .into_iter()
        .filter(|name| env::var_os(name).is_some())
        .collect();
    if !kept.is_empty() {
        command.arg(format!("--preserve-env={}", kept.join(",")));
    }
    command.arg("--").arg(program);
    command
}

/// Does this command line load anything into the kernel?
fn needs_root(args: &[OsString]) -> bool {
    let words = || args.iter().filter_map(|arg| arg.to_str());
    let asks_for_help = words().any(|arg| matches!(arg, "-h" | "--help" | "-V" | "--version"));
    let command = words().find(|arg| COMMANDS.contains(arg));
    !asks_for_help && command.is_some_and(|command| ROOT_COMMANDS.contains(&command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(line: &str) -> bool {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        needs_root(&args)
    }

    #[test]
    fn only_commands_that_load_programs_need_root() {
        assert!(asks("live --pid 4"));
        assert!(asks("--format json record night.trace"));
        assert!(!asks("replay night.trace"));
        assert!(!asks("doctor"));
        assert!(!asks(""));
    }

    #[test]
    fn asking_for_help_never_needs_root() {
        assert!(!asks("live --help"));
        assert!(!asks("help live"));
        assert!(!asks("--version"));
    }

    #[test]
    fn the_first_command_decides_and_not_a_later_word() {
        assert!(!asks("explain top"));
    }
}
