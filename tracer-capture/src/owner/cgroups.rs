//! Names of cgroups (v2): the kernel knows a cgroup by the inode number of its directory.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Walks for unknown ids may use this share of the time: a walk of 1 ms is followed by at least 19 ms without.
const PAUSE_PER_WALK: u32 = 19;
/// No more names than this are kept.
const MOST: usize = 65_536;

/// Paths by id.
#[derive(Debug)]
pub struct Cgroups {
    mount: Option<PathBuf>,
    paths: HashMap<u64, String>,
    /// No walk before this.
    rest_until: Option<Instant>,
}

impl Cgroups {
    /// `mount` is where cgroup2 is mounted; without it no cgroup has a name.
    pub fn new(mount: Option<PathBuf>) -> Self {
        Self {
            mount,
            paths: HashMap::new(),
            rest_until: None,
        }
    }

    /// Path below the mount point, `/` for the root; `None` when the cgroup is gone, was never visible, or is
    /// younger than the last walk, which was only just now.
    pub fn path(&mut self, id: u64) -> Option<String> {
        if id == 0 {
            return None;
        }
        if !self.paths.contains_key(&id)
            && self.rest_until.is_none_or(|until| Instant::now() >= until)
        {
            let start = Instant::now();
            self.walk();
            let took = start.elapsed().max(Duration::from_micros(50));
            self.rest_until = Some(start + took * (PAUSE_PER_WALK + 1));
        }
        self.paths.get(&id).cloned()
    }

    fn walk(&mut self) {
        let Some(mount) = self.mount.clone() else {
            return;
        };
        if let Ok(root) = fs::metadata(&mount) {
            self.paths.insert(root.ino(), "/".to_owned());
        }
        let mut waiting = vec![mount.clone()];
        while let Some(dir) = waiting.pop() {
            let Ok(entries) = fs::read_dir(&dir) else {
                continue;
            };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || self.paths.len() >= MOST {
                    continue;
                }
                let path = entry.path();
                self.paths.insert(entry.ino(), below(&mount, &path));
                waiting.push(path);
            }
        }
    }
}

/// Cgroups that ended keep their names: an owner may outlive them.
fn below(mount: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(mount).unwrap_or(path);
    format!("/{}", relative.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_found_by_its_inode_and_named_below_the_mount() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("system.slice/batch.service");
        fs::create_dir_all(&dir).unwrap();
        let id = fs::metadata(&dir).unwrap().ino();
        let mut cgroups = Cgroups::new(Some(root.path().to_owned()));
        assert_eq!(
            cgroups.path(id).as_deref(),
            Some("/system.slice/batch.service")
        );
        assert_eq!(
            cgroups
                .path(fs::metadata(root.path()).unwrap().ino())
                .as_deref(),
            Some("/")
        );
        assert_eq!(cgroups.path(u64::MAX), None);
        assert_eq!(cgroups.path(0), None);
    }

    #[test]
    fn a_cgroup_made_after_the_last_walk_is_found_once_the_walk_has_been_paid_for() {
        let root = tempfile::tempdir().unwrap();
        let mut cgroups = Cgroups::new(Some(root.path().to_owned()));
        assert_eq!(cgroups.path(u64::MAX), None, "this walks");
        let dir = root.path().join("young");
        fs::create_dir(&dir).unwrap();
        let id = fs::metadata(&dir).unwrap().ino();
        let end = Instant::now() + Duration::from_secs(1);
        while cgroups.path(id).is_none() {
            assert!(Instant::now() < end, "not found within a second");
        }
    }
}
