//! The manifest that goes in and the frames that come out: one JSON object per line.
//!
//! Only `guest` writes frames, to a line of its own: what the kernel prints on its console cannot break one.

use serde::{Deserialize, Serialize};

/// Where the manifest lies in the initramfs.
pub const MANIFEST: &str = "/manifest.json";
/// The line on which the frames leave: the second serial port; the first is the kernel's console.
#[cfg(not(target_arch = "aarch64"))]
pub const RESULTS: &str = "/dev/ttyS1";
/// The console is no line of this kind there.
#[cfg(target_arch = "aarch64")]
pub const RESULTS: &str = "/dev/ttyS0";

/// What a machine is to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Files of kernel modules, in the order in which they are loaded.
    pub modules: Vec<String>,
    /// For every step.
    pub environment: Vec<(String, String)>,
    pub steps: Vec<Step>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the manifest.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// After this the whole process group is killed.
    pub timeout_s: u64,
}

/// Where a step wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What a machine reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum Frame {
    /// The first: from here on everything that goes wrong is ours.
    Started { release: String },
    /// A mount, module or other preparation did not work.
    Trouble { text: String },
    /// A step begins.
    Begin { step: String },
    /// A line that a step wrote.
    Line {
        step: String,
        stream: Stream,
        text: String,
    },
    /// So many tracepoints fired during a step while this host may keep BPF programs from running: see
    /// [`trace_instance`].
    Withheld { step: String, firings: u64 },
    /// A step is over. Neither code nor signal: it could not be started, or was killed at its time limit.
    End {
        step: String,
        code: Option<i32>,
        signal: Option<i32>,
        timed_out: bool,
        milliseconds: u64,
    },
    /// A message of the kernel since `Started`; `level` as in syslog, 4 is a warning.
    Kernel {
        step: Option<String>,
        level: u8,
        text: String,
    },
    /// The last: without it the machine has died.
    Done,
}
