//! Real faults on the real kernel: network namespaces, processes that send in them, and `sendtrace`
//! watching both. The tests in `tests/` assert the output contract: whom a line names, to whom that process
//! was sending, why it failed, and that the totals add up.
//!
//! Nothing here sleeps and hopes: a process is asked and answers, the tracer is waited for by event, and
//! every wait has a deadline that prints what was there instead.

mod bpf;
mod btf;
mod check;
mod counters;
pub mod faults;
pub mod generated;
mod identity;
pub mod paths;
mod peer;
mod program;
pub mod recording;
mod relay;
mod report;
mod require;
mod run;
pub mod sys;
mod tracer;
mod workload;
mod world;

pub use bpf::{Cgroup, Refusal, drop_of_cgroup, drop_on_interface, kernel_ids, refuse_datagrams};
pub use check::{assert_flow, assert_owner, assert_retransmit_tcp, number, text};
pub use counters::Counters;
pub use identity::{Identity, boot_ns_of_wall};
pub use peer::{Peer, Reply};
pub use program::{run_sendtrace, sendtrace, sendtrace_path, wait_exit};
pub use relay::Relay;
pub use report::{Outcome, check_line};
pub use require::{own_machine, requires, requires_walks, skip};
pub use run::{Run, Tally};
pub use trace_instance::TraceInstance;
pub use tracer::{Ready, Tracer};
pub use workload::Connection;
pub use world::{Host, World};

/// How long a test waits for something that should happen at once; an emulated processor is 20 times slower.
pub const SOON: std::time::Duration = std::time::Duration::from_secs(30);
