//! The arguments of the process that runs the command of `record --exec`.

use std::ffi::OsString;

use clap::Args;

/// `sendtrace exec-helper`: started by `record`, of no use to anybody else.
#[derive(Args, Clone, Debug)]
pub struct ExecHelper {
    /// The user to become
    #[arg(long)]
    pub uid: u32,
    /// Their group
    #[arg(long)]
    pub gid: u32,
    /// Take their other groups too, instead of those that this process has
    #[arg(long)]
    pub look_up_groups: bool,
    /// What the shell is to run
    #[arg(long)]
    pub command: OsString,
}
