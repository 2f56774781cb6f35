//! `cargo xtask fuzz`: hostile bytes for the readers of traces, from the corpus that is kept in `fuzz/corpus`.
//!
//! With libFuzzer and AddressSanitizer, which the pinned toolchain brings; where there is no C++ compiler or no
//! sanitizer, that is said, and what is possible is done.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::setup::{self, Ready};
use crate::{lint, workspace};

/// The targets: programs of the crate `fuzz`.
const TARGETS: [&str; 2] = ["reader", "decoder"];

/// What tells libFuzzer which code an input reaches.
const COVERAGE: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Not stable: cargo and rustc are made to accept it all the same, as for the BPF programs.
const SANITIZER: &str = "-Zsanitizer=address";

/// Memory in all, and for one allocation, MiB: a trace of any size is read in less.
const MOST_MEMORY: &str = "-rss_limit_mb=1024";
const MOST_ALLOCATION: &str = "-malloc_limit_mb=64";
/// Longer inputs find nothing that shorter ones do not, bytes.
const LONGEST: &str = "-max_len=65536";

#[derive(clap::Args)]
pub struct Args {
    /// How long, all targets together
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Only this target
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
}

/// How inputs are made, best first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// libFuzzer, with memory errors found and single allocations bounded.
    Sanitized,
    /// libFuzzer.
    Covered,
    /// The corpus and spoiled copies of it.
    Plain,
}

impl Way {
    /// What is missing, to be said.
    fn lacks(self) -> Option<&'static str> {
        match self {
            Self::Sanitized => None,
            Self::Covered => Some(
                "AddressSanitizer cannot be had here: memory errors are not looked for, and single allocations \
                 are not bounded",
            ),
            Self::Plain => Some(
                "libFuzzer cannot be built here (it needs a C++ compiler): the corpus is read, and spoiled copies \
                 of it, blindly",
            ),
        }
    }
}

pub fn command(args: &Args) -> Result<()> {
    let ready = setup::setup()?;
    let way = best_way(&ready)?;
    if let Some(lacks) = way.lacks() {
        eprintln!("fuzz: {lacks}");
    }
    let targets: Vec<&str> = match &args.target {
        Some(target) => vec![target],
        None => TARGETS.to_vec(),
    };
    let seconds = (args.seconds / targets.len() as u64).max(1);
    for target in targets {
        run(&ready, way, target, seconds)?;
    }
    Ok(())
}

/// Builds, and gives the way in which that succeeded.
fn best_way(ready: &Ready) -> Result<Way> {
    let has_cxx = std::env::var_os("CXX").is_some() || workspace::find_program("c++").is_some();
    if has_cxx {
        for way in [Way::Sanitized, Way::Covered] {
            match build(ready, way) {
                Ok(()) => return Ok(way),
                Err(error) => eprintln!("fuzz: {way:?}: {error:#}"),
            }
        }
    }
    build(ready, Way::Plain)?;
    Ok(Way::Plain)
}

fn build(ready: &Ready, way: Way) -> Result<()> {
    let mut cargo = ready.cargo()?;
    cargo
        .args(["build", "--quiet", "--manifest-path", "fuzz/Cargo.toml"])
        // With a named target the flags are not for build scripts.
        .args(["--target", &ready.toolchain.host])
        .arg("--target-dir")
        .arg(target_dir(way));
    if way != Way::Plain {
        let mut flags = COVERAGE.to_vec();
        if way == Way::Sanitized {
            flags.push(SANITIZER);
            cargo.env("RUSTC_BOOTSTRAP", "1");
        }
        cargo
            .args(["--features", "libfuzzer"])
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    }
    workspace::run(&mut cargo)
}

/// A folder for each way: the flags go into everything that is built.
fn target_dir(way: Way) -> PathBuf {
    let name = format!("fuzz-{way:?}").to_lowercase();
    lint::target_dir().join(name)
}

fn run(ready: &Ready, way: Way, target: &str, seconds: u64) -> Result<()> {
    let dir = target_dir(way);
    let kept = workspace::root().join("fuzz/corpus").join(target);
    let program = match way {
        Way::Plain => "plain",
        _ => target,
    };
    let program = dir.join(&ready.toolchain.host).join("debug").join(program);
    let mut command = std::process::Command::new(program);
    if way == Way::Plain {
        command.args([target, &seconds.to_string()]).arg(kept);
    } else {
        let found = folder(&dir.join("found").join(target))?;
        let bad = folder(&dir.join("bad").join(target))?;
        command
            // New inputs go to the first folder; what is kept is only read.
            .args([&found, &kept])
            .arg(format!("-max_total_time={seconds}"))
            .args([MOST_MEMORY, LONGEST, "-timeout=20", "-print_final_stats=1"])
            .arg("-verbosity=0")
            .arg(format!("-artifact_prefix={}/", bad.display()));
        if way == Way::Sanitized {
            command.arg(MOST_ALLOCATION);
        }
    }
    workspace::clean_environment(&mut command);
    eprintln!("fuzz: {target}, {seconds} s");
    let status = command
        .status()
        .with_context(|| format!("could not start {target}"))?;
    if !status.success() {
        bail!(
            "{target} found an input on which the reader fails ({status}); the message above says where the input is"
        );
    }
    Ok(())
}

fn folder(path: &Path) -> Result<PathBuf> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path.to_owned())
}
