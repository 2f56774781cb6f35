//! What an initramfs has to do before anything else can run: mounts, devices, modules.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

/// Type and place of each file system, outer ones first.
const MOUNTS: [(&str, &str); 12] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("bpf", "/sys/fs/bpf"),
    ("tracefs", "/sys/kernel/tracing"),
    ("debugfs", "/sys/kernel/debug"),
    ("securityfs", "/sys/kernel/security"),
];

/// Mounts all file systems; returns what did not work.
pub fn mount_all() -> Vec<String> {
    let mut trouble = Vec::new();
    for (kind, place) in MOUNTS {
        // A folder below /sys exists if the kernel has the thing; it cannot be made.
        let _ = fs::create_dir_all(place);
        if let Err(error) = mount(
            Some(kind),
            place,
            Some(kind),
            MsFlags::empty(),
            None::<&str>,
        ) {
            trouble.push(format!("cannot mount {kind} on {place}: {error}"));
        }
    }
    if let Err(error) = symlink("/proc/self/fd", "/dev/fd") {
        trouble.push(format!("cannot link /dev/fd: {error}"));
    }
    trouble
}

/// Opens the line for the results and turns off all that a terminal does to text.
pub fn open_results(path: &str) -> Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {path}"))?;
    let mut settings = tcgetattr(&file).context("not a serial line")?;
    cfmakeraw(&mut settings);
    tcsetattr(&file, SetArg::TCSANOW, &settings).context("cannot set the line to raw")?;
    Ok(file)
}

/// Loads modules in this order; returns what did not work. One that is built in or loaded is fine.
pub fn load_modules(files: &[String]) -> Vec<String> {
    let mut trouble = Vec::new();
    for file in files {
        let loaded = File::open(file)
            .map_err(anyhow::Error::from)
            .and_then(
                |open| match finit_module(open, c"", ModuleInitFlags::empty()) {
                    Ok(()) | Err(nix::Error::EEXIST) => Ok(()),
                    Err(error) => Err(error.into()),
                },
            );
        if let Err(error) = loaded {
            trouble.push(format!("module {file}: {error}"));
        }
    }
    trouble
}

/// The loopback device of the machine. The environment says where programs are: the kernel's does not.
pub fn loopback_up(environment: &[(String, String)]) -> Result<()> {
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .status()
        .context("cannot start ip")?;
    if !status.success() {
        bail!("`ip link set lo up` failed ({status})");
    }
    Ok(())
}

/// `uname -r`.
pub fn kernel_release() -> String {
    let text = fs::read_to_string(Path::new("/proc/sys/kernel/osrelease"));
    text.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}
