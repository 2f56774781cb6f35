//! A cgroup of the test's own, below the one that it runs in: programs that refuse sends are attached to it, so
//! that they concern nobody else.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use tracer_capture::kernel::facts;

/// A directory of the cgroup2 file system. Dropped, it is removed: its processes must be gone by then.
#[derive(Debug)]
pub struct Cgroup {
    dir: PathBuf,
    /// Below the mount, as events name it.
    pub name: String,
}

/// Behind it comes the process id.
const PREFIX: &str = "sendtrace-selftest-";

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
        remove_left_behind(&own);
        let dir = own.join(format!("{PREFIX}{}", std::process::id()));
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

/// Removes the cgroups of self-tests that were killed. One that is in use stays: its process is there, and a cgroup with
/// processes cannot be removed.
fn remove_left_behind(own: &Path) {
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let pid = pid.and_then(|pid| pid.parse::<i32>().ok());
        let ended =
            pid.is_some_and(|pid| pid > 0 && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH));
        if ended {
            // Best effort: it is somebody else's as long as something is in it.
            let _ = fs::remove_dir(entry.path());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_selftest_left_behind_goes_and_what_is_in_use_stays() {
        let own = tempfile::tempdir().expect("a folder");
        // Beyond the largest process id that Linux has.
        let killed = own.path().join(format!("{PREFIX}{}", (1 << 22) + 1));
        let alive = own.path().join(format!("{PREFIX}{}", std::process::id()));
        let stranger = own.path().join("system.slice");
        for dir in [&killed, &alive, &stranger] {
            fs::create_dir(dir).expect("room");
        }
        remove_left_behind(own.path());
        assert!(!killed.exists());
        assert!(alive.exists() && stranger.exists());
    }
}
