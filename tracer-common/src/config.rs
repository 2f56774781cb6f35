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

/// Bits of [`Config::abilities`]: what this kernel gives its tracing programs. What is not there is done in
/// another way, and the verifier removes the way that is not taken.
pub mod ability {
    /// Storage that lives and dies with a socket (5.11); else owners are kept by the socket's address.
    pub const SOCKET_STORAGE: u64 = 1;
    /// `bpf_get_current_task_btf` (5.11): the current task's fields can be loaded; else they are probed.
    pub const CURRENT_TASK: u64 = 2;
    /// `bpf_task_pt_regs` (5.15); else the registers are found at the top of the task's stack.
    pub const TASK_REGISTERS: u64 = 4;
    /// `bpf_get_socket_cookie` for any socket (5.12); else a cookie is there only if somebody asked for it.
    pub const SOCKET_COOKIE: u64 = 8;
    /// `bpf_sock_from_file` (5.11); else a socket's file is identified by its file system.
    pub const SOCKET_FROM_FILE: u64 = 16;
    /// Each cgroup lists its ancestors as pointers (6.1), not as ids.
    pub const ANCESTOR_POINTERS: u64 = 32;
    /// A time-out of TCP is counted before what it sends (5.1).
    pub const TIMEOUT_COUNTED_BEFORE: u64 = 64;
    /// It is counted afterwards. Neither bit: nobody knows.
    pub const TIMEOUT_COUNTED_AFTER: u64 = 128;

    /// All that a send on its fast path relies on.
    pub const FAST_SEND: u64 = SOCKET_STORAGE | CURRENT_TASK | SOCKET_COOKIE;
}

/// Bits of the map `OWNER_ENDS`: the end of which sockets is seen, so that an owner kept by address can be
/// forgotten before the address is given to another socket.
pub mod owner_end {
    /// Every IP socket's.
    pub const IP: u32 = 1;
    /// Those of TCP only.
    pub const TCP: u32 = 2;
}

/// How the running kernel's processor makes a system call: numbers of the calls that send or connect, and what its saved
/// registers look like while a 64-bit process is in one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemCalls {
    /// Bits of `regs_mode` that tell, and what they are for 64-bit code in user mode.
    pub mode_mask: u64,
    pub user_mode: u64,
    /// What `regs_running` holds until the call returns; [`SystemCalls::ARGUMENT`]: its first argument.
    pub running: u64,
    pub write: u64,
    pub writev: u64,
    pub pwritev2: u64,
    pub sendto: u64,
    pub sendmsg: u64,
    pub sendmmsg: u64,
    pub sendfile: u64,
    pub splice: u64,
    pub connect: u64,
}

impl SystemCalls {
    /// In [`SystemCalls::running`]: the register of the result still is that of the first argument, of which
    /// the kernel has a copy.
    pub const ARGUMENT: u64 = 0;

    /// No call is known by its registers: no mode is the wanted one, no number is that of a call.
    pub const NONE: Self = Self {
        mode_mask: 0,
        user_mode: u64::MAX,
        running: Self::ARGUMENT,
        write: u64::MAX,
        writev: u64::MAX,
        pwritev2: u64::MAX,
        sendto: u64::MAX,
        sendmsg: u64::MAX,
        sendmmsg: u64::MAX,
        sendfile: u64::MAX,
        splice: u64::MAX,
        connect: u64::MAX,
    };

    /// `__USER_CS` is another one for 32-bit code; `syscall_enter_from_user_mode` puts -ENOSYS into `ax`.
    pub const X86_64: Self = Self {
        mode_mask: 0xffff,
        user_mode: 0x33,
        running: (-38i64) as u64,
        write: 1,
        writev: 20,
        pwritev2: 328,
        sendto: 44,
        sendmsg: 46,
        sendmmsg: 307,
        sendfile: 40,
        splice: 275,
        connect: 42,
    };

    /// `pstate`: exception level 0, and not the 32-bit state (bit 4).
    pub const ARM64: Self = Self {
        mode_mask: 0x1f,
        user_mode: 0,
        running: Self::ARGUMENT,
        write: 64,
        writev: 66,
        pwritev2: 287,
        sendto: 206,
        sendmsg: 211,
        sendmmsg: 269,
        sendfile: 71,
        splice: 76,
        connect: 203,
    };
}

impl Default for SystemCalls {
    fn default() -> Self {
        Self::NONE
    }
}

/// Settings of one run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Bits of [`filter`].
    pub filters: u64,
    /// Bit per event kind: events of the others are not produced (their hooks may run for the owner's sake).
    pub event_kinds: u64,
    /// Individual events per second and event kind; beyond it they are aggregated.
    pub rate: u64,
    /// 1: list sends that would block (EAGAIN) one by one instead of counting them.
    pub list_would_block: u64,
    /// A send that was blocked for so long is listed though it succeeded, nanoseconds.
    pub blocked_ns: u64,
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
    /// Bits of [`ability`].
    pub abilities: u64,
    /// Distance of the saved registers from the start of a task's kernel stack; 0 when unknown, or where
    /// [`ability::TASK_REGISTERS`] finds them.
    pub registers_offset: u64,
    /// How the caller's registers are read.
    pub calls: SystemCalls,
    /// 1: a program sees the return of `sock_sendmsg` for families that have none of their own, and with it
    /// what a security module refused there.
    pub other_sends: u64,
    /// Number of `struct sock` in the kernel's BTF, where a program gives a socket its type by itself; else 0.
    pub sock_type: u64,
    /// The same of `struct tcp_sock`.
    pub tcp_sock_type: u64,
}

wire!(SystemCalls = 8 * 12, Config = 8 * (32 + ERRNO_WORDS));

/// Where `struct trace_event_raw_sock_msg_length` (the perf form of `sock_send_length`) must keep the socket and
/// the result: an offset into a program's context has to be in its code.
pub const SK_IN_EVENT: u32 = 8;
pub const RET_IN_EVENT: u32 = 20;

/// Where the context of a program at the end of a system call keeps the result (`struct syscall_tp_t` of
/// `perf_call_bpf_exit`): the same on every 64-bit kernel.
pub const RET_IN_CALL: u32 = 16;

/// Number of the "helper" that the loader replaces by the kernel function `bpf_rdonly_cast`, whose number is
/// another on each kernel. No kernel has so many helpers: where it is not replaced, the program is refused.
pub const TYPED_CALL: u32 = 0x5e4d_7ca5;
