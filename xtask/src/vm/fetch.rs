//! Kernels in the cache: packages downloaded and unpacked, nothing installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::catalog::{Entry, numbers};
use super::say;
use crate::setup::apt::{Machine, Suite, unpack_without};

/// Until then a cached kernel is taken without asking whether there is a newer one.
const FRESH: Duration = Duration::from_secs(7 * 24 * 3600);

/// Drivers of what no machine here has: half of a generic kernel.
const UNUSED: [&str; 8] = [
    "*/kernel/sound",
    "*/kernel/drivers/gpu",
    "*/kernel/drivers/infiniband",
    "*/kernel/drivers/media",
    "*/kernel/drivers/net/ethernet",
    "*/kernel/drivers/net/wireless",
    "*/kernel/drivers/scsi",
    "*/kernel/drivers/usb",
];

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `6.12`, or `own` for one from the command line.
    pub id: String,
    pub image: PathBuf,
    /// Where its modules lie, at any depth; `None` where all is built in.
    pub modules: Option<PathBuf>,
}

/// The kernel of this entry, from the cache or from Debian.
///
/// # Errors
/// When it is neither in the cache nor can be fetched; the text says what to do.
pub fn kernel(entry: &Entry, cache: &Path) -> Result<Kernel> {
    let dir = cache.join("kernels").join(entry.id);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    // Two runs at once would fetch into the same place.
    let lock = File::create(dir.join("lock"))?;
    lock.lock()
        .with_context(|| format!("cannot lock {}", dir.display()))?;
    let cached = newest_cached(&dir);
    if let Some(tree) = cached.as_deref().filter(|_| is_fresh(&dir)) {
        return in_tree(entry.id, tree);
    }
    match fetch(entry, &dir, cached.as_deref()) {
        Ok(tree) => {
            File::create(dir.join("checked"))?;
            in_tree(entry.id, &tree)
        }
        Err(error) => {
            let Some(tree) = cached else {
                return Err(error.context(format!(
                    "cannot get kernel {}: try `cargo xtask vm --kernel {}` again when the mirror \
                     answers, or give one with --image and --modules",
                    entry.id, entry.id
                )));
            };
            say(&format!(
                "{}: no newer one could be looked for ({error:#}); taking the one of the cache",
                entry.id
            ));
            in_tree(entry.id, &tree)
        }
    }
}

fn is_fresh(dir: &Path) -> bool {
    let checked = fs::metadata(dir.join("checked")).and_then(|meta| meta.modified());
    checked.is_ok_and(|when| when.elapsed().is_ok_and(|age| age < FRESH))
}

/// The trees are named by release and complete: they got their names last.
fn newest_cached(dir: &Path) -> Option<PathBuf> {
    let trees = fs::read_dir(dir).ok()?.flatten();
    trees
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && path.extension().is_none_or(|e| e != "partial"))
        .max_by_key(|path| numbers(&name(path)))
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn fetch(entry: &Entry, dir: &Path, cached: Option<&Path>) -> Result<PathBuf> {
    let work = dir.join("apt.partial");
    fs::remove_dir_all(&work).ok();
    let result = fetch_with(entry, dir, &work, cached);
    fs::remove_dir_all(&work).ok();
    result
}

fn fetch_with(entry: &Entry, dir: &Path, work: &Path, cached: Option<&Path>) -> Result<PathBuf> {
    let machine = Machine::read()?;
    let mut failures = Vec::new();
    for suite in entry.suites {
        say(&format!("{}: asking {suite} for its newest", entry.id));
        let newest =
            Suite::of(&work.join(suite), &machine, suite, Some(entry.arch)).and_then(|apt| {
                apt.update()?;
                let found = apt.search(&entry.pattern())?;
                let release = entry.newest(&found).context("does not have it")?;
                Ok((apt, release))
            });
        let (apt, release) = match newest {
            Ok(found) => found,
            Err(error) => {
                failures.push(format!("{suite}: {error:#}"));
                continue;
            }
        };
        let tree = dir.join(&release);
        if cached == Some(tree.as_path()) {
            return Ok(tree);
        }
        let fresh = dir.join("tree.partial");
        fs::remove_dir_all(&fresh).ok();
        for package in entry.packages(&release) {
            say(&format!("{}: fetching {package}", entry.id));
            let deb = apt.download(&package)?;
            unpack_without(&deb, &fresh, &UNUSED)?;
            fs::remove_file(&deb).ok();
        }
        fs::rename(&fresh, &tree)
            .with_context(|| format!("cannot move the kernel to {}", tree.display()))?;
        // One of each is enough in a cache.
        if let Some(old) = cached {
            fs::remove_dir_all(old).ok();
        }
        return Ok(tree);
    }
    bail!("no suite has it:\n{}", failures.join("\n"))
}

/// Finds image and modules in an unpacked package; both layouts of Debian.
fn in_tree(id: &str, tree: &Path) -> Result<Kernel> {
    let modules = ["usr/lib/modules", "lib/modules"]
        .iter()
        .filter_map(|place| only_entry(&tree.join(place)))
        .find(|dir| dir.join("kernel").is_dir())
        .with_context(|| format!("{} holds no modules: remove it", tree.display()))?;
    let boot = tree
        .join("boot")
        .join(format!("vmlinuz-{}", name(&modules)));
    let beside = modules.join("vmlinuz");
    let image = [boot, beside].into_iter().find(|path| path.is_file());
    Ok(Kernel {
        id: id.to_owned(),
        image: image.with_context(|| format!("{} holds no image: remove it", tree.display()))?,
        modules: Some(modules),
    })
}

fn only_entry(dir: &Path) -> Option<PathBuf> {
    Some(fs::read_dir(dir).ok()?.flatten().next()?.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_of_debian_are_found() {
        let dir = tempfile::tempdir().expect("a folder");
        for (tree, image, modules) in [
            ("old", "boot/vmlinuz-6.1", "lib/modules/6.1/kernel"),
            (
                "new",
                "usr/lib/modules/7.3/vmlinuz",
                "usr/lib/modules/7.3/kernel",
            ),
        ] {
            let tree = dir.path().join(tree);
            fs::create_dir_all(tree.join("boot")).expect("a folder");
            fs::create_dir_all(tree.join(modules)).expect("a folder");
            fs::write(tree.join(image), "").expect("a file");
            let kernel = in_tree("x", &tree).expect("complete");
            assert_eq!(kernel.image, tree.join(image));
            let found = kernel.modules.expect("has modules");
            assert_eq!(found.join("kernel"), tree.join(modules));
        }
        assert!(in_tree("x", dir.path()).is_err());
    }

    #[test]
    fn an_unfinished_download_is_no_kernel() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("tree.partial")).expect("a folder");
        assert_eq!(newest_cached(dir.path()), None);
        for release in ["6.12.94+deb13-x", "6.12.107+deb13-x"] {
            fs::create_dir(dir.path().join(release)).expect("a folder");
        }
        let newest = newest_cached(dir.path()).expect("two are there");
        assert!(newest.ends_with("6.12.107+deb13-x"));
    }
}
