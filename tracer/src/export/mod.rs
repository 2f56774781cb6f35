//! What a trace becomes for other tools: columns ([`parquet`], [`csv`]) and packets ([`pcapng`]).
//!
//! Pure but for the writer that they are given. `docs/export.md` has the schema.

pub mod csv;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod pcapng;
pub mod row;

#[cfg(test)]
mod tests;

pub use row::Source;
