//! The programs under test and beside it: where they are, and how they are started and waited for.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Waits for a child's end; `None` when it still runs at the deadline.
pub fn wait_exit(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            return Some(status);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A command for the program under test.
pub fn sendtrace() -> Command {
    Command::new(sendtrace_path())
}

/// Runs the program to its end: for usage errors and `doctor`.
pub fn run_sendtrace(arguments: &[&str]) -> Output {
    sendtrace()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// Where the program is: `SENDTRACE_BIN`, or beside the tests in the target directory.
pub fn sendtrace_path() -> PathBuf {
    if let Some(path) = std::env::var_os("SENDTRACE_BIN") {
        return path.into();
    }
    let dir = build_dir();
    let target = dir.parent().expect("a target directory");
    let found = [dir.clone(), target.join("debug"), target.join("release")]
        .into_iter()
        .map(|dir| dir.join("sendtrace"))
        .find(|path| path.exists());
    found.unwrap_or_else(|| {
        panic!(
            "no sendtrace in {}: build it with cargo xtask build",
            dir.display()
        )
    })
}

/// `target/debug` or its like: where cargo puts the programs that belong to these tests.
pub(crate) fn build_dir() -> PathBuf {
    let mut dir = std::env::current_exe().expect("own path");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    dir
}
