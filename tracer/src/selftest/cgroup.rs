//! A cgroup of the test's own, below the one that it runs in: programs that refuse sends are attached to it, so
//! that they concern nobody else.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracer_capture::kernel::facts;

/// A directory of the cgroup2 file system. Dropped, it is removed: its processes must be gone by then.
#[derive(Debug)]
pub struct Cgroup {
    dir: PathBuf,
    /// Below the mount, as events name it.
    pub name: String,
}

/// A process that was killed leaves its cgroup a moment later.
const PATIENCE: Duration = Duration::from_secs(2);

impl Cgroup {
    /// Makes one.
    ///
    /// # Errors
    /// Why that is not possible.
    pub fn new(root: &Path, mount: Option<&Path>) -> Result<Self, String> {
        let mount = mount.ok_or("cgroup v2 is not mounted")?;
        let own = facts::own_cgroup(root, mount)
            .ok_or("the cgroup of this process is not below the mounted hierarchy")?;
        let dir = own.join(format!("sendtrace-selftest-{}", std::process::id()));
        fs::create_dir(&dir)
            .map_err(|error| format!("cannot make a cgroup below {}: {error}", own.display()))?;
        let below = dir.strip_prefix(mount).unwrap_or(&dir);
        let name = format!("/{}", below.display());
        Ok(Self { dir, name })
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn add(&self, pid: u32) -> Result<(), String> {
        fs::write(self.dir.join("cgroup.procs"), pid.to_string())
            .map_err(|error| format!("cannot move a process into {}: {error}", self.dir.display()))
    }

    /// For attaching programs.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self) -> io::Result<File> {
        File::open(&self.dir)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while fs::remove_dir(&self.dir).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
