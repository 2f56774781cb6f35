//! The parts of `sendtrace selftest`: a stage (a network namespace, two processes, faults on command), a play of
//! faults, and the tracer under test, whose lines are compared with what was provoked.
//!
//! `order` → `actor` is the way to the processes; `play` makes the faults and says what must come of each
//! (`expect`, pure); `subject` is this program as a user starts it.

pub mod actor;
pub mod cgroup;
pub mod check;
pub mod closing;
pub mod crew;
pub mod expect;
pub mod netlink;
pub mod order;
pub mod play;
pub mod promise;
pub mod report;
pub mod stage;
pub mod subject;
