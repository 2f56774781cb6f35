//! Answers what filters ask of the host: processes, namespaces, cgroups.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use crate::kernel::facts::{self, Facts};
use crate::owner::Processes;
use tracer_model::filter::{Cgroup, Host, InKernel};

/// The host below a root path, which tests replace.
pub struct ThisHost {
    root: PathBuf,
    processes: Processes,
    cgroup2: Option<PathBuf>,
    systemd_cgroups: Option<PathBuf>,
}

impl ThisHost {
    /// The host that these facts are about.
    pub fn new(root: &Path, facts: &Facts) -> Self {
        Self {
            root: root.to_owned(),
            processes: Processes::new(root),
            cgroup2: facts.cgroup2.clone(),
            systemd_cgroups: facts.systemd_cgroups.clone(),
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
        let mount = self.systemd_cgroups.as_deref().or(self.cgroup2.as_deref());
        let mount = mount.context(
            "neither cgroup v2 nor systemd's hierarchy of cgroup v1 is mounted, so --cgroup cannot be used: filter \
             by --pid or --comm",
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
        let in_kernel = InKernel {
            id: metadata.ino(),
            level: relative.components().count() as u64,
        };
        Ok(Cgroup {
            in_kernel: self.systemd_cgroups.is_none().then_some(in_kernel),
            path: format!("/{}", relative.display()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::facts::fixture;

    fn host(v2: &Path, systemd: Option<&Path>) -> ThisHost {
        let facts = Facts {
            cgroup2: Some(v2.to_owned()),
            systemd_cgroups: systemd.map(Path::to_owned),
            ..fixture::host()
        };
        ThisHost::new(Path::new("/"), &facts)
    }

    #[test]
    fn a_cgroup_of_systemd_is_known_by_its_path_alone() {
        let root = tempfile::tempdir().unwrap();
        let (v2, systemd) = (root.path().join("v2"), root.path().join("systemd"));
        std::fs::create_dir_all(v2.join("a.slice")).unwrap();
        std::fs::create_dir_all(systemd.join("b.slice/c.service")).unwrap();
        let host = host(&v2, Some(&systemd));
        let found = host.cgroup("/b.slice/c.service").unwrap();
        assert_eq!(found.path, "/b.slice/c.service");
        assert_eq!(found.in_kernel, None);
        let error = host.cgroup("/a.slice").unwrap_err().to_string();
        assert!(error.contains("no cgroup /a.slice below"), "{error}");
    }

    #[test]
    fn a_cgroup_of_v2_is_known_to_the_kernel() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a.slice/b.service");
        std::fs::create_dir_all(&dir).unwrap();
        let found = host(root.path(), None).cgroup("a.slice/b.service").unwrap();
        let in_kernel = InKernel {
            id: dir.metadata().unwrap().ino(),
            level: 2,
        };
        assert_eq!(found.in_kernel, Some(in_kernel));
        assert_eq!(found.path, "/a.slice/b.service");
    }
}
