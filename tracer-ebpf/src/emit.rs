//! Filter → rate limit → reserve → submit, and the exact counters.
//!
//! `seen = filtered + emitted + aggregated` and `emitted = delivered + lost` hold because every event takes
//! exactly one of these ways, each with one atomic increment of its own CPU's counter.

use aya_ebpf::{
    bindings::{BPF_NOEXIST, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::bpf_ktime_get_boot_ns,
    maps::{HashMap, RingBuf, lpm_trie::Key},
};
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use tracer_common::{
    AggregateKey, AggregateValue, BEYOND_MAP, CodeKey, Counters, Flow, Head, NO_U32, Owner,
    event_kind, filter, head_flag, is_start, owner_flag,
};

use crate::{
    debug::debug,
    kernel::{clear, copy},
    maps::{
        ACTIVE, AGGREGATE_A, AGGREGATE_B, CODES, COMMS, COUNTERS, NESTED, PIDS, PORTS, Place,
        REMOTES, SCRATCH, Scratch, WINDOWS, config,
    },
    socket::{AF_INET, AF_INET6, SOCK_RAW},
};

const SECOND: u64 = 1_000_000_000;

/// Adds to a counter that others add to at the same time.
#[inline(always)]
pub fn add(counter: *mut u64, amount: u64) {
    // The compiler makes an atomic OR of an addition of nothing, and older kernels know atomic additions only.
    if amount == 0 {
        return;
    }
    // SAFETY: counters live in maps, aligned; atomic because a softirq may interrupt a program of the same
    // event kind in process context between its load and its store.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, amount) };
}

/// Is this event kind wanted at all? The verifier removes the rest of the program when it is not.
#[inline(always)]
pub fn wanted(event_kind: u32) -> bool {
    config!(event_kinds) & (1 << event_kind) != 0
}

/// One event in the making. [`begin`] hands it out and counts the event as seen; dropping it frees its scratch space.
pub struct EventSlot {
    counters: *mut Counters,
    event_kind: u32,
    scratch: *mut Scratch,
    /// The program's first place on this CPU, which counts its runs.
    first: *mut Scratch,
}

impl Drop for EventSlot {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the pointer comes from the map. A run that interrupts this one ends before it goes on, so
        // the number is what this run made it.
        unsafe {
            let running = &raw mut (*self.first).running;
            core::ptr::write_volatile(running, core::ptr::read_volatile(running).wrapping_sub(1));
        }
    }
}

/// Counts an event of `event_kind` as seen, and gives its slot with an empty head to fill.
#[inline(always)]
pub fn begin(event_kind: u32, place: Place) -> Option<(EventSlot, &'static mut Head)> {
    let first = SCRATCH.get_ptr_mut(place as u32 * NESTED)?;
    // SAFETY: the pointer comes from the map.
    let running = unsafe { core::ptr::read_volatile(&raw const (*first).running) };
    let scratch = match running {
        0 => first,
        1 => SCRATCH.get_ptr_mut(place as u32 * NESTED + 1)?,
        _ => SCRATCH.get_ptr_mut(place as u32 * NESTED + 2)?,
    };
    let counters = COUNTERS.get_ptr_mut(event_kind)?;
    // SAFETY: the pointer comes from the map.
    add(unsafe { &raw mut (*counters).seen }, 1);
    // SAFETY: as above.
    unsafe { core::ptr::write_volatile(&raw mut (*first).running, running + 1) };
    // SAFETY: the pointer comes from the map; `EventSlot` never touches the head.
    let head = unsafe { &mut (*scratch).head };
    clear(head);
    head.event_kind = event_kind;
    head.file_refs = NO_U32;
    Some((
        EventSlot {
            counters,
            event_kind,
            scratch,
            first,
        },
        head,
    ))
}

/// What an event weighs beside its count.
#[derive(Clone, Copy)]
pub struct Weight {
    pub bytes: u64,
    pub segments: u64,
}

impl EventSlot {
    #[inline(always)]
    pub fn count_filtered(&self) {
        // SAFETY: the pointer comes from the map.
        add(unsafe { &raw mut (*self.counters).filtered }, 1);
    }

    /// Counts the event under (event kind, code) alone.
    #[inline(always)]
    pub fn count_code(&self, code: u32) {
        // SAFETY: the pointer comes from the map.
        add(unsafe { &raw mut (*self.counters).aggregated }, 1);
        self.bump_code(self.event_kind, code);
    }

    #[inline(always)]
    fn bump_code(&self, event_kind: u32, code: u32) {
        let key = CodeKey { event_kind, code };
        if let Some(count) = CODES.get_ptr_mut(&key) {
            add(count, 1);
            return;
        }
        let one = 1u64;
        if CODES.insert(&key, &one, BPF_NOEXIST as u64).is_err()
            && let Some(count) = CODES.get_ptr_mut(&key)
        {
            // Another CPU was first.
            add(count, 1);
        }
    }

    /// Counts the event under (event kind, code, flow), or without the flow when the map is full.
    #[inline(always)]
    pub fn aggregate(&self, head: &Head, code: u32, weight: Weight) {
        // SAFETY: the pointer comes from the map.
        add(unsafe { &raw mut (*self.counters).aggregated }, 1);
        let stored = if ACTIVE.get(0).copied().unwrap_or(0) == 0 {
            self.count_flow(&AGGREGATE_A, head, code, weight)
        } else {
            self.count_flow(&AGGREGATE_B, head, code, weight)
        };
        if !stored {
            self.bump_code(self.event_kind | BEYOND_MAP, code);
        }
    }

    #[inline(always)]
    fn count_flow(
        &self,
        map: &HashMap<AggregateKey, AggregateValue>,
        head: &Head,
        code: u32,
        weight: Weight,
    ) -> bool {
        // SAFETY: the pointer comes from the map; key and value are used here only.
        let (key, value) = unsafe { (&mut (*self.scratch).key, &mut (*self.scratch).value) };
        let flow = &head.flow;
        key.event_kind = self.event_kind;
        key.code = code;
        key.pid = head.owner.pid;
        key.netns = flow.netns;
        key.family = flow.family;
        key.protocol = flow.protocol;
        key.local_port = flow.local_port;
        key.remote_port = flow.remote_port;
        key.local = flow.local;
        key.remote = flow.remote;
        if let Some(value) = map.get_ptr_mut(&*key) {
            bump(value, head.boot_ns, weight);
            return true;
        }
        value.count = 1;
        // SAFETY: plain places; volatile, or two zeroes become a call of memset.
        unsafe {
            core::ptr::write_volatile(&raw mut value.bytes, weight.bytes);
            core::ptr::write_volatile(&raw mut value.segments, weight.segments);
        }
        value.first_ns = head.boot_ns;
        value.last_ns = head.boot_ns;
        copy(&mut value.flow, flow);
        copy(&mut value.owner, &head.owner);
        value.file_refs = head.file_refs;
        value.flags = head.flags;
        if map.insert(&*key, &*value, BPF_NOEXIST as u64).is_ok() {
            return true;
        }
        match map.get_ptr_mut(&*key) {
            Some(value) => {
                bump(value, head.boot_ns, weight);
                true
            }
            None => false,
        }
    }

    /// May this event be listed? Else it is aggregated.
    #[inline(always)]
    pub fn within_rate(&self, now: u64) -> bool {
        let Some(window) = WINDOWS.get_ptr_mut(self.event_kind) else {
            return true;
        };
        let rate = config!(rate);
        // SAFETY: the pointer comes from the map. CPUs may race for the window: a few events more or less
        // are listed then, none is miscounted.
        unsafe {
            let start = core::ptr::read_volatile(&raw const (*window).start_ns);
            if now.wrapping_sub(start) >= SECOND {
                core::ptr::write_volatile(&raw mut (*window).start_ns, now);
                core::ptr::write_volatile(&raw mut (*window).used, 0);
            }
            if core::ptr::read_volatile(&raw const (*window).used) >= rate {
                return false;
            }
            add(&raw mut (*window).used, 1);
        }
        true
    }

    /// Reserves a place for a record, lets `fill` write it, and submits it without waking the reader, until
    /// much is unread.
    #[inline(always)]
    pub fn emit<R: 'static>(&self, ring: &RingBuf, fill: impl FnOnce(&mut R)) {
        // SAFETY: the pointer comes from the map.
        add(unsafe { &raw mut (*self.counters).emitted }, 1);
        let Some(mut entry) = ring.reserve::<R>(0) else {
            // SAFETY: the pointer comes from the map.
            add(unsafe { &raw mut (*self.counters).lost }, 1);
            return;
        };
        // SAFETY: every field of a record is written by `fill`; all bit patterns are valid.
        fill(unsafe { entry.assume_init_mut() });
        // Woken once when the mark is passed, not by every event beyond it; a reader that is woken by nobody
        // looks by itself a moment later.
        let beyond = ring
            .query(BPF_RB_AVAIL_DATA as u64)
            .wrapping_sub(config!(wake_bytes));
        let wake = if beyond < 4 * size_of::<R>() as u64 {
            BPF_RB_FORCE_WAKEUP
        } else {
            BPF_RB_NO_WAKEUP
        };
        entry.submit(wake as u64);
    }
}

/// CLOCK_BOOTTIME in nanoseconds.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no arguments, cannot fail.
    unsafe { bpf_ktime_get_boot_ns() }
}

#[inline(always)]
fn bump(value: *mut AggregateValue, now: u64, weight: Weight) {
    // SAFETY: the pointer comes from the map.
    unsafe {
        add(&raw mut (*value).count, 1);
        add(&raw mut (*value).bytes, weight.bytes);
        add(&raw mut (*value).segments, weight.segments);
        core::ptr::write_volatile(&raw mut (*value).last_ns, now);
    }
}

/// Does a filter remove an event with this errno? Cheap, so it comes before anything is read.
#[inline(always)]
pub fn errno_filtered_out(errno: u32) -> bool {
    if config!(filters) & filter::ERRNO == 0 {
        return false;
    }
    // Every word by its own constant offset: the verifier loses the bounds of a computed one.
    let mut bits = 0;
    let mut word = 0;
    while word < tracer_common::ERRNO_WORDS {
        if word == (errno / 64) as usize {
            // SAFETY: inside the array; a static that nobody writes after loading.
            bits = unsafe {
                core::ptr::read_volatile(
                    (&raw const crate::maps::CONFIG.errnos)
                        .cast::<u64>()
                        .add(word),
                )
            };
        }
        word += 1;
    }
    let filtered_out = bits >> (errno % 64) & 1 == 0;
    if filtered_out {
        debug!("errno {} filtered: --errno", errno);
    }
    filtered_out
}

/// Does a filter remove this event? Only what is sure: where the stored owner may not be the whole truth,
/// the event passes and user space decides.
#[inline(always)]
pub fn filtered_out(head: &Head) -> bool {
    let filters = config!(filters);
    if filters == 0 {
        return false;
    }
    let flow = &head.flow;
    if filters & filter::NETNS != 0 && flow.netns as u64 != config!(netns) {
        debug!("event kind {} filtered: --netns", head.event_kind);
        return true;
    }
    if filters & filter::PROTO != 0 && !protocol_wanted(flow) {
        debug!("event kind {} filtered: --proto", head.event_kind);
        return true;
    }
    if filters & filter::PORT != 0
        // SAFETY: lookups of plain values.
        && unsafe { PORTS.get(u16::from_be(flow.local_port)) }.is_none()
        // SAFETY: as above.
        && unsafe { PORTS.get(u16::from_be(flow.remote_port)) }.is_none()
    {
        debug!("event kind {} filtered: --port", head.event_kind);
        return true;
    }
    if filters & filter::REMOTE != 0 && !remote_wanted(head) {
        debug!("event kind {} filtered: --remote", head.event_kind);
        return true;
    }
    if filters & (filter::PID | filter::COMM | filter::CGROUP) != 0 && head.owner_is_sure() {
        let wanted = owner_wanted(filters, &head.owner);
        if !wanted {
            debug!(
                "event kind {} filtered: --pid, --comm or --cgroup; its owner is {}",
                head.event_kind, head.owner.pid
            );
        }
        return !wanted;
    }
    false
}

#[inline(always)]
fn protocol_wanted(flow: &Flow) -> bool {
    if flow.family == AF_INET || flow.family == AF_INET6 {
        // MPTCP (262) is TCP to the user.
        let protocol = if flow.protocol == 262 {
            6
        } else {
            flow.protocol
        };
        let word = (protocol / 64) as usize & 3;
        // SAFETY: inside the array; a static that nobody writes after loading.
        let bits = unsafe {
            core::ptr::read_volatile(
                (&raw const crate::maps::CONFIG.protocols)
                    .cast::<u64>()
                    .add(word),
            )
        };
        return match flow.sock_type {
            SOCK_RAW => config!(families) & 1 != 0,
            _ => bits >> (protocol % 64) & 1 != 0,
        };
    }
    // Bit 0 stands for raw sockets, not for a packet without a known flow (family 0).
    flow.family != 0 && config!(families) >> (flow.family & 63) & 1 != 0
}

#[inline(always)]
fn remote_wanted(head: &Head) -> bool {
    let flow = &head.flow;
    if head.flags & head_flag::NO_REMOTE != 0 {
        return false;
    }
    let mut data = flow.remote;
    if flow.family == AF_INET {
        let v4 = flow.remote;
        data = [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3],
        ];
    } else if flow.family != AF_INET6 {
        return false;
    }
    REMOTES.get(Key::new(128, data)).is_some()
}

#[inline(always)]
fn owner_wanted(filters: u64, owner: &Owner) -> bool {
    if filters & filter::PID != 0 {
        // SAFETY: a lookup of a plain value.
        match unsafe { PIDS.get(owner.pid) } {
            Some(start) if is_start(*start, owner.start_ns) => {}
            _ => return false,
        }
    }
    if filters & filter::COMM != 0
        // SAFETY: a lookup of a plain value.
        && unsafe { COMMS.get(owner.comm) }.is_none()
    {
        return false;
    }
    filters & filter::CGROUP == 0 || owner.flags & owner_flag::CGROUP_MATCH != 0
}

/// Filters that a packet without a local socket cannot match.
#[inline(always)]
pub fn needs_socket() -> bool {
    config!(filters) & !filter::FOLLOW != 0
}

/// Names an event kind's number for the hooks.
pub use event_kind::{BLOCKED, CONNECTION, DEVICE, DROP, RESET, RETRANSMIT, SEND, SEND_ERROR};
