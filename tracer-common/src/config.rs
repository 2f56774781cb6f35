//! What user space fixes before the programs are loaded; frozen in `.rodata`, so that the verifier removes
//! every filter that is not asked for.

use crate::wire;

/// Words of the errno bitmap: errnos 0 to 575, which covers the kernel-internal ones (ERESTARTSYS is 512).
pub const ERRNO_WORDS: usize = 9;

/// Bits of [`Config::filters`]: which filters are on.
pub mod filter {
    /// `PIDS` holds the wanted processes.
    pub const PID: u64 = 1;
    /// `COMMS` holds the wanted names.
    pub const COMM: u64 = 2;
    /// `cgroup_id` and `cgroup_level` name the wanted cgroup.
    pub const CGROUP: u64 = 4;
    pub const NETNS: u64 = 8;
    /// `PORTS` holds the wanted ports, local or remote.
    pub const PORT: u64 = 16;
    /// `REMOTES` holds the wanted prefixes.
    pub const REMOTE: u64 = 32;
    /// `protocols` is a bitmap of IPPROTO_*, `families` one of AF_* for the rest.
    pub const PROTO: u64 = 64;
    pub const ERRNO: u64 = 128;
    /// Children of the wanted processes are wanted too.
    pub const FOLLOW: u64 = 256;
}

/// Settings of one run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Bits of [`filter`].
    pub filters: u64,
    /// Bit per signal: events of the others are not produced (their hooks may run for the owner's sake).
    pub signals: u64,
    /// Individual events per second and signal; beyond it they are aggregated.
    pub rate: u64,
    /// 1: list sends that would block (EAGAIN) one by one instead of counting them.
    pub list_would_block: u64,
    /// Inode number of the wanted network namespace.
    pub netns: u64,
    /// Id of the wanted cgroup.
    pub cgroup_id: u64,
    /// Its depth below the root.
    pub cgroup_level: u64,
    /// Bitmap of wanted IP protocols 0 to 255; bit 6 also stands for MPTCP (262).
    pub protocols: [u64; 4],
    /// Bitmap of wanted families whose protocol does not matter (AF_UNIX, AF_PACKET, AF_NETLINK…).
    pub families: u64,
    /// Bitmap of wanted errnos.
    pub errnos: [u64; ERRNO_WORDS],
    /// Bytes of unread data at which a producer wakes the reader.
    pub wake_bytes: u64,
    /// What to add to the file's reference count to get the number of references (`file_ref_t` starts at 0).
    pub file_refs_bias: u64,
}

wire!(Config = 8 * (14 + ERRNO_WORDS));
