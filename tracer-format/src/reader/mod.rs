//! Reading a trace: [`scan`] finds whole blocks in bytes, [`chain`] checks that they follow each other and says
//! what is missing, [`segment`] finds a time in a file, [`recording`] makes one stream of files and folders.

pub mod chain;
pub mod recording;
pub mod scan;
pub mod segment;

pub use chain::{Chain, Notice, ReadItem};
pub use recording::Recording;

#[cfg(test)]
mod tests;
