//! `rust-src`: the sources of `core`, from which cargo builds it for the BPF target.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{apt, say};
use crate::toolchain::Toolchain;
use crate::workspace;

pub fn is_there(toolchain: &Toolchain) -> bool {
    toolchain
        .library_sources()
        .join("core/src/lib.rs")
        .is_file()
}

/// First the usual way; where rustup cannot download, the same sources from Debian.
pub fn install(cache: &Path, toolchain: &Toolchain) -> Result<()> {
    say("adding rust-src: `core` for the BPF programs is built from it");
    let Err(rustup) = from_rustup(toolchain) else {
        return Ok(());
    };
    say("rustup could not; taking the same sources from Debian");
    from_debian(cache, toolchain).with_context(|| {
        format!(
            "the build needs the sources of Rust {} and found no way to get them. By hand: \
             `rustup component add rust-src`, or put the folder `library` of that release at {}. \
             rustup said: {rustup:#}. Debian's way failed too",
            toolchain.release,
            toolchain.library_sources().display()
        )
    })
}

fn from_rustup(toolchain: &Toolchain) -> Result<()> {
    let mut rustup = Command::new("rustup");
    // A backtrace of rustup's would push its reason out of the error message.
    rustup.env("RUST_BACKTRACE", "0");
    rustup
        .args(["component", "add", "rust-src"])
        .current_dir(workspace::root());
    workspace::capture(&mut rustup)?;
    anyhow::ensure!(
        is_there(toolchain),
        "it succeeded, but the sources are not in the toolchain"
    );
    Ok(())
}

fn from_debian(cache: &Path, toolchain: &Toolchain) -> Result<()> {
    let unpacked = cache.join(format!("rust-src-{}", toolchain.release));
    let library = unpacked
        .join("usr/src")
        .join(format!("rustc-{}", toolchain.release))
        .join("library");
    if !library.join("core/src/lib.rs").is_file() {
        apt::download_and_unpack("rust-src", &toolchain.release, &unpacked)?;
    }
    anyhow::ensure!(
        library.is_dir(),
        "the package has no folder {}",
        library.display()
    );

    let link = toolchain.library_sources();
    let make = || {
        if let Some(parent) = link.parent() {
            fs::create_dir_all(parent)?;
        }
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        symlink(&library, &link)
    };
    make().with_context(|| format!("cannot link {} to {}", link.display(), library.display()))?;
    say(&format!("rust-src is {}", library.display()));
    Ok(())
}
