//! One event kind per file; `open_sockets`, `fork`, `accept` and `socket_end` serve the owner, and
//! `walk_sockets` is no hook but a walk.

mod accept;
mod connect;
mod connect_call;
mod connection;
mod drop;
mod fork;
mod open_sockets;
mod reset;
mod retransmit;
mod send;
mod socket_end;
mod waits;
mod walk_sockets;
mod xmit;
