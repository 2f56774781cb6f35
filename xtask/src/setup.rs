//! `cargo xtask setup`: what a build needs besides Rust and a C compiler.
//!
//! The BPF programs are compiled for a target that has no ready-made `core`, so they need the sources
//! of the standard library (`rust-src`) and a linker that speaks BPF (`bpf-linker`). Every other
//! command calls this one first; when all is there it says nothing and costs a few milliseconds.

pub mod apt;
mod linker;
mod rust_src;

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::toolchain::Toolchain;
use crate::workspace;

/// What the other commands take from setup.
pub struct Ready {
    pub toolchain: Toolchain,
    /// The folder that holds `bpf-linker`.
    pub linker_dir: PathBuf,
}

impl Ready {
    /// cargo with `bpf-linker` on its PATH; the PATH of the user stays as it is.
    pub fn cargo(&self) -> Result<Command> {
        let mut cargo = workspace::cargo();
        workspace::prepend_path(&mut cargo, &self.linker_dir)?;
        Ok(cargo)
    }
}

pub fn setup() -> Result<Ready> {
    if workspace::find_program("cc").is_none() {
        bail!(
            "no C compiler: Rust links programs with `cc`. Install one (Debian: package `gcc`, \
             Fedora and RHEL: package `gcc`), then start again"
        );
    }
    let toolchain = Toolchain::detect()?;
    let cache = cache_dir()?;
    let linker = linker::Linker::new(&cache, &toolchain);

    if !(rust_src::is_there(&toolchain) && linker.is_there()) {
        // Two setups at once would build the same thing twice, into the same place.
        fs::create_dir_all(&cache).with_context(|| {
            format!(
                "cannot make {}: set XDG_CACHE_HOME to a writable folder",
                cache.display()
            )
        })?;
        let lock = File::create(cache.join("setup.lock"))
            .and_then(|file| file.lock().map(|()| file))
            .with_context(|| format!("cannot lock {}", cache.display()))?;
        if !rust_src::is_there(&toolchain) {
            rust_src::install(&cache, &toolchain)?;
        }
        if !linker.is_there() {
            linker.install()?;
        }
        drop(lock);
    }
    Ok(Ready {
        linker_dir: linker.bin_dir(),
        toolchain,
    })
}

/// Outside of `target/`: a `cargo clean` should not cost a new build of the linker.
pub fn cache_dir() -> Result<PathBuf> {
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let base = base.context("neither XDG_CACHE_HOME nor HOME is set: set one of them")?;
    Ok(base.join("sendtrace"))
}

/// One line about a step and its reason.
fn say(line: &str) {
    eprintln!("setup: {line}");
}
