//! `cargo xtask build`: both sides. The program's build script builds the BPF programs.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::arch::Arch;
use crate::setup::{self, Ready};

#[derive(clap::Args)]
pub struct Args {
    /// Build with optimisations
    #[arg(long)]
    release: bool,
    /// Build one file that needs no library of the host it runs on
    #[arg(long = "static")]
    is_static: bool,
    /// Build for this processor instead of that of this machine
    #[arg(long)]
    arch: Option<Arch>,
}

pub fn command(args: &Args) -> Result<()> {
    let ready = setup::setup()?;
    let profile = if args.release {
        Profile::Release
    } else {
        Profile::Dev
    };
    let linkage = if args.is_static {
        Linkage::Static
    } else {
        Linkage::Dynamic
    };
    // On stdout, so that a script can go on with it.
    let program = program_for(&ready, "tracer", "sendtrace", profile, linkage, args.arch)?;
    println!("{}", program.display());
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
pub enum Profile {
    Dev,
    Release,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Linkage {
    Dynamic,
    Static,
}

/// Builds the program and returns where it is.
pub fn sendtrace(ready: &Ready, profile: Profile, linkage: Linkage) -> Result<PathBuf> {
    program(ready, "tracer", "sendtrace", profile, linkage)
}

/// Builds a program of one crate for this machine and returns where it is.
pub fn program(
    ready: &Ready,
    package: &str,
    name: &str,
    profile: Profile,
    linkage: Linkage,
) -> Result<PathBuf> {
    program_for(ready, package, name, profile, linkage, None)
}

/// The same for a processor; `None`: this machine's.
pub fn program_for(
    ready: &Ready,
    package: &str,
    name: &str,
    profile: Profile,
    linkage: Linkage,
    arch: Option<Arch>,
) -> Result<PathBuf> {
    let mut cargo = ready.cargo()?;
    cargo.args(["build", "--package", package, "--bin", name]);
    // The path of the program comes from cargo: the target folder can be anywhere.
    cargo.arg("--message-format=json-render-diagnostics");
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    aim(&mut cargo, ready, linkage, arch)?;
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("could not start cargo")?;
    if !output.status.success() {
        bail!("the build failed; the compiler's words are above");
    }
    executable(&String::from_utf8_lossy(&output.stdout), name)
        .with_context(|| format!("cargo built {name} but did not say where"))
}

/// Makes cargo build for a processor, and what it builds need no library of the host it runs on.
pub fn aim(cargo: &mut Command, ready: &Ready, linkage: Linkage, arch: Option<Arch>) -> Result<()> {
    match arch {
        Some(arch) => arch.aim(cargo, ready)?,
        // With a named target the flag is for the program only: build scripts and procedural macros are
        // loaded by rustc and cannot be static.
        None if linkage == Linkage::Static => {
            cargo.args(["--target", &ready.toolchain.host]);
        }
        None => {}
    }
    if linkage == Linkage::Dynamic {
        return Ok(());
    }
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS");
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    cargo.env(
        "RUSTFLAGS",
        format!("{flags} -C target-feature=+crt-static").trim(),
    );
    Ok(())
}

/// Finds a program in cargo's messages, one JSON object per line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let target = message.get("target")?;
        let is_it = target.get("name")?.as_str() == Some(name)
            && target
                .get("kind")?
                .as_array()?
                .iter()
                .any(|kind| kind == "bin");
        let path = message.get("executable")?.as_str()?;
        is_it.then(|| path.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_the_messages_of_cargo() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"sendtrace","kind":["lib"]},"executable":null}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","target":{"name":"sendtrace","kind":["bin"]},"executable":"/t/sendtrace"}"#,
        );
        assert_eq!(
            executable(messages, "sendtrace"),
            Some("/t/sendtrace".into())
        );
        assert_eq!(executable(messages, "other"), None);
    }
}
