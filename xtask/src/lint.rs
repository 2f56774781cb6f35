//! `cargo xtask lint`: format, clippy for both sides, and no names of package registries.

mod hosts;
mod links;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::{self, Ready};
use crate::workspace;

/// One broken rule, printed as `file:line: rule`.
#[derive(Debug, PartialEq)]
pub struct Violation {
    pub file: String,
    pub line: usize,
    /// What is forbidden, and why.
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

pub fn command() -> Result<()> {
    // All steps always run: one look should show everything that is to be done.
    let mut failed = Vec::new();
    let mut step = |name: &'static str, result: Result<()>| {
        if let Err(error) = result {
            eprintln!("lint: {name}: {error:#}");
            failed.push(name);
        }
    };
    step("names of hosts", check_hosts());
    step("links", check_links());
    step("docs/architecture.md", crate::docs::check());
    step(
        "format",
        workspace::run(workspace::cargo().args(["fmt", "--all", "--", "--check"])),
    );
    let ready = setup::setup()?;
    step("clippy", clippy_host(&ready));
    step("clippy of the BPF programs", clippy_kernel(&ready));
    step("another system", check_elsewhere(&ready));
    if !failed.is_empty() {
        bail!("lint found something in: {}", failed.join(", "));
    }
    println!("lint: all clean");
    Ok(())
}

fn clippy_host(ready: &Ready) -> Result<()> {
    let mut cargo = ready.cargo()?;
    cargo.args(["clippy", "--all-targets", "--quiet", "--", "-D", "warnings"]);
    workspace::run(&mut cargo)
}

/// The flags are the ones that aya-build compiles the BPF programs with.
fn clippy_kernel(ready: &Ready) -> Result<()> {
    let arch = ready.toolchain.host.split('-').next().unwrap_or_default();
    let endian = if cfg!(target_endian = "big") {
        "bpfeb"
    } else {
        "bpfel"
    };
    let mut cargo = ready.cargo()?;
    cargo
        .args([
            "clippy",
            "--package",
            "tracer-ebpf",
            "--package",
            "tracer-ebpf-debug",
            "--bins",
            "--quiet",
            "--release",
        ])
        .args([
            "--target",
            &format!("{endian}-unknown-none"),
            "-Z",
            "build-std=core",
        ])
        // A folder of its own: RUSTC_BOOTSTRAP must not spoil what the other builds have cached.
        .arg("--target-dir")
        .arg(target_dir().join("lint-ebpf"))
        .args(["--", "-D", "warnings"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("--cfg=bpf_target_arch=\"{arch}\""),
        );
    workspace::run(&mut cargo)
}

/// The program that only reads traces is not for Linux alone: its Rust code is checked for FreeBSD. What is in C
/// (zstd) is compiled by the host's own compiler on the way, and nothing is linked.
fn check_elsewhere(ready: &Ready) -> Result<()> {
    let mut cargo = ready.cargo()?;
    cargo
        .args([
            "check",
            "--package",
            "tracer",
            "--no-default-features",
            "--quiet",
        ])
        .args([
            "--target",
            "x86_64-unknown-freebsd",
            "-Z",
            "build-std=std,panic_unwind",
        ])
        // A folder of its own: RUSTC_BOOTSTRAP must not spoil what the other builds have cached.
        .arg("--target-dir")
        .arg(target_dir().join("lint-elsewhere"))
        .env("RUSTC_BOOTSTRAP", "1");
    workspace::run(&mut cargo)
}

pub(crate) fn target_dir() -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    workspace::root().join(chosen.unwrap_or_else(|| "target".into()))
}

fn check_hosts() -> Result<()> {
    let root = workspace::root();
    let mut violations = Vec::new();
    for file in project_files(root)? {
        // Traces and other data are not text; a file that somebody just removed is no violation.
        let Ok(text) = fs::read_to_string(root.join(&file)) else {
            continue;
        };
        violations.extend(hosts::check(&file, &text));
    }
    none(&violations)
}

fn check_links() -> Result<()> {
    let root = workspace::root();
    let mut files = project_files(root)?;
    files.retain(|file| root.join(file).exists());
    none(&links::check(&files, |file| {
        fs::read_to_string(root.join(file)).unwrap_or_default()
    }))
}

/// Prints the violations; an error when there are some.
fn none(violations: &[Violation]) -> Result<()> {
    for violation in violations {
        eprintln!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} places break a rule, listed above", violations.len());
    }
    Ok(())
}

/// All files that are, or could be, committed; in a source archive without git, all files.
fn project_files(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root);
    if let Ok(list) = workspace::capture(&mut git) {
        return Ok(list.lines().map(str::to_owned).collect());
    }
    let mut files = Vec::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let path = entry
                .with_context(|| format!("cannot list {}", dir.display()))?
                .path();
            let relative = path.strip_prefix(root).unwrap_or(&path);
            if path.is_symlink() || relative == Path::new("target") || relative == Path::new(".git")
            {
                continue;
            }
            if path.is_dir() {
                dirs.push(path);
            } else {
                files.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    Ok(files)
}
