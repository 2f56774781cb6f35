//! Effective capabilities, capabilities(7).

use std::fs;
use std::path::Path;

/// The capabilities that matter here; the value is the bit in `CapEff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Capability {
    /// Becomes another user.
    SetUid = 7,
    /// Sets up networks.
    NetAdmin = 12,
    /// Looks into processes of other users.
    SysPtrace = 19,
    /// Stands in for the two below, and is the only way before 5.8.
    SysAdmin = 21,
    /// Raises limits.
    SysResource = 24,
    /// Sees addresses of kernel symbols.
    Syslog = 34,
    /// Attaches tracing programs.
    Perfmon = 38,
    /// Loads programs and maps.
    Bpf = 39,
}

impl Capability {
    /// Name as in the manual.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SetUid => "CAP_SETUID",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Syslog => "CAP_SYSLOG",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

/// A set of capabilities, as the kernel's bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    pub const fn has(self, capability: Capability) -> bool {
        self.0 >> (capability as u8) & 1 != 0
    }

    #[must_use]
    pub const fn without(self, capability: Capability) -> Self {
        Self(self.0 & !(1 << (capability as u8)))
    }
}

/// `CapEff` of this process.
pub(super) fn effective(root: &Path) -> Option<Capabilities> {
    let status = fs::read(root.join("proc/self/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let hex = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?
        .trim();
    u64::from_str_radix(hex, 16).ok().map(Capabilities)
}
