//! Processors that sendtrace is built for, and what a build for another one than that of this machine takes.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::lint::target_dir;
use crate::setup::Ready;
use crate::workspace;

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    #[value(name = "x86_64", alias = "amd64")]
    X86_64,
    #[value(alias = "aarch64")]
    Arm64,
}

impl Arch {
    /// That of this machine, as far as it is one of them.
    pub fn of_host(ready: &Ready) -> Option<Self> {
        [Self::X86_64, Self::Arm64]
            .into_iter()
            .find(|arch| arch.target() == ready.toolchain.host)
    }

    /// As rustc names it.
    pub const fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// As Debian names it.
    pub const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// What the names of tools for it begin with, and of its folder of libraries.
    pub const fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// A program of binutils or gcc for it: the plain one where it is this machine's.
    pub fn tool(self, ready: &Ready, name: &str) -> String {
        match self.is_foreign(ready) {
            true => format!("{}-{name}", self.triple()),
            false => name.to_owned(),
        }
    }

    /// Another one than this machine's.
    pub fn is_foreign(self, ready: &Ready) -> bool {
        self.target() != ready.toolchain.host
    }

    /// Makes cargo build for it.
    ///
    /// # Errors
    /// When there is no linker for it; the text names the package.
    pub fn aim(self, cargo: &mut Command, ready: &Ready) -> Result<()> {
        cargo.args(["--target", self.target()]);
        if !self.is_foreign(ready) {
            return Ok(());
        }
        let linker = self.tool(ready, "gcc");
        if workspace::find_program(&linker).is_none() {
            bail!(
                "no {linker}, which links programs for {}: install it (Debian: `apt-get install gcc-{}`)",
                self.debian(),
                self.triple()
            );
        }
        let variable = self.target().replace('-', "_").to_uppercase();
        cargo.env(format!("CARGO_TARGET_{variable}_LINKER"), linker);
        if !self.library(ready).is_dir() {
            // rustup may not be there, or not reach its server: the sources of the library always are.
            cargo
                .args(["-Z", "build-std=std,panic_unwind"])
                // A folder of its own: RUSTC_BOOTSTRAP must not spoil what the other builds have cached.
                .arg("--target-dir")
                .arg(target_dir().join("cross"))
                .env("RUSTC_BOOTSTRAP", "1");
        }
        Ok(())
    }

    /// Where the toolchain has its standard library ready, when it was added with rustup.
    fn library(self, ready: &Ready) -> PathBuf {
        let sysroot = &ready.toolchain.sysroot;
        sysroot.join("lib/rustlib").join(self.target()).join("lib")
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::toolchain::Toolchain;

    fn ready(host: &str) -> Ready {
        Ready {
            toolchain: Toolchain {
                release: "1.95.0".to_owned(),
                host: host.to_owned(),
                llvm: "22.1.2".to_owned(),
                sysroot: "/nowhere".into(),
            },
            linker_dir: "/nowhere".into(),
        }
    }

    #[test]
    fn a_build_for_this_machine_takes_its_own_tools() {
        let ready = ready("x86_64-unknown-linux-gnu");
        assert_eq!(Arch::of_host(&ready), Some(Arch::X86_64));
        let mut cargo = Command::new("cargo");
        Arch::X86_64
            .aim(&mut cargo, &ready)
            .expect("nothing to miss");
        let arguments: Vec<&OsStr> = cargo.get_args().collect();
        assert_eq!(arguments, ["--target", "x86_64-unknown-linux-gnu"]);
        assert_eq!(Arch::X86_64.tool(&ready, "strip"), "strip");
    }

    #[test]
    fn a_build_for_another_machine_needs_tools_that_bear_its_name() {
        let ready = ready("riscv64gc-unknown-linux-gnu");
        assert_eq!(Arch::of_host(&ready), None);
        assert_eq!(Arch::Arm64.tool(&ready, "gcc"), "aarch64-linux-gnu-gcc");
        let mut cargo = Command::new("cargo");
        match Arch::Arm64.aim(&mut cargo, &ready) {
            // Without a library of that target it is built from its sources.
            Ok(()) => assert!(
                cargo
                    .get_args()
                    .any(|word| word == "build-std=std,panic_unwind")
            ),
            Err(error) => assert!(
                error.to_string().contains("gcc-aarch64-linux-gnu"),
                "{error}"
            ),
        }
    }
}
