//! Every map and every global. Sizes that depend on the host or on flags are set by user space before loading.

use aya_ebpf::{
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf},
};
use tracer_common::{
    AggregateKey, AggregateValue, CodeKey, Config, Counters, Flow, Head, OFFSET_COUNT, Offsets,
    Owner, OwnerByAddress, PeerKey, PeerSums, StoredOwner, SystemCalls, UNRESOLVED, WaitingRow,
    WalkState, Walked, event_kind,
};

/// Settings of the run, frozen before loading: the verifier prunes what is off.
#[unsafe(no_mangle)]
pub static CONFIG: Config = Config {
    filters: 0,
    event_kinds: 0,
    rate: 0,
    list_would_block: 0,
    blocked_ns: 0,
    netns: 0,
    cgroup_id: 0,
    cgroup_level: 0,
    protocols: [0; 4],
    families: 0,
    errnos: [0; tracer_common::ERRNO_WORDS],
    wake_bytes: 0,
    file_refs_bias: 0,
    abilities: 0,
    registers_offset: 0,
    calls: SystemCalls::NONE,
    other_sends: 0,
    sock_type: 0,
    tcp_sock_type: 0,
};

/// Field offsets of the running kernel, frozen before loading.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::from_array([UNRESOLVED; OFFSET_COUNT]);

/// 0, never written. The verifier does not know: it takes any value for possible in a map that is not frozen. See
/// [`crate::kernel::non_null`].
#[unsafe(no_mangle)]
pub static mut ZERO: u64 = 0;

/// Reads a setting; volatile, so that the compiler does not fold the placeholder in.
macro_rules! config {
    ($($field:ident).+) => {
        // SAFETY: a read of a static that nobody writes after loading.
        unsafe { core::ptr::read_volatile(&raw const $crate::maps::CONFIG.$($field).+) }
    };
}
pub(crate) use config;

// One ring per event kind: a flood of one cannot push out another.
#[map]
pub static EVENTS_RETRANSMIT: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
pub static EVENTS_SEND_ERROR: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
pub static EVENTS_DROP: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
pub static EVENTS_DEVICE: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
pub static EVENTS_RESET: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
pub static EVENTS_CONNECTION: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
pub static EVENTS_SEND: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
pub static EVENTS_BLOCKED: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Exact counters, indexed by event kind.
#[map]
pub static COUNTERS: PerCpuArray<Counters> =
    PerCpuArray::with_max_entries(event_kind::COUNT as u32, 0);

/// The rate limit's window of one event kind, all CPUs together.
#[repr(C)]
pub struct Window {
    /// Start, nanoseconds of CLOCK_BOOTTIME.
    pub start_ns: u64,
    /// Individual events in it so far.
    pub used: u64,
}

#[map]
pub static WINDOWS: Array<Window> = Array::with_max_entries(event_kind::COUNT as u32, 0);

/// Where one program builds an event: the stack of 512 bytes is too small. Each program has places of its own
/// on each CPU, see [`NESTED`].
#[repr(C)]
pub struct Scratch {
    pub head: Head,
    pub key: AggregateKey,
    pub value: AggregateValue,
    /// In the first place of a program: how many of its runs are under way on this CPU.
    pub running: u64,
}

/// Kernels before 6.2 let a tracepoint's program run inside itself on one CPU: in a softirq that interrupts it,
/// and in an interrupt that interrupts that one. Each has its own place.
pub const NESTED: u32 = 3;

/// Programs in [`SCRATCH`] that can be attached beside each other.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Place {
    Retransmit,
    Synack,
    Send,
    LsmRefusal,
    Drop,
    Xmit,
    XmitTimeout,
    ResetSent,
    ResetReceived,
    SetState,
    InetSend,
    Inet6Send,
    InetPage,
    UnixSend,
    UnixPage,
    UnixDgram,
    UnixSeq,
    PacketSend,
    PacketOld,
    NetlinkSend,
    OtherSend,
    ConnectTcp4,
    ConnectTcp6,
    ConnectDgram4,
    ConnectDgram6,
    ConnectStream,
    ConnectCall,
}

#[map]
pub static SCRATCH: PerCpuArray<Scratch> =
    PerCpuArray::with_max_entries((Place::ConnectCall as u32 + 1) * NESTED, 0);

/// Which of the two aggregation maps is written; user space reads and empties the other.
#[map]
pub static ACTIVE: Array<u32> = Array::with_max_entries(1, 0);
#[map]
pub static AGGREGATE_A: HashMap<AggregateKey, AggregateValue> = HashMap::with_max_entries(8192, 0);
#[map]
pub static AGGREGATE_B: HashMap<AggregateKey, AggregateValue> = HashMap::with_max_entries(8192, 0);

/// What is counted without a flow, since the start.
#[map]
pub static CODES: PerCpuHashMap<CodeKey, u64> = PerCpuHashMap::with_max_entries(4096, 0);

/// Drop reasons that lose nothing (duplicates): counted, not listed.
#[map]
pub static BENIGN_REASONS: HashMap<u32, u8> = HashMap::with_max_entries(64, 0);

/// Owner of each IP socket. Bounded by the sockets of the host themselves; freed with them.
#[btf_map]
pub static OWNERS: SkStorage<StoredOwner> = SkStorage::new();

/// The same by the socket's address, where the kernel has no socket storage for tracing programs. Bounded: the
/// owners that were used longest ago are forgotten first. Its size is set only where it is used.
#[map]
pub static OWNERS_BY_ADDRESS: LruHashMap<u64, OwnerByAddress> = LruHashMap::with_max_entries(1, 0);

/// The same of MPTCP sockets by their cookies, which are never given twice: a subflow leads to its MPTCP socket as an
/// address only, which storage does not take.
#[map]
pub static MPTCP_OWNERS: LruHashMap<u64, Owner> = LruHashMap::with_max_entries(4096, 0);

/// Bits of [`tracer_common::owner_end`], set once those hooks are attached: nothing is kept by address before.
#[map]
pub static OWNER_ENDS: Array<u32> = Array::with_max_entries(1, 0);

/// What the walk before has seen of each TCP socket; freed with it.
#[btf_map]
pub static WALKED: SkStorage<Walked> = SkStorage::new();

/// The walk at hand.
#[map]
pub static WALK: Array<WalkState> = Array::with_max_entries(1, 0);

/// What connections have come to since a walk took it, see [`crate::peers`]; which of the two maps is written, as for
/// [`ACTIVE`]; and how many connections found no place.
#[map]
pub static PEERS_A: HashMap<PeerKey, PeerSums> = HashMap::with_max_entries(4096, 0);
#[map]
pub static PEERS_B: HashMap<PeerKey, PeerSums> = HashMap::with_max_entries(4096, 0);
#[map]
pub static PEERS_ACTIVE: Array<u32> = Array::with_max_entries(1, 0);
#[map]
pub static PEERS_LEFT_OUT: Array<u64> = Array::with_max_entries(1, 0);

/// Where a walk builds a row that is too large for the stack.
#[map]
pub static WAITING_PLACE: PerCpuArray<WaitingRow> = PerCpuArray::with_max_entries(1, 0);

/// One of [`tracer_common::connects_seen`]: where a connect that fails before its SYN is told, with its errno.
#[map]
pub static CONNECTS_SEEN: Array<u32> = Array::with_max_entries(1, 0);

/// Cookies of sockets that have sent a SYN, so that their connect fails, if it does, where the state changes. Kept
/// only for [`tracer_common::connects_seen::AT_CALL`]; those that were used longest ago are forgotten first.
#[map]
pub static SYN_SENT: LruHashMap<u64, u8> = LruHashMap::with_max_entries(4096, 0);

/// The send that a thread is in, once it has been blocked.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Wait {
    /// Address of the socket; 0 when it is a unix socket that waits for its peer.
    pub sk: u64,
    /// When it was blocked, nanoseconds of CLOCK_BOOTTIME.
    pub since_ns: u64,
    /// For how long before, nanoseconds.
    pub total_ns: u64,
    /// How many functions that wait it is in.
    pub depth: u64,
}

/// By thread (`bpf_get_current_pid_tgid`). Bounded: a thread that dies in its send leaves none behind, for the send
/// returns first; of more threads than this those that were used longest ago are forgotten.
#[map]
pub static WAITS: LruHashMap<u64, Wait> = LruHashMap::with_max_entries(4096, 0);

/// Threads in [`WAITS`], so that a send that was not blocked need not look there.
#[unsafe(no_mangle)]
pub static mut WAITING: u64 = 0;

/// Places in [`WAITED`]; a power of two.
pub const WAITED_PLACES: usize = 1024;

/// The same by the last bits of the thread's id.
#[unsafe(no_mangle)]
pub static mut WAITED: [u64; WAITED_PLACES] = [0; WAITED_PLACES];

/// 1 once every wait of a TCP socket's send is seen: without one it was blocked for no time at all.
#[map]
pub static WAITS_SEEN: Array<u32> = Array::with_max_entries(1, 0);

/// Places in [`SENDERS`]; a power of two.
pub const SENDER_PLACES: usize = 1024;

/// Which thread was stored last as the sender of a socket, as one word ([`crate::owner::sent`]), so that its
/// next send on the same socket need not look into the socket's storage. Found without a helper call, and
/// shared by all CPUs: a place holds one word, so it is never half of one and half of another.
#[unsafe(no_mangle)]
pub static mut SENDERS: [u64; SENDER_PLACES] = [0; SENDER_PLACES];

/// The process that walks over the open files: the tracer itself. 0 before its first walk.
#[unsafe(no_mangle)]
pub static mut TRACER: u32 = 0;

/// The last packet of a local socket that was dropped on its way out, per CPU: `net_dev_xmit` reports its
/// error after the driver freed the packet, and this tells whose it was.
#[repr(C)]
pub struct LastDrop {
    /// How often this was begun to be written, and which of these writes was finished last: a softirq may
    /// interrupt one and write its own, and what is half of each is of neither. Plain stores will do: only
    /// programs of this CPU come here, and every processor keeps its own loads and stores in order for itself.
    pub begun: u64,
    pub finished: u64,
    /// Address of the skb, 0 when taken.
    pub skb: u64,
    /// When, nanoseconds of CLOCK_BOOTTIME: the address is soon given to another packet.
    pub at_ns: u64,
    pub owner: Owner,
    pub flow: Flow,
    pub flags: u32,
    pub file_refs: u32,
}

#[map]
pub static LAST_DROP: PerCpuArray<LastDrop> = PerCpuArray::with_max_entries(1, 0);

/// Wanted processes: pid to start, as [`tracer_common::is_start`] compares it: exact where the fork was seen, else in
/// ticks, all that procfs shows.
#[map]
pub static PIDS: HashMap<u32, u64> = HashMap::with_max_entries(16384, 0);
#[map]
pub static COMMS: HashMap<[u8; 16], u8> = HashMap::with_max_entries(64, 0);
/// Ports in host byte order.
#[map]
pub static PORTS: HashMap<u16, u8> = HashMap::with_max_entries(1024, 0);
/// Prefixes of IPv6, or of IPv4 mapped into it.
#[map]
pub static REMOTES: LpmTrie<[u8; 16], u8> = LpmTrie::with_max_entries(1024, 0);
