//! The kernel side of user space: facts about the host → a plan → the loaded programs → the reader of rings.
//!
//! Only `plan` decides, and it does no I/O; only `load` and `ring` know aya.

pub mod btf;
pub mod facts;
pub mod load;
pub mod plan;
#[allow(unsafe_code)]
pub mod ring;

#[cfg(test)]
mod recorded_plans;
