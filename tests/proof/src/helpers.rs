//! The helpers that the programs call (include/uapi/linux/bpf.h): what they read, write and return.

use tracer_common::TYPED_CALL;

use crate::state::Maybe;

/// How many bytes a helper takes from an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// As many as a key of the map in r1 has.
    Key,
    /// As many as its values have.
    Value,
    /// The number in this register.
    In(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A number, a map, or an address at which nothing is read without an exception entry.
    Plain,
    /// A typed pointer that the helper follows.
    Followed,
    /// Memory that the helper reads, when it is not null.
    Read(Bytes),
    /// Memory that the helper writes.
    Written(Bytes),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    Number,
    /// Null, or what the verifier makes everybody test.
    Maybe(Maybe),
    /// A typed pointer that is never null.
    Typed,
    Untrusted,
}

pub struct Helper {
    pub name: &'static str,
    pub arguments: &'static [Argument],
    pub returned: Returned,
}

use Argument::{Followed, Plain, Read, Written};

/// `None`: add it, after reading what it does with each argument.
pub fn helper(number: u32) -> Option<Helper> {
    let (name, arguments, returned): (_, &[Argument], _) = match number {
        1 => (
            "bpf_map_lookup_elem",
            &[Plain, Read(Bytes::Key)],
            Returned::Maybe(Maybe::Memory),
        ),
        2 => (
            "bpf_map_update_elem",
            &[Plain, Read(Bytes::Key), Read(Bytes::Value), Plain],
            Returned::Number,
        ),
        3 => (
            "bpf_map_delete_elem",
            &[Plain, Read(Bytes::Key)],
            Returned::Number,
        ),
        5 => ("bpf_ktime_get_ns", &[], Returned::Number),
        14 => ("bpf_get_current_pid_tgid", &[], Returned::Number),
        35 => ("bpf_get_current_task", &[], Returned::Number),
        46 => ("bpf_get_socket_cookie", &[Followed], Returned::Number),
        107 => (
            "bpf_sk_storage_get",
            &[Plain, Followed, Read(Bytes::Value), Plain],
            Returned::Maybe(Maybe::Memory),
        ),
        // Zeroes are written when the read fails.
        112 => (
            "bpf_probe_read_user",
            &[Written(Bytes::In(2)), Plain, Plain],
            Returned::Number,
        ),
        113 => (
            "bpf_probe_read_kernel",
            &[Written(Bytes::In(2)), Plain, Plain],
            Returned::Number,
        ),
        118 => ("bpf_jiffies64", &[], Returned::Number),
        125 => ("bpf_ktime_get_boot_ns", &[], Returned::Number),
        127 => (
            "bpf_seq_write",
            &[Followed, Read(Bytes::In(3)), Plain],
            Returned::Number,
        ),
        131 => (
            "bpf_ringbuf_reserve",
            &[Plain, Plain, Plain],
            Returned::Maybe(Maybe::Memory),
        ),
        132 => ("bpf_ringbuf_submit", &[Plain, Plain], Returned::Number),
        133 => ("bpf_ringbuf_discard", &[Plain, Plain], Returned::Number),
        134 => ("bpf_ringbuf_query", &[Plain, Plain], Returned::Number),
        137 => (
            "bpf_skc_to_tcp_sock",
            &[Followed],
            Returned::Maybe(Maybe::Typed),
        ),
        // There is always a current task, and it does not go away while it runs.
        158 => ("bpf_get_current_task_btf", &[], Returned::Typed),
        162 => (
            "bpf_sock_from_file",
            &[Followed],
            Returned::Maybe(Maybe::Typed),
        ),
        // A place in the task's own stack, computed without a load.
        175 => ("bpf_task_pt_regs", &[Followed], Returned::Typed),
        TYPED_CALL => ("bpf_rdonly_cast", &[Plain, Plain], Returned::Untrusted),
        _ => return None,
    };
    Some(Helper {
        name,
        arguments,
        returned,
    })
}

/// The registers that a call reads, bit per register.
pub fn registers(number: u32) -> u16 {
    let count = helper(number).map_or(5, |helper| helper.arguments.len());
    ((1 << (count + 1)) - 1) & 0x3e
}
