//! Programs for a machine with another processor than this one: what [`super::host_programs`] takes from this
//! machine is taken from Debian's packages there, unpacked and not installed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::host_programs::{FOLDERS, PROGRAMS};
use super::say;
use crate::arch::Arch;
use crate::setup::apt::{Machine, Suite, unpack_without};

/// Where programs lie in a package, before and since Debian has merged `/usr`.
const PLACES: [&str; 4] = ["bin", "sbin", "usr/bin", "usr/sbin"];

/// The unpacked packages, from the cache or from Debian: of the release that this machine runs.
///
/// # Errors
/// When they are neither in the cache nor can be fetched.
pub fn fetch(arch: Arch, cache: &Path) -> Result<PathBuf> {
    let machine = Machine::read()?;
    let suite = machine.codename().to_owned();
    let tree = cache.join(format!("programs-{}-{suite}", arch.debian()));
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let lock = File::create(tree.with_added_extension("lock"))?;
    lock.lock()?;
    if tree.is_dir() {
        return Ok(tree);
    }
    let mut packages: Vec<&str> = PROGRAMS.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    say(&format!(
        "fetching {} for {}",
        packages.join(", "),
        arch.debian()
    ));
    let work = tree.with_added_extension("partial");
    fs::remove_dir_all(&work).ok();
    let apt = Suite::of(&work.join("apt"), &machine, &suite, Some(arch))?;
    apt.update()?;
    let fresh = work.join("tree");
    for deb in apt.download_with_needs(&packages)? {
        unpack_without(
            &deb,
            &fresh,
            &["./usr/share/doc", "./usr/share/man", "./usr/share/locale"],
        )?;
    }
    fs::rename(&fresh, &tree)
        .with_context(|| format!("cannot move the programs to {}", tree.display()))?;
    fs::remove_dir_all(&work).ok();
    Ok(tree)
}

/// Packs the programs, every library of their packages, and the folders that programs look into.
pub fn pack(tree: &Path, arch: Arch, archive: &mut Archive<impl Write>) -> Result<()> {
    let mut packed = Vec::new();
    for place in PLACES {
        for program in &PROGRAMS {
            packed.push(Path::new(place).join(program.name));
        }
    }
    // `sh` is a link to it.
    packed.extend(PLACES.map(|place| Path::new(place).join("dash")));
    let libraries = ["lib", "usr/lib"].map(|place| Path::new(place).join(arch.triple()));
    let loaders = ["lib", "usr/lib"].map(PathBuf::from);
    let folders = FOLDERS.map(|folder| PathBuf::from(folder.trim_start_matches('/')));
    for folder in libraries.into_iter().chain(loaders).chain(folders) {
        let entries = fs::read_dir(tree.join(&folder))
            .into_iter()
            .flatten()
            .flatten();
        packed.extend(entries.map(|entry| folder.join(entry.file_name())));
    }
    for path in packed {
        let from = tree.join(&path);
        let place = format!("/{}", path.display());
        if let Ok(target) = fs::read_link(&from) {
            archive.link(&place, &target.to_string_lossy())?;
        } else if from.is_file() {
            let content =
                fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            archive.file(&place, 0o755, &content)?;
        }
    }
    // Where /usr is merged, programs are found under both names.
    for name in ["bin", "sbin", "lib"] {
        if !tree.join(name).exists() {
            archive.link(&format!("/{name}"), &format!("usr/{name}"))?;
        }
    }
    Ok(())
}
