//! Kernel fields that the programs load, and the slots for their offsets.
//!
//! This list is the only place that names a kernel field. User space resolves each line in the running
//! kernel's BTF and freezes [`Offsets`] into `.rodata`; the programs then load from typed pointers directly,
//! and the verifier refuses a wrong offset.

use crate::wire;

/// The field does not exist on this kernel: the program skips the load, user space prints `null`.
pub const UNRESOLVED: u32 = u32::MAX;

/// A line of the list: where user space finds the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Member of [`Offsets`].
    pub name: &'static str,
    /// Kernel type, without `struct`.
    pub container: &'static str,
    /// Alternatives, first found wins; each a path of members joined by dots, anonymous ones left out. The last
    /// may be an element of an array of 64-bit words, `regs[2]`.
    pub paths: &'static [&'static str],
    pub form: Form,
}

/// How the programs read a field, and so what it may be in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As a whole: no bit-field.
    Plain,
    /// As a whole and so many bits wide: also a bit-field that is a number of its own in memory. Where kernels
    /// differ in the width, each width is a field.
    Wide(u32),
    /// Some bits of a byte, or the byte.
    Bits,
}

impl Form {
    /// Whether a load of so many bytes may read it.
    pub const fn is_loaded_by(self, bytes: usize) -> bool {
        match self {
            Self::Plain => true,
            Self::Wide(bits) => bits as usize == bytes * 8,
            Self::Bits => false,
        }
    }

    /// Whether it is read bit by bit.
    pub const fn is_bits(self) -> bool {
        matches!(self, Self::Bits)
    }
}

macro_rules! form {
    () => {
        Form::Plain
    };
    (bits) => {
        Form::Bits
    };
    ($bits:literal) => {
        Form::Wide($bits)
    };
}

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $container:literal, $($path:literal)|+ $(, $form:tt)?;)+) => {
        /// Offset of each field in bytes, or [`UNRESOLVED`]. A bit-field of [`Form::Bits`] is
        /// `byte | shift << 16 | width << 24`; for all others the upper half is 0.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets { $($(#[$doc])* pub $name: u32,)+ }

        /// Every field, in the order of [`Offsets`].
        pub const FIELDS: &[Field] = &[$(Field {
            name: stringify!($name), container: $container, paths: &[$($path),+], form: form::$name,
        },)+];

        /// The [`Form`] of each field, so that the compiler refuses a program that reads it in another one.
        #[allow(non_upper_case_globals)]
        pub mod form {
            use super::Form;
            $(pub const $name: Form = form!($($form)?);)+
        }

        /// How many fields there are.
        pub const OFFSET_COUNT: usize = FIELDS.len();

        impl Offsets {
            /// Builds the slots from offsets in the order of [`FIELDS`].
            pub const fn from_array(values: [u32; OFFSET_COUNT]) -> Self {
                let mut index = 0;
                $(let $name = values[index]; index += 1;)+
                let _ = index;
                Self { $($name,)+ }
            }
        }
    };
}

offsets! {
    // struct sock
    sk_family: "sock", "__sk_common.skc_family";
    sk_state: "sock", "__sk_common.skc_state";
    sk_num: "sock", "__sk_common.skc_num";
    sk_dport: "sock", "__sk_common.skc_dport";
    sk_rcv_saddr: "sock", "__sk_common.skc_rcv_saddr";
    sk_daddr: "sock", "__sk_common.skc_daddr";
    sk_v6_rcv_saddr: "sock", "__sk_common.skc_v6_rcv_saddr";
    sk_v6_daddr: "sock", "__sk_common.skc_v6_daddr";
    sk_net: "sock", "__sk_common.skc_net.net";
    sk_cookie: "sock", "__sk_common.skc_cookie.counter";
    sk_type: "sock", "sk_type", 16;
    sk_protocol: "sock", "sk_protocol", 16;
    /// Before 5.6 a byte, with the type beside it.
    sk_protocol_byte: "sock", "sk_protocol", 8;
    sk_socket: "sock", "sk_socket";
    sk_err: "sock", "sk_err";
    sk_err_soft: "sock", "sk_err_soft";
    sk_write_pending: "sock", "sk_write_pending";
    sk_ack_backlog: "sock", "sk_ack_backlog";
    sk_max_ack_backlog: "sock", "sk_max_ack_backlog";
    sk_rcvbuf: "sock", "sk_rcvbuf";
    sk_rmem_alloc: "sock", "sk_backlog.rmem_alloc.counter";
    sk_wmem_alloc: "sock", "sk_wmem_alloc.refs.counter";
    sk_receive_qlen: "sock", "sk_receive_queue.qlen";
    /// Null while the timer is not pending.
    sk_timer_pprev: "sock", "sk_timer.entry.pprev";
    sk_sndbuf: "sock", "sk_sndbuf";
    sk_wmem_queued: "sock", "sk_wmem_queued";
    sk_kern_sock: "sock", "sk_kern_sock", bits;
    sk_prot: "sock", "__sk_common.skc_prot";
    sk_dst_cache: "sock", "sk_dst_cache";
    /// Up to 6.4.
    proto_sendpage: "proto", "sendpage";
    net_inum: "net", "ns.inum";
    socket_file: "socket", "file";
    socket_sk: "socket", "sk";
    file_inode: "file", "f_inode";
    file_private: "file", "private_data";
    /// `f_ref` since 6.13, `f_count` before.
    file_refs: "file", "f_ref.refcnt.counter" | "f_count.counter";
    inode_ino: "inode", "i_ino";
    inode_sb: "inode", "i_sb";
    sb_magic: "super_block", "s_magic";

    // struct tcp_sock
    tcp_ca_state: "tcp_sock", "inet_conn.icsk_ca_state", bits;
    tcp_pending: "tcp_sock", "inet_conn.icsk_pending", bits;
    tcp_retransmits: "tcp_sock", "inet_conn.icsk_retransmits", bits;
    tcp_backoff: "tcp_sock", "inet_conn.icsk_backoff", bits;
    tcp_rto: "tcp_sock", "inet_conn.icsk_rto";
    tcp_pmtu: "tcp_sock", "inet_conn.icsk_pmtu_cookie";
    tcp_write_seq: "tcp_sock", "write_seq";
    tcp_snd_una: "tcp_sock", "snd_una";
    tcp_cwnd: "tcp_sock", "snd_cwnd";
    tcp_ssthresh: "tcp_sock", "snd_ssthresh";
    tcp_srtt: "tcp_sock", "srtt_us";
    tcp_mss: "tcp_sock", "mss_cache";
    tcp_snd_wnd: "tcp_sock", "snd_wnd";
    tcp_packets_out: "tcp_sock", "packets_out";
    tcp_lost_out: "tcp_sock", "lost_out";
    tcp_lsndtime: "tcp_sock", "lsndtime";
    tcp_rcv_tstamp: "tcp_sock", "rcv_tstamp";
    /// Stays when a closed socket gives its port back (`inet_num` becomes 0).
    tcp_sport: "tcp_sock", "inet_conn.icsk_inet.inet_sport";
    tcp_undo_marker: "tcp_sock", "undo_marker";
    /// What a recovery that turns out to be needless goes back to; 0: the Loss state was not a time-out's.
    tcp_prior_ssthresh: "tcp_sock", "prior_ssthresh";
    tcp_snd_nxt: "tcp_sock", "snd_nxt";
    tcp_rcv_nxt: "tcp_sock", "rcv_nxt";
    tcp_copied_seq: "tcp_sock", "copied_seq";
    tcp_segs_out: "tcp_sock", "segs_out";
    tcp_bytes_sent: "tcp_sock", "bytes_sent";
    tcp_bytes_acked: "tcp_sock", "bytes_acked";
    tcp_total_retrans: "tcp_sock", "total_retrans";
    tcp_reordering: "tcp_sock", "reordering";
    tcp_delivered: "tcp_sock", "delivered";
    tcp_dsack_dups: "tcp_sock", "dsack_dups";
    /// Probes of a closed window, or of keepalive, without an answer.
    tcp_probes_out: "tcp_sock", "inet_conn.icsk_probes_out", bits;
    tcp_retrans_stamp: "tcp_sock", "retrans_stamp";
    /// Time stamps are in microseconds, not milliseconds (since 6.7).
    tcp_usec_ts: "tcp_sock", "tcp_usec_ts", bits;
    tcp_chrono_start: "tcp_sock", "chrono_start";
    tcp_chrono_stat: "tcp_sock", "chrono_stat";
    tcp_chrono_type: "tcp_sock", "chrono_type", bits;
    tcp_ca_ops: "tcp_sock", "inet_conn.icsk_ca_ops";
    ca_name: "tcp_congestion_ops", "name";
    /// MTU of the last ICMP message that a packet was too big, 0: there was none.
    tcp_mtu_info: "tcp_sock", "mtu_info";

    /// The data of a send that opens the connection.
    tcp_fastopen_req: "tcp_sock", "fastopen_req";
    tcp_is_mptcp: "tcp_sock", "is_mptcp", bits;
    tcp_ulp_data: "tcp_sock", "inet_conn.icsk_ulp_data";
    /// The MPTCP socket of a subflow.
    subflow_conn: "mptcp_subflow_context", "conn";

    // request sockets (SYN-ACK)
    req_num_retrans: "request_sock", "num_retrans", bits;
    /// Null while the timer's handler runs, and before it is armed.
    req_timer_pprev: "request_sock", "rsk_timer.entry.pprev";
    req_family: "request_sock", "__req_common.skc_family";
    req_num: "request_sock", "__req_common.skc_num";
    req_dport: "request_sock", "__req_common.skc_dport";
    req_rcv_saddr: "request_sock", "__req_common.skc_rcv_saddr";
    req_daddr: "request_sock", "__req_common.skc_daddr";
    req_v6_rcv_saddr: "request_sock", "__req_common.skc_v6_rcv_saddr";
    req_v6_daddr: "request_sock", "__req_common.skc_v6_daddr";

    // struct sk_buff
    skb_sk: "sk_buff", "sk";
    skb_dev: "sk_buff", "dev";
    skb_len: "sk_buff", "len";
    skb_iif: "sk_buff", "skb_iif";
    skb_head: "sk_buff", "head";
    skb_cb: "sk_buff", "cb";
    skb_protocol: "sk_buff", "protocol";
    skb_network_header: "sk_buff", "network_header";
    skb_transport_header: "sk_buff", "transport_header";
    /// Offset inside `skb->cb`.
    tcp_skb_cb_gso_segs: "tcp_skb_cb", "tcp_gso_segs";
    dev_ifindex: "net_device", "ifindex";
    dev_name: "net_device", "name";
    dev_net: "net_device", "nd_net.net";
    dev_features: "net_device", "features";
    dst_dev: "dst_entry", "dev";

    // struct task_struct
    task_tgid: "task_struct", "tgid";
    task_pid: "task_struct", "pid";
    task_flags: "task_struct", "flags";
    task_stack: "task_struct", "stack";
    task_leader: "task_struct", "group_leader";
    task_start: "task_struct", "start_boottime" | "real_start_time";
    task_comm: "task_struct", "comm";
    task_cred: "task_struct", "cred";
    task_files: "task_struct", "files";
    task_cgroups: "task_struct", "cgroups";
    cred_uid: "cred", "uid.val";
    css_set_dfl_cgrp: "css_set", "dfl_cgrp";
    cgroup_kn: "cgroup", "kn";
    cgroup_level: "cgroup", "level";
    /// Array with an entry per level: pointers, or before 6.1 ids.
    cgroup_ancestors: "cgroup", "ancestors" | "ancestor_ids";
    kernfs_id: "kernfs_node", "id";
    files_fdt: "files_struct", "fdt";
    fdt_max_fds: "fdtable", "max_fds";
    fdt_fd: "fdtable", "fd";

    // struct pt_regs: the system call that the failing send came from (x86-64 | arm64)
    regs_number: "pt_regs", "orig_ax" | "syscallno";
    /// What tells that the call still runs, see [`crate::SystemCalls`].
    regs_running: "pt_regs", "ax" | "orig_x0";
    /// User or kernel mode, 32 or 64 bits.
    regs_mode: "pt_regs", "cs" | "csx" | "pstate";
    regs_arg0: "pt_regs", "di" | "regs[0]";
    regs_arg1: "pt_regs", "si" | "regs[1]";
    regs_arg2: "pt_regs", "dx" | "regs[2]";
    regs_arg4: "pt_regs", "r8" | "regs[4]";
    regs_arg5: "pt_regs", "r9" | "regs[5]";

    // struct msghdr
    msghdr_name: "msghdr", "msg_name";
    msghdr_namelen: "msghdr", "msg_namelen";

    // other families
    netlink_portid: "netlink_sock", "portid";
    netlink_dst_portid: "netlink_sock", "dst_portid";
    unix_peer: "unix_sock", "peer";
    unix_addr: "unix_sock", "addr";
    unix_address_len: "unix_address", "len";
    unix_address_name: "unix_address", "name";
}

wire!(Offsets = 4 * OFFSET_COUNT);
