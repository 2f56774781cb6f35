//! bpf-linker, linked against the LLVM that rustc itself ships.
//!
//! The linker reads the bitcode that rustc wrote, so both must be the same LLVM. A distribution's
//! LLVM is rarely that one; rustc's own always is, and needs no download.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::say;
use crate::toolchain::Toolchain;
use crate::workspace;

const VERSION: &str = "0.13.0";

pub struct Linker<'a> {
    toolchain: &'a Toolchain,
    /// Holds `bin/bpf-linker`, and `lib/` with links to rustc's LLVM, where the binary's rpath looks.
    prefix: PathBuf,
}

impl<'a> Linker<'a> {
    /// The name carries all that the binary depends on: another rustc gets another build.
    pub fn new(cache: &Path, toolchain: &'a Toolchain) -> Self {
        let Toolchain {
            release,
            llvm,
            host,
            ..
        } = toolchain;
        let name = format!("bpf-linker-{VERSION}-rustc-{release}-llvm-{llvm}-{host}");
        Self {
            toolchain,
            prefix: cache.join(name),
        }
    }

    pub fn bin_dir(&self) -> PathBuf {
        self.prefix.join("bin")
    }

    /// The binary is there, and its link to LLVM still leads into this toolchain.
    pub fn is_there(&self) -> bool {
        let link = fs::read_link(self.generic_name());
        self.binary().is_file()
            && link.is_ok_and(|to| to.starts_with(&self.toolchain.sysroot) && to.is_file())
    }

    pub fn install(&self) -> Result<()> {
        let llvm = self.llvm_library()?;
        self.link_llvm(&llvm)?;
        if !self.binary().is_file() {
            self.build()?;
        }
        // A linker that cannot start would only fail in the middle of a build.
        workspace::capture(std::process::Command::new(self.binary()).arg("--version"))
            .with_context(|| {
                format!(
                    "bpf-linker does not start; remove {} and run `cargo xtask setup` again",
                    self.prefix.display()
                )
            })?;
        say(&format!("bpf-linker is {}", self.binary().display()));
        Ok(())
    }

    fn build(&self) -> Result<()> {
        let Toolchain { llvm, release, .. } = self.toolchain;
        say(&format!(
            "building bpf-linker {VERSION} against LLVM {llvm} of rustc {release}: \
             it links the BPF programs (about a minute, once)"
        ));
        let mut cargo = workspace::cargo();
        cargo
            .args([
                "install",
                "bpf-linker",
                "--version",
                VERSION,
                "--locked",
                "--quiet",
            ])
            .args(["--no-default-features", "--features"])
            .arg(format!("llvm-{}", self.toolchain.llvm_major()))
            .arg("--root")
            .arg(&self.prefix)
            .env("LLVM_PREFIX", &self.prefix)
            // Flags and folders that are meant for the project must not reach its tools.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .env_remove("CARGO_TARGET_DIR");
        workspace::capture(&mut cargo).map(drop).with_context(|| {
            format!(
                "the build needs bpf-linker {VERSION} linked against LLVM {llvm}, and cargo could \
                 not install it. By hand: LLVM_PREFIX={0} cargo install bpf-linker --version \
                 {VERSION} --locked --no-default-features --features llvm-{1} --root {0}",
                self.prefix.display(),
                self.toolchain.llvm_major(),
            )
        })
    }

    /// The library's versioned name is what the dynamic loader asks for, `libLLVM.so` is what the
    /// build asks for.
    fn link_llvm(&self, llvm: &Path) -> Result<()> {
        let lib = self.prefix.join("lib");
        let name = llvm.file_name().context("the LLVM library has no name")?;
        let make = || {
            fs::create_dir_all(&lib)?;
            for link in [lib.join(name), self.generic_name()] {
                if link.is_symlink() {
                    fs::remove_file(&link)?;
                }
                symlink(llvm, link)?;
            }
            Ok::<_, std::io::Error>(())
        };
        make().with_context(|| {
            format!(
                "cannot link {} into {}: make that folder writable",
                llvm.display(),
                lib.display()
            )
        })
    }

    /// rustc's LLVM: the one real file (not a link) named libLLVM beside rustc's own libraries.
    fn llvm_library(&self) -> Result<PathBuf> {
        let sysroot = &self.toolchain.sysroot;
        let places = [
            sysroot.join("lib"),
            sysroot
                .join("lib/rustlib")
                .join(&self.toolchain.host)
                .join("lib"),
        ];
        for place in &places {
            let Ok(entries) = fs::read_dir(place) else {
                continue;
            };
            for entry in entries.flatten() {
                let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
                if is_file && entry.file_name().to_string_lossy().starts_with("libLLVM") {
                    return Ok(entry.path());
                }
            }
        }
        bail!(
            "bpf-linker needs the LLVM library of rustc, and there is none in {}: \
             use a toolchain installed by rustup (a distribution's rustc keeps its LLVM elsewhere)",
            places[0].display()
        )
    }

    fn binary(&self) -> PathBuf {
        self.bin_dir().join("bpf-linker")
    }

    fn generic_name(&self) -> PathBuf {
        self.prefix.join("lib/libLLVM.so")
    }
}
