//! The owner of a socket, as the kernel half keeps it in socket storage.

use crate::wire;

/// How the owner is known; never read from `current` in a softirq.
pub mod grade {
    /// Nobody is known.
    pub const NONE: u8 = 0;
    /// The process that sent last.
    pub const AT_SEND: u8 = 1;
    /// The process that called connect(2).
    pub const AT_CONNECT: u8 = 2;
    /// The process that called accept(2).
    pub const AT_ACCEPT: u8 = 3;
    /// The process that called listen(2).
    pub const AT_LISTEN: u8 = 4;
    /// Found among open files by the iterator.
    pub const SEEDED: u8 = 5;
    /// The process that closed or shut down the socket.
    pub const AT_CLOSE: u8 = 6;
    /// The kernel itself (no file, or a kernel thread sends).
    pub const KERNEL: u8 = 7;
}

/// Bits of [`Owner::flags`].
pub mod owner_flag {
    /// Another process has sent on the socket, or holds it too, since the owner was first written.
    pub const SEVERAL: u8 = 1;
    /// The owner's cgroup is the one that the filter asks for, or below it.
    pub const CGROUP_MATCH: u8 = 2;
}

/// `/proc/PID/stat` gives the start in ticks of 1/100 s (USER_HZ): where a start comes from there, only whole
/// ticks can be compared.
pub const START_TICK_NS: u64 = 10_000_000;

/// A process, known by pid and start time together.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// `group_leader->start_boottime`, nanoseconds of CLOCK_BOOTTIME.
    pub start_ns: u64,
    /// Id of the cgroup (v2): the inode number of its directory.
    pub cgroup: u64,
    /// Process id (`tgid`).
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Real user id.
    pub uid: u32,
    /// One of [`grade`].
    pub grade: u8,
    /// Bits of [`owner_flag`].
    pub flags: u8,
    pub pad: u16,
    /// `comm` of the process (its group leader), NUL-padded, any bytes.
    pub comm: [u8; 16],
}

/// An owner that is kept by its socket's address, where the kernel has no socket storage.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerByAddress {
    pub owner: Owner,
    /// Address of the socket: the key again.
    pub address: u64,
    /// Cookie of the socket when this was written, 0 when it had none.
    pub cookie: u64,
    /// Inode of its file then, 0 when it had none.
    pub inode: u64,
    /// Made of all the above: a mixture of two entries does not fit it.
    pub digest: u64,
}

/// What the task_file iterator writes for each open socket file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Cookie of the socket, 0 when it has none.
    pub cookie: u64,
    /// Inode of the socket's file.
    pub inode: u64,
    /// The process that holds it open.
    pub owner: Owner,
    /// File descriptor in that process.
    pub fd: u32,
    pub pad: u32,
}

wire!(Owner = 48, OwnerByAddress = 80, Holder = 72);
