//! What this host is: read through a root path, nothing decided here.
//!
//! `/proc` and `/sys` are named only in this room (and in the owner's). What cannot be read is `None`.

mod btf;
mod capability;
mod host;
mod misses;
mod netns;
mod null_tests;
mod own;
pub mod recorded;
mod symbols;
mod verdicts;

use std::path::{Path, PathBuf};

pub use btf::{BtfFacts, Feature, PerfTracepointSends, Processor};
pub use capability::{Capabilities, Capability};
pub use host::systemd_cgroup;
pub use misses::recursion_misses;
pub use netns::{
    NetnsError, in_pid_namespace, interface_name, netns_of_pid, netns_of_self, netns_of_text,
};
pub use null_tests::{NULLABLE, NullTest, NullTests, Nullable};
pub use own::{open_descriptors, own_cgroup, own_program, retransmitted_segments};
pub use symbols::Symbols;
pub use verdicts::{ProgramVerdict, Verdicts};

use crate::kernel::plan::privileges;

/// Facts about the host and about this process.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Effective user id.
    pub euid: u32,
    /// Effective capabilities; `None` when `/proc` is not there.
    pub capabilities: Option<Capabilities>,
    /// Whether this kernel knows CAP_BPF and CAP_PERFMON (`kernel.cap_last_cap`).
    pub knows_cap_bpf: Option<bool>,
    /// Whether uids map one to one: the kernel asks for capabilities in the initial user namespace.
    pub initial_user_namespace: Option<bool>,
    /// `uname -r`; for people only, never decided upon.
    pub kernel_release: Option<String>,
    /// What the kernel's BTF says, or why it says nothing.
    pub btf: Result<BtfFacts, String>,
    /// What the verifier makes of tests for null; `None` when nobody asked it, because nothing may be loaded anyway.
    pub null_tests: Option<NullTests>,
    /// What the kernel has said to programs so far. The plan goes around what it refused.
    pub verdicts: Verdicts,
    /// `net.core.bpf_jit_enable` is not 0.
    pub jit: Option<bool>,
    /// The lockdown mode in force (`none`, `integrity`, `confidentiality`); `None` when not shown.
    pub lockdown: Option<String>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<u32>,
    /// `kernel.kptr_restrict`: 2 hides the addresses of symbols even from root.
    pub kptr_restrict: Option<u32>,
    /// Whether this process is shown the addresses of kernel symbols.
    pub kernel_addresses: Option<bool>,
    /// Where the cgroup v2 hierarchy is mounted, as this process sees it.
    pub cgroup2: Option<PathBuf>,
    /// Where systemd's own v1 hierarchy is mounted, if that is where processes are: there is no v2, or everything
    /// is in its root.
    pub systemd_cgroups: Option<PathBuf>,
    /// Length of a tick of jiffies in nanoseconds; see [`Facts::hz`].
    pub tick_ns: Option<u64>,
    /// CPUs that may ever come online: what per-CPU maps have room for.
    pub cpus_possible: Option<u32>,
    /// Open files that this process may have.
    pub open_files: Option<Limit>,
    /// Bytes that this process may lock; kernels before 5.11 charge maps to it.
    pub locked_memory: Option<Limit>,
    /// Whether this host runs no BPF program while a task of process 1 is at hand; `None` when nobody watched, or
    /// process 1 did too little to tell. See [`crate::withholding`].
    pub withholds: Option<bool>,
    /// Ties CLOCK_BOOTTIME to the wall clock.
    pub clock: ClockAnchor,
}

/// A resource limit; `u64::MAX` is "no limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

/// The same moment on two clocks, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockAnchor {
    /// CLOCK_BOOTTIME.
    pub boot_ns: u64,
    /// CLOCK_REALTIME.
    pub wall_ns: u64,
}

impl ClockAnchor {
    /// Reads both clocks now.
    pub fn now() -> Self {
        host::clock_anchor()
    }

    /// Wall-clock time of a moment on CLOCK_BOOTTIME, nanoseconds since 1970.
    pub fn wall_ns(&self, boot_ns: u64) -> i128 {
        i128::from(self.wall_ns) + i128::from(boot_ns) - i128::from(self.boot_ns)
    }
}

impl Facts {
    /// Reads everything. Takes some 20 ms, nearly all of it for BTF.
    pub fn probe(root: &Path) -> Self {
        let btf = btf::read(root);
        let mut facts = Self {
            euid: nix::unistd::geteuid().as_raw(),
            capabilities: capability::effective(root),
            knows_cap_bpf: host::number(root, "proc/sys/kernel/cap_last_cap")
                .map(|last| last >= Capability::Bpf as u32),
            initial_user_namespace: host::initial_user_namespace(root),
            kernel_release: host::line(root, "proc/sys/kernel/osrelease"),
            btf: btf.as_ref().map(BtfFacts::extract).map_err(Clone::clone),
            null_tests: None,
            verdicts: Verdicts::default(),
            jit: host::number(root, "proc/sys/net/core/bpf_jit_enable").map(|jit| jit != 0),
            lockdown: host::lockdown(root),
            unprivileged_bpf_disabled: host::number(
                root,
                "proc/sys/kernel/unprivileged_bpf_disabled",
            ),
            kptr_restrict: host::number(root, "proc/sys/kernel/kptr_restrict"),
            kernel_addresses: symbols::shown(root),
            cgroup2: host::cgroup2(root),
            systemd_cgroups: host::systemd_cgroups(root),
            tick_ns: host::tick_ns(),
            cpus_possible: host::cpus_possible(root),
            open_files: host::limit(nix::sys::resource::Resource::RLIMIT_NOFILE),
            locked_memory: host::limit(nix::sys::resource::Resource::RLIMIT_MEMLOCK),
            withholds: None,
            clock: ClockAnchor::now(),
        };
        if let Ok(btf) = &btf
            && privileges(&facts).sufficient()
        {
            facts.null_tests = Some(null_tests::probe(|name| btf.tracepoint(name)));
        }
        facts
    }

    /// Ticks of jiffies per second (CONFIG_HZ): the unit of `rto_jiffies` and its kind.
    pub fn hz(&self) -> Option<u32> {
        let tick = self.tick_ns.filter(|&tick| tick > 0)?;
        u32::try_from((1_000_000_000 + tick / 2) / tick).ok()
    }

    /// Whether the capability is effective; without `/proc`, whether the user is root.
    pub fn has(&self, capability: Capability) -> bool {
        self.capabilities
            .map_or(self.euid == 0, |capabilities| capabilities.has(capability))
    }
}

#[cfg(any(test, feature = "testing"))]
pub mod fixture;
#[cfg(test)]
mod tests;
