//! Answers the filter's questions as a tracer (ptrace(2)), for kernels whose seccomp has no notifications: before
//! 5.0, and RHEL 8. Slower, and only one may do it: a debugger of the command would find its place taken.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

#[cfg(target_arch = "x86_64")]
use super::supervise::Question;
use super::supervise::Supervisor;

/// What an event of fork(2), clone(2) or exec(2), or the first stop of a new thread, asks is nothing.
const SECCOMP: i32 = libc::PTRACE_EVENT_SECCOMP;

/// Takes the place of the command's tracer, and of what it will start. It may run meanwhile.
pub fn seize(pid: Pid) -> Result<()> {
    let options = ptrace::Options::PTRACE_O_TRACESECCOMP
        | ptrace::Options::PTRACE_O_TRACECLONE
        | ptrace::Options::PTRACE_O_TRACEFORK
        | ptrace::Options::PTRACE_O_TRACEVFORK
        | ptrace::Options::PTRACE_O_TRACEEXEC;
    ptrace::seize(pid, options).context("cannot trace the command")
}

/// Answers until the command ends; gives how, as a shell would say it.
pub fn until_end(supervisor: &mut Supervisor<'_>, command: Pid) -> Result<i32> {
    loop {
        let status = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(status) => status,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let (pid, signal) = match status {
            WaitStatus::Exited(pid, code) if pid == command => return Ok(code),
            WaitStatus::Signaled(pid, signal, _) if pid == command => {
                return Ok(128 + signal as i32);
            }
            WaitStatus::PtraceEvent(pid, _, SECCOMP) => {
                gone_or(answer(supervisor, pid))?;
                (pid, None)
            }
            WaitStatus::PtraceEvent(pid, ..) => (pid, None),
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            _ => continue,
        };
        gone_or(ptrace::cont(pid, signal))?;
    }
}

/// It may have been killed at any time.
fn gone_or(result: nix::Result<()>) -> Result<()> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).context("cannot answer"),
    }
}

/// A call without a number is not made, and gives what already stands in the register of its result.
#[cfg(target_arch = "x86_64")]
fn answer(supervisor: &mut Supervisor<'_>, pid: Pid) -> nix::Result<()> {
    let mut registers = ptrace::getregs(pid)?;
    let question = Question {
        pid,
        call: registers.orig_rax as i64,
        arguments: [registers.rdi, registers.rsi, registers.rdx],
    };
    if supervisor.refuses(&question) {
        registers.orig_rax = u64::MAX;
        registers.rax = (-i64::from(libc::EPERM)) as u64;
        ptrace::setregs(pid, registers)?;
    }
    Ok(())
}

/// Elsewhere no kernel is that old.
#[cfg(not(target_arch = "x86_64"))]
fn answer(_: &mut Supervisor<'_>, _: Pid) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}
