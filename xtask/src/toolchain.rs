//! What there is to know about the rustc in use: its release, its LLVM, and where its files lie.
//!
//! Nothing here is hard-coded, so a change of `rust-toolchain.toml` is enough to move to another
//! release.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::workspace;

/// The rustc that builds both sides.
pub struct Toolchain {
    /// `1.95.0`
    pub release: String,
    /// `x86_64-unknown-linux-gnu`
    pub host: String,
    /// `22.1.2`
    pub llvm: String,
    pub sysroot: PathBuf,
}

impl Toolchain {
    pub fn detect() -> Result<Self> {
        let version = workspace::capture(rustc().arg("-vV"))
            .context("no usable rustc: install Rust with rustup, then start again")?;
        let sysroot = workspace::capture(rustc().args(["--print", "sysroot"]))?;
        Self::parse(&version, sysroot.trim())
    }

    fn parse(version: &str, sysroot: &str) -> Result<Self> {
        let field = |name: &str| {
            version
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::to_owned)
                .ok_or_else(|| anyhow!("`rustc -vV` has no line {name:?}; it said:\n{version}"))
        };
        Ok(Self {
            release: field("release")?,
            host: field("host")?,
            llvm: field("LLVM version")?,
            sysroot: sysroot.into(),
        })
    }

    /// The part of the LLVM version that names bpf-linker's feature.
    pub fn llvm_major(&self) -> &str {
        self.llvm.split('.').next().unwrap_or(&self.llvm)
    }

    /// The standard library's sources, where cargo's `build-std` looks for them.
    pub fn library_sources(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust/library")
    }
}

/// rustc itself, not rustup's proxy for it where that can be avoided: the proxy costs more than
/// the question.
fn rustc() -> Command {
    let beside_cargo = env::var_os("CARGO")
        .map(|cargo| Path::new(&cargo).with_file_name("rustc"))
        .filter(|rustc| rustc.is_file());
    let mut command = Command::new(beside_cargo.unwrap_or_else(|| "rustc".into()));
    command.current_dir(workspace::root());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\n\
        host: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";

    #[test]
    fn the_fields_of_rustc_are_read_by_name() {
        let toolchain = Toolchain::parse(VERSION, "/rust").expect("complete");
        assert_eq!(toolchain.release, "1.95.0");
        assert_eq!(toolchain.host, "x86_64-unknown-linux-gnu");
        assert_eq!(toolchain.llvm_major(), "22");
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = Toolchain::parse("release: 1.95.0\nhost: x\n", "/rust").err();
        assert!(format!("{error:?}").contains("LLVM version"));
    }
}
