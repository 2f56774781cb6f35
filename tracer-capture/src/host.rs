//! Answers what filters ask of the host: processes, namespaces, cgroups.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use crate::kernel::facts;
use crate::owner::Processes;
use tracer_model::filter::{Cgroup, Host};

/// The host below a root path, which tests replace.
pub struct ThisHost {
    root: PathBuf,
    processes: Processes,
    cgroup2: Option<PathBuf>,
}

impl ThisHost {
    /// `cgroup2` is where the cgroup v2 hierarchy is mounted.
    pub fn new(root: &Path, cgroup2: Option<PathBuf>) -> Self {
        Self {
            root: root.to_owned(),
            processes: Processes::new(root),
            cgroup2,
        }
    }
}

impl Host for ThisHost {
    fn process_start_ns(&self, pid: u32) -> Option<u64> {
        self.processes.start_ns(pid)
    }

    fn netns_inode(&self, netns: &str) -> Result<u32> {
        if let Ok(inode) = netns.parse() {
            return Ok(inode);
        }
        let inode = match netns.strip_prefix("pid:") {
            Some(pid) => {
                let pid = pid.parse().map_err(|_| {
                    anyhow!(
                        "--netns {netns}: expected a process id after pid:, for example pid:4242"
                    )
                })?;
                facts::netns_of_pid(&self.root, pid)
            }
            None => facts::netns_of_text(&self.root, netns),
        };
        let inode = inode.map_err(|error| {
            anyhow!("{error}: list the named ones with `ip netns`, or use pid:N")
        })?;
        u32::try_from(inode).with_context(|| format!("{netns} is no network namespace"))
    }

    fn cgroup(&self, path: &str) -> Result<Cgroup> {
        let mount = self.cgroup2.as_deref().context(
            "no cgroup v2 hierarchy is mounted, so --cgroup cannot be used: filter by --pid or --comm",
        )?;
        let given = Path::new(path);
        let relative = given
            .strip_prefix(mount)
            .or_else(|_| given.strip_prefix("/"))
            .unwrap_or(given);
        let dir = mount.join(relative);
        let metadata = dir
            .metadata()
            .ok()
            .filter(std::fs::Metadata::is_dir)
            .with_context(|| {
                format!(
                    "no cgroup {path} below {}: list them with `systemd-cgls`",
                    mount.display()
                )
            })?;
        let levels = relative.components().count() as u64;
        Ok(Cgroup {
            id: metadata.ino(),
            level: levels,
            path: format!("/{}", relative.display()),
        })
    }
}
