//! Numbers of the event kinds that can be asked for (`lost` cannot); they index the counters.

/// `tcp_retransmit_skb`, `tcp_retransmit_synack`.
pub const RETRANSMIT: u32 = 0;
/// A send that returned an error (`sock_send_length`).
pub const SEND_ERROR: u32 = 1;
/// A packet freed before it was delivered (`kfree_skb`).
pub const DROP: u32 = 2;
/// A driver that did not take a packet (`net_dev_xmit`), or timed out.
pub const DEVICE: u32 = 3;
/// A TCP RST, sent or received.
pub const RESET: u32 = 4;
/// A connection that failed or died (`inet_sock_set_state`).
pub const CONNECTION: u32 = 5;
/// A send that returned without an error.
pub const SEND: u32 = 6;
/// A send that returned without an error, but was blocked for long.
pub const BLOCKED: u32 = 7;
/// A socket that waits although nothing failed; made by user space of what a walk over all sockets finds.
pub const WAITING: u32 = 8;
/// How many there are.
pub const COUNT: usize = 9;

/// Bits of all that tell of a failure: what is traced when nothing is asked for.
pub const FAILURES: u64 = ((1 << COUNT) - 1) & !(1 << SEND);
