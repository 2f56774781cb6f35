//! Attaches a program to a tracepoint through perf. The loader library finds tracefs only where it is mounted for
//! everybody, which it is not on every host; here it is mounted for as long as one file is read, and for nobody else.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;

use aya::programs::{ProgramError, TracePoint};
use aya::sys::SyscallError;

use crate::sys;

/// Where it is usually mounted.
const TRACEFS: &str = "/sys/kernel/tracing";

/// Attaches a loaded program for as long as the descriptor is open.
///
/// # Errors
/// When there is no such tracepoint, or the kernel refuses.
pub(super) fn attach(
    program: &TracePoint,
    category: &str,
    name: &str,
) -> Result<OwnedFd, ProgramError> {
    let error = |call| move |io_error| SyscallError { call, io_error };
    let id = tracepoint_id(category, name)?;
    let event = sys::perf_tracepoint(id).map_err(error("perf_event_open"))?;
    let program = program.fd()?.as_fd().as_raw_fd();
    sys::run_on_event(&event, program).map_err(error("PERF_EVENT_IOC_SET_BPF"))?;
    Ok(event)
}

/// The number by which perf knows a tracepoint.
fn tracepoint_id(category: &str, name: &str) -> io::Result<u64> {
    let file = Path::new("events").join(category).join(name).join("id");
    let usual = Path::new(TRACEFS);
    let text = if usual.join("events").exists() {
        fs::read_to_string(usual.join(&file))
    } else {
        let mount = sys::detached_mount(c"tracefs")?;
        let root = format!("/proc/self/fd/{}", mount.as_raw_fd());
        fs::read_to_string(Path::new(&root).join(&file))
    };
    let text = text.map_err(|error| {
        let text = format!("tracefs has no {}: {error}", file.display());
        io::Error::new(error.kind(), text)
    })?;
    text.trim().parse().map_err(io::Error::other)
}
