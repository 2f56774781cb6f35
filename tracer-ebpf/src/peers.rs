//! What connections have come to between two walks over the open sockets, summed up per process, remote host and
//! port: how many were established, how many closed in peace, and what those that have closed had sent since a walk
//! last met them. A walk does not see a connection that begins and ends between two.

use core::{mem::MaybeUninit, ptr::null_mut};

use aya_ebpf::{
    bindings::{BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE},
    helpers::generated::bpf_sk_storage_get,
    maps::HashMap,
};
use tracer_common::{PeerKey, PeerSums, Walked, ability, event_kind::WAITING, walked_flag};

use crate::{
    emit,
    kernel::{Ptr, Words, can, clear, load, put},
    maps::{PEERS_A, PEERS_ACTIVE, PEERS_B, PEERS_LEFT_OUT, WALKED},
    owner,
    socket::{
        self, AF_INET, AF_INET6, IPPROTO_TCP, TCP_CLOSING, TCP_ESTABLISHED, TCP_FIN_WAIT2,
        TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT, TCP_TIME_WAIT,
    },
};

/// What is kept with a TCP socket from walk to walk; null when there is none.
#[inline(always)]
pub fn walked(sk: Ptr, create: bool) -> *mut Walked {
    let flags = if create {
        BPF_SK_STORAGE_GET_F_CREATE
    } else {
        0
    };
    // SAFETY: the verifier checks the socket; what is made is all zeroes.
    unsafe {
        bpf_sk_storage_get(
            (&raw const WALKED) as *mut _,
            sk as *mut _,
            null_mut(),
            flags as u64,
        )
    }
    .cast()
}

/// What a TCP socket has sent over its life.
#[derive(Clone, Copy)]
pub struct Sent {
    pub segments: u32,
    pub retransmitted: u32,
    pub delivered: u32,
    pub dsack_dups: u32,
    pub bytes: u64,
    pub acked: u64,
}

impl Sent {
    const NOTHING: Self = Self {
        segments: 0,
        retransmitted: 0,
        delivered: 0,
        dsack_dups: 0,
        bytes: 0,
        acked: 0,
    };

    /// As the socket counts.
    #[inline(always)]
    pub fn of(tcp: Ptr) -> Self {
        Self {
            segments: load!(tcp, tcp_segs_out: u32).unwrap_or(0),
            retransmitted: load!(tcp, tcp_total_retrans: u32).unwrap_or(0),
            delivered: load!(tcp, tcp_delivered: u32).unwrap_or(0),
            dsack_dups: load!(tcp, tcp_dsack_dups: u32).unwrap_or(0),
            bytes: load!(tcp, tcp_bytes_sent: u64).unwrap_or(0),
            acked: load!(tcp, tcp_bytes_acked: u64).unwrap_or(0),
        }
    }

    /// What came to it since this was noted: all of it once a socket was disconnected, which begins to count anew.
    #[inline(always)]
    pub fn since(&self, noted: &Walked) -> Self {
        if self.segments < noted.sent_segments {
            return *self;
        }
        Self {
            segments: self.segments - noted.sent_segments,
            retransmitted: self
                .retransmitted
                .wrapping_sub(noted.retransmitted_segments),
            delivered: self.delivered.wrapping_sub(noted.delivered_segments),
            dsack_dups: self.dsack_dups.wrapping_sub(noted.dsack_dups),
            bytes: self.bytes.wrapping_sub(noted.sent_bytes),
            acked: self.acked.wrapping_sub(noted.acked_bytes),
        }
    }

    /// The next difference begins here.
    #[inline(always)]
    pub fn note(&self, to: &mut Walked) {
        to.sent_segments = self.segments;
        to.retransmitted_segments = self.retransmitted;
        to.delivered_segments = self.delivered;
        to.dsack_dups = self.dsack_dups;
        to.sent_bytes = self.bytes;
        to.acked_bytes = self.acked;
    }
}

/// The state of a TCP socket goes from one to the other: counts connections that are established, and those that
/// close.
#[inline(never)]
pub fn state_set(sk: Ptr, from: u32, to: u32) -> i32 {
    if !emit::wanted(WAITING)
        || !can(ability::SOCKET_STORAGE)
        || socket::protocol(sk) != Some(IPPROTO_TCP)
    {
        return 0;
    }
    let tcp = socket::tcp_sock(sk);
    if tcp.is_null() || from == TCP_LISTEN as u32 {
        return 0;
    }
    let opens = to == TCP_ESTABLISHED as u32;
    let slot = walked(sk, opens);
    // Not an option: the verifier takes nobody's word for it that what is left unset is not read.
    let mut sent = Sent::NOTHING;
    let mut connected = from == TCP_SYN_SENT as u32;
    if !slot.is_null() {
        // SAFETY: the slot lives as long as the program runs. A walk that comes to the socket at this very moment
        // may count the same segments.
        let walked = unsafe { &mut *slot };
        if opens {
            // All that it sends is new, whether or not a walk came before.
            walked.flags = if connected {
                walked_flag::CONNECTED
            } else {
                walked_flag::ACCEPTED
            };
        } else {
            connected = walked.flags & walked_flag::CONNECTED != 0;
            // Where neither its beginning nor a walk was seen, nobody knows what of it is new.
            if walked.flags != 0 || walked.number != 0 {
                let all = Sent::of(tcp);
                sent = all.since(walked);
                all.note(walked);
            }
        }
    }
    if opens && from == TCP_SYN_RECV as u32 {
        return 0;
    }
    let peaceful = !opens
        && (from == TCP_FIN_WAIT2 as u32
            || from == TCP_CLOSING as u32
            || from == TCP_TIME_WAIT as u32
            || from == TCP_LAST_ACK as u32)
        && load!(sk, sk_err: u32) == Some(0);
    if !opens && !peaceful && sent.segments == 0 {
        return 0;
    }
    let stored = if PEERS_ACTIVE.get(0).copied().unwrap_or(0) == 0 {
        add(&PEERS_A, sk, connected, opens, peaceful, &sent)
    } else {
        add(&PEERS_B, sk, connected, opens, peaceful, &sent)
    };
    if !stored && let Some(left_out) = PEERS_LEFT_OUT.get_ptr_mut(0) {
        emit::add(left_out, 1);
    }
    0
}

#[inline(always)]
fn add(
    map: &HashMap<PeerKey, PeerSums>,
    sk: Ptr,
    connected: bool,
    opens: bool,
    peaceful: bool,
    sent: &Sent,
) -> bool {
    let mut key = MaybeUninit::<PeerKey>::uninit();
    // SAFETY: `clear` writes every byte, and all zeroes are valid.
    let key = unsafe { &mut *key.as_mut_ptr() };
    clear(key);
    let mut empty = MaybeUninit::<PeerSums>::uninit();
    // SAFETY: as above.
    let empty = unsafe { &mut *empty.as_mut_ptr() };
    clear(empty);
    owner::stored(sk, &mut empty.owner);
    key.start_ns = empty.owner.start_ns;
    key.pid = empty.owner.pid;
    key.netns = socket::netns(sk);
    key.family = socket::family(sk);
    // Who is connected to comes from any port.
    if connected {
        key.port = load!(sk, sk_dport: u16).unwrap_or(0);
    }
    if key.family == AF_INET {
        put(
            &mut key.remote,
            socket::v4(load!(sk, sk_daddr: u32).unwrap_or(0)),
        );
    } else if key.family == AF_INET6 {
        put(
            &mut key.remote,
            load!(sk, sk_v6_daddr: Words).unwrap_or([0; 4]),
        );
    }
    let mut place = map.get_ptr_mut(&*key);
    if place.is_none() {
        // Another CPU may be first.
        let _ = map.insert(&*key, &*empty, BPF_NOEXIST as u64);
        place = map.get_ptr_mut(&*key);
    }
    let Some(sums) = place else {
        return false;
    };
    // SAFETY: the pointer comes from the map.
    unsafe {
        emit::add(&raw mut (*sums).established, opens as u64);
        emit::add(&raw mut (*sums).graceful_closes, peaceful as u64);
        emit::add(&raw mut (*sums).closed_sockets, (sent.segments != 0) as u64);
        emit::add(&raw mut (*sums).sent_segments, sent.segments as u64);
        emit::add(
            &raw mut (*sums).retransmitted_segments,
            sent.retransmitted as u64,
        );
        emit::add(&raw mut (*sums).delivered_segments, sent.delivered as u64);
        emit::add(&raw mut (*sums).dsack_dups, sent.dsack_dups as u64);
        emit::add(&raw mut (*sums).sent_bytes, sent.bytes);
        emit::add(&raw mut (*sums).acked_bytes, sent.acked);
    }
    true
}
