//! The parts of `sendtrace selftest`: a sandbox (a network namespace, two processes, faults on command), a runner of
//! faults, and the tracer under test, whose lines are compared with what was provoked.
//!
//! `request` → `actor` is the way to the processes; `play` makes the faults and says what must come of each
//! (`expect`, pure); `subject` is this program as a user starts it.

pub mod actor;
pub mod cgroup;
pub mod check;
pub mod child_handle;
pub mod closing;
pub mod expect;
pub mod expected_hooks;
pub mod fault_runner;
pub mod netlink;
pub mod protocol;
pub mod report;
pub mod sandbox;
pub mod tracer_process;
pub mod witness;
