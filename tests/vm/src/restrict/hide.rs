//! Hides what a host without it would not have, in a mount namespace of this process.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::Refusals;
use super::attr::Kind;

const BTF: &str = "/sys/kernel/btf";
/// What tells programs that there are kprobes, and their number for perf_event_open(2).
const KPROBE: &str = "/sys/devices/kprobe";

/// Applies what has to do with files; only for a process that will become the command.
pub fn apply(refusals: &Refusals) -> Result<()> {
    let kprobes = refusals.refuses(Kind::Kprobe) && Path::new(KPROBE).exists();
    if !(refusals.hide_btf || refusals.hide_module_btf || kprobes) {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS).context("cannot have mounts of its own")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .context("cannot make the mounts private")?;
    if kprobes {
        cover(KPROBE)?;
    }
    if refusals.hide_btf {
        cover(BTF)?;
    } else if refusals.hide_module_btf {
        keep_only_vmlinux()?;
    }
    Ok(())
}

fn keep_only_vmlinux() -> Result<()> {
    // Opened before it is covered; the link below /proc still leads to it.
    let kernel = File::open(format!("{BTF}/vmlinux")).context("no BTF of the kernel")?;
    cover(BTF)?;
    let place = format!("{BTF}/vmlinux");
    fs::write(&place, "").with_context(|| format!("cannot make {place}"))?;
    let open = std::os::fd::AsRawFd::as_raw_fd(&kernel);
    let source = format!("/proc/self/fd/{open}");
    mount(
        Some(source.as_str()),
        place.as_str(),
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .context("cannot keep the BTF of the kernel")
}

/// Puts an empty folder over this one.
fn cover(place: &str) -> Result<()> {
    mount(
        Some("tmpfs"),
        place,
        Some("tmpfs"),
        MsFlags::empty(),
        None::<&str>,
    )
    .with_context(|| format!("cannot cover {place}"))
}

/// `type` of the kprobe and uprobe event sources, where the kernel has them.
pub fn probe_sources() -> Vec<u32> {
    let number = |name: &&str| {
        let text = fs::read_to_string(format!("/sys/bus/event_source/devices/{name}/type")).ok()?;
        text.trim().parse().ok()
    };
    ["kprobe", "uprobe"].iter().filter_map(number).collect()
}
