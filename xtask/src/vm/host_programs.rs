//! Programs of this machine that the tests call inside of a virtual one, with the libraries they need.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace;

/// A program that the tests call, and the Debian package that has it.
pub struct Program {
    pub name: &'static str,
    pub package: &'static str,
    required: bool,
}

const fn required(name: &'static str, package: &'static str) -> Program {
    Program {
        name,
        package,
        required: true,
    }
}

const fn optional(name: &'static str, package: &'static str) -> Program {
    Program {
        name,
        package,
        required: false,
    }
}

pub const PROGRAMS: [Program; 13] = [
    required("sh", "dash"),
    required("cat", "coreutils"),
    required("sleep", "coreutils"),
    required("head", "coreutils"),
    required("ip", "iproute2"),
    required("tc", "iproute2"),
    required("nstat", "iproute2"),
    required("ss", "iproute2"),
    required("nft", "nftables"),
    required("mount", "mount"),
    required("umount", "mount"),
    // Tests skip themselves without these.
    optional("ethtool", "ethtool"),
    optional("setsid", "util-linux"),
];

/// Folders that programs look into beside their libraries.
pub const FOLDERS: [&str; 3] = ["/usr/lib/tc", "/etc/iproute2", "/usr/share/iproute2"];

/// All files to pack: programs, libraries, and the folders' content.
///
/// # Errors
/// When a required program is missing; the text names its package.
pub fn files() -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut missing = Vec::new();
    for program in &PROGRAMS {
        match find(program.name) {
            Some(path) => {
                files.extend(libraries(&path)?);
                files.insert(path);
            }
            None if program.required => {
                missing.push(format!(
                    "{} (Debian: package {})",
                    program.name, program.package
                ));
            }
            None => {}
        }
    }
    if !missing.is_empty() {
        bail!(
            "the virtual machines need these programs of this one: {}",
            missing.join(", ")
        );
    }
    for folder in FOLDERS {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.extend(
            entries
                .map(|entry| entry.path())
                .filter(|path| path.is_file()),
        );
    }
    Ok(files)
}

/// In PATH, or where administrators' programs are: a user's PATH may not have those.
pub fn find(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    workspace::find_program(name).or_else(|| {
        let candidates = places.iter().map(|place| Path::new(place).join(name));
        candidates.into_iter().find(|path| path.is_file())
    })
}

fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    // A program without libraries makes ldd fail.
    let output = Command::new("ldd").arg(program).output();
    let Ok(output) = output else {
        bail!("the program ldd (Debian: package libc-bin) is missing");
    };
    Ok(listed(&String::from_utf8_lossy(&output.stdout)))
}

/// `libc.so.6 => /lib/x/libc.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn listed(ldd: &str) -> Vec<PathBuf> {
    let paths = ldd.lines().filter_map(|line| {
        let path = line.split("=>").last()?.split_whitespace().next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    paths.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_the_paths_that_ldd_names() {
        let ldd = "\tlinux-vdso.so.1 (0x7ffd)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x7f)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        let paths = ["/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(listed(ldd), paths);
        assert_eq!(
            listed("\tnot a dynamic executable\n"),
            Vec::<PathBuf>::new()
        );
    }
}
