//! The smallest set of capabilities that tracing needs, as a service manager would grant it.

use anyhow::{Context, Result};
use caps::{CapSet, Capability};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

const KEPT: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];

/// From the next exec on, this process has no more than these, root or not.
pub fn keep_few() -> Result<()> {
    // Before 5.11 maps are locked memory, which only the one who starts the program can grant. Later it
    // makes no difference, so that it may fail where this process itself is short of capabilities.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let all = caps::read(None, CapSet::Bounding).context("cannot read the capabilities")?;
    for capability in all.into_iter().filter(|one| !KEPT.contains(one)) {
        caps::drop(None, CapSet::Bounding, capability)
            .with_context(|| format!("cannot drop {capability}"))?;
    }
    Ok(())
}
