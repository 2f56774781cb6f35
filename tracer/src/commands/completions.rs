//! `sendtrace completions`: words for a shell, and manual pages.

use std::io::{self, Write as _};

use anyhow::Context as _;

use super::Failure;
use crate::cli::{Completions as Args, write_manual};

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    if let Some(folder) = &args.man {
        write_manual(folder).with_context(|| {
            format!(
                "{}: manual pages need a folder that can be written to",
                folder.display()
            )
        })?;
    }
    match io::stdout()
        .lock()
        .write_all(&args.script().unwrap_or_default())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
