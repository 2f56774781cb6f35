//! `cargo xtask bench`: what the kernel programs, the program and the trace cost on this machine.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Subcommand;

use crate::build::{self, Linkage, Profile};
use crate::{setup, workspace};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// Nanoseconds of each kernel program above an empty one, and start and rest of `sendtrace live`; needs root
    Hooks {
        /// Rounds; each gives one value per line
        #[arg(long, default_value_t = 24)]
        rounds: usize,
        /// One JSON object per line instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Bytes per event, the cost of recording, replaying and seeking, against their targets; needs root and 3 GB
    Trace {
        /// Where the traces are made and removed again
        #[arg(long, value_name = "FOLDER")]
        folder: Option<std::path::PathBuf>,
        /// One JSON object per line instead of a table
        #[arg(long)]
        json: bool,
    },
}

pub fn command(args: &Args) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "loading programs into the kernel needs root: run \
             `sudo --preserve-env=PATH cargo xtask bench`"
        );
    }
    let ready = setup::setup()?;
    let sendtrace = build::sendtrace(&ready, Profile::Release, Linkage::Dynamic)?;
    let bench = build::program(&ready, "bench", "bench", Profile::Release, Linkage::Dynamic)?;
    let mut command = Command::new(bench);
    let json = match &args.what {
        Suite::Hooks { rounds, json } => {
            command.args(["hooks", "--rounds", &rounds.to_string()]);
            *json
        }
        Suite::Trace { folder, json } => {
            command.arg("trace");
            if let Some(folder) = folder {
                command.arg("--folder").arg(folder);
            }
            *json
        }
    };
    command.arg("--sendtrace").arg(sendtrace);
    if json {
        command.arg("--json");
    }
    workspace::clean_environment(&mut command);
    workspace::run(&mut command)
}
