//! The writer against disks that fail, fill up and vanish.

mod faults;
mod files;
mod full;
pub mod kit;
pub mod memory;
mod mounted;
mod rotation;
