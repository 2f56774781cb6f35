//! Where a send went: what the caller named, or who it is connected to.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use tracer_common::{DestinationPath, Flow, Head, head_flag};

use super::Asked;
use crate::{
    kernel::{Ptr, Words, probe, probe_user, put},
    socket::{self, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET},
};

const SOCK_PACKET: u16 = 10;

/// Reads a part of the named address.
#[inline(always)]
fn read<T: Copy>(asked: &Asked, offset: u64) -> Option<T> {
    if asked.in_kernel {
        probe(asked.name + offset)
    } else {
        probe_user(asked.name + offset)
    }
}

/// Reads the destination that the caller named into the flow.
#[inline(always)]
pub(super) fn named(asked: &Asked, flow: &mut Flow) -> bool {
    let Some(words) = read::<[u32; 2]>(asked, 0) else {
        return false;
    };
    let family = words[0] as u16;
    let port = (words[0] >> 16) as u16;
    if flow.family == AF_INET && asked.name_len >= 16 && (family == AF_INET || family == 0) {
        flow.remote_port = port;
        put(&mut flow.remote, socket::v4(words[1]));
        true
    } else if flow.family == AF_INET6 && family == AF_INET && asked.name_len >= 16 {
        flow.remote_port = port;
        put(&mut flow.remote, socket::mapped_v4(words[1]));
        true
    } else if flow.family == AF_INET6 && family == AF_INET6 && asked.name_len >= 24 {
        let Some(address) = read::<Words>(asked, 8) else {
            return false;
        };
        flow.remote_port = port;
        put(&mut flow.remote, address);
        true
    } else if flow.family == AF_PACKET && flow.sock_type != SOCK_PACKET && asked.name_len >= 8 {
        // sockaddr_ll: family, protocol, ifindex. (SOCK_PACKET takes a name, in another structure.)
        put(&mut flow.remote, socket::v4(words[1]));
        true
    } else if flow.family == AF_NETLINK && asked.name_len >= 8 {
        // sockaddr_nl: family, pad, pid.
        put(&mut flow.remote, socket::v4(words[1]));
        true
    } else {
        false
    }
}

/// Where a unix send went: what the caller named, else the name that the peer is bound to.
#[inline(always)]
pub(super) fn unix_path(sk: Ptr, asked: Asked, head: &mut Head, path: &mut DestinationPath) {
    if asked.name != 0 && asked.name_len > 2 {
        let len = (asked.name_len - 2).min(108);
        let (to, from) = (path.path.as_mut_ptr().cast(), (asked.name + 2) as *const _);
        // SAFETY: writes at most the 108 bytes of the path, or fails.
        let result = unsafe {
            if asked.in_kernel {
                bpf_probe_read_kernel(to, len, from)
            } else {
                bpf_probe_read_user(to, len, from)
            }
        };
        if result == 0 {
            path.len = len;
            head.flags &= !head_flag::NO_REMOTE;
        }
        return;
    }
    // SAFETY: reads of a static that nobody writes after loading.
    let (peer, addr, len, name) = unsafe {
        (
            core::ptr::read_volatile(&raw const crate::maps::OFFSETS.unix_peer),
            core::ptr::read_volatile(&raw const crate::maps::OFFSETS.unix_addr),
            core::ptr::read_volatile(&raw const crate::maps::OFFSETS.unix_address_len),
            core::ptr::read_volatile(&raw const crate::maps::OFFSETS.unix_address_name),
        )
    };
    if [peer, addr, len, name].contains(&tracer_common::UNRESOLVED) {
        return;
    }
    let Some(other) = probe::<u64>(sk as u64 + peer as u64) else {
        return;
    };
    if other == 0 {
        return;
    }
    let Some(address) = probe::<u64>(other + addr as u64) else {
        return;
    };
    if address == 0 {
        return;
    }
    let Some(total) = probe::<u32>(address + len as u64) else {
        return;
    };
    if total <= 2 {
        return;
    }
    let total = (total - 2).min(108);
    // SAFETY: writes at most the 108 bytes of the path, or fails.
    let result = unsafe {
        bpf_probe_read_kernel(
            path.path.as_mut_ptr().cast(),
            total,
            (address + name as u64 + 2) as *const _,
        )
    };
    if result == 0 {
        path.len = total;
    }
}
