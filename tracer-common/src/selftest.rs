//! What both sides of the self-test agree on.

/// `errno` that the refused sends get: the one that this tool was born from.
pub const ECOMM: i32 = 70;

/// TCP ports of the test whose segments can be lost: one per connection.
pub const FIRST_PORT: u16 = 9000;
/// How many there are.
pub const PORTS: u32 = 64;
/// Sends towards this port fail with [`ECOMM`].
pub const REFUSED_PORT: u16 = 9100;
/// Sends towards this port fail with EPERM.
pub const DENIED_PORT: u16 = 9101;
/// Datagrams towards this port are dropped after the send.
pub const EGRESS_PORT: u16 = 9102;

/// Payload of the datagrams that are too large for the other end of the wire.
pub const OVERSIZED_PAYLOAD: u32 = 1357;
/// Their frames: with headers of UDP, IPv4 or IPv6, and Ethernet.
pub const OVERSIZED_BYTES: [u32; 2] = [
    OVERSIZED_PAYLOAD + 8 + 20 + 14,
    OVERSIZED_PAYLOAD + 8 + 40 + 14,
];

/// Kinds of TCP segments, one bit each.
pub mod segment {
    /// SYN without ACK.
    pub const SYN: u32 = 1;
    /// SYN with ACK.
    pub const SYN_ACK: u32 = 2;
    /// With payload.
    pub const DATA: u32 = 4;
    /// Neither payload nor SYN, FIN or RST.
    pub const ACK: u32 = 8;
}

/// Places of the counters.
pub mod counter {
    /// Sends that failed with [`super::ECOMM`].
    pub const REFUSED: u32 = 0;
    /// Sends that failed with EPERM.
    pub const DENIED: u32 = 1;
    /// Datagrams dropped after the send.
    pub const DROPPED_SENT: u32 = 2;
    /// Frames of [`super::OVERSIZED_BYTES`] that a driver took.
    pub const XMIT_TAKEN: u32 = 3;
    /// Frames of [`super::OVERSIZED_BYTES`] that a driver did not take.
    pub const XMIT_REFUSED: u32 = 4;
    /// Switches from a task of process 1 to another one.
    pub const SWITCHES_OF_PROCESS_1: u32 = 5;
    /// How many there are.
    pub const COUNT: u32 = 6;
}
