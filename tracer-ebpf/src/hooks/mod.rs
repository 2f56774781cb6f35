//! One signal per file; `open_sockets`, `fork` and `accept` serve the owner.

mod accept;
mod connection;
mod drop;
mod fork;
mod open_sockets;
mod reset;
mod retransmit;
mod send;
mod xmit;
