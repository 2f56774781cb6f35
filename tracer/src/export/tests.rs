//! What other tools read, read back.
