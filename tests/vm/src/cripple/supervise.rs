//! Starts the command under the filter and answers its questions.

use std::ffi::CString;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, execvp};

use super::attr::{self, Kind, LOAD_BYTES, Load};
use super::{Refusals, capabilities, filter, hide};
use crate::sys;

/// How often the command is looked at while it asks nothing.
const TICK: Duration = Duration::from_millis(20);

/// How the command ended, and what it was refused.
pub struct Outcome {
    /// As a shell would say it: 128 and the signal for one that was killed.
    pub status: i32,
    /// In the order of the first refusal, each once.
    pub refused: Vec<Load>,
}

/// Runs a command to its end. This process must have one thread.
///
/// # Errors
/// When the filter or the mounts cannot be set up: that needs root.
pub fn run(refusals: &Refusals, command: &[String]) -> Result<Outcome> {
    // Before anything is hidden.
    let probes = match refusals.refuses(Kind::Kprobe) {
        true => hide::probe_sources(),
        false => Vec::new(),
    };
    let (ours, its) = socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    let Some(pid) = sys::fork()? else {
        drop(ours);
        let error = become_command(refusals, command, &its).err();
        eprintln!(
            "cripple: {:#}",
            error.unwrap_or_else(|| anyhow::anyhow!("no command"))
        );
        std::process::exit(126);
    };
    drop(its);
    let listener = receive(&ours).context("the command's filter was not set up")?;
    let mut supervisor = Supervisor {
        refusals,
        probes,
        listener,
        refused: Vec::new(),
    };
    let status = supervisor.until_end(Pid::from_raw(pid))?;
    Ok(Outcome {
        status,
        refused: supervisor.refused,
    })
}

fn become_command(refusals: &Refusals, command: &[String], to: &OwnedFd) -> Result<()> {
    hide::apply(refusals)?;
    let listener = sys::install_filter(&filter::program()).context("cannot install the filter")?;
    let fds = [listener.as_raw_fd()];
    sendmsg::<()>(
        to.as_raw_fd(),
        &[IoSlice::new(b"f")],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    )?;
    drop(listener);
    // Last: the filter itself needs CAP_SYS_ADMIN.
    if refusals.few_capabilities {
        capabilities::keep_few()?;
    }
    let words: Vec<CString> = command
        .iter()
        .map(|word| CString::new(word.as_str()))
        .collect::<Result<_, _>>()?;
    let program = words.first().context("no command")?;
    execvp(program, &words).with_context(|| format!("cannot start {}", command[0]))?;
    Ok(())
}

fn receive(from: &OwnedFd) -> Result<OwnedFd> {
    let mut byte = [0; 1];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!(RawFd);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(from.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control
            && let [fd] = fds[..]
        {
            return Ok(sys::adopt(fd));
        }
    }
    bail!("the command ended before it began")
}

struct Supervisor<'a> {
    refusals: &'a Refusals,
    /// Event types that stand for kprobes and uprobes, if those are refused.
    probes: Vec<u32>,
    listener: OwnedFd,
    refused: Vec<Load>,
}

impl Supervisor<'_> {
    fn until_end(&mut self, pid: Pid) -> Result<i32> {
        let tick = PollTimeout::try_from(TICK)?;
        loop {
            let mut fds = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, tick) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            if fds[0]
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLIN))
            {
                self.answer()?;
                continue;
            }
            match waitpid(pid, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::Exited(_, code) => return Ok(code),
                WaitStatus::Signaled(_, signal, _) => return Ok(128 + signal as i32),
                _ => {}
            }
        }
    }

    fn answer(&mut self) -> Result<()> {
        let question = match sys::receive(&self.listener) {
            Ok(question) => question,
            // It was killed, or interrupted and will ask again.
            Err(Errno::ENOENT | Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error).context("cannot receive a question"),
        };
        let refuse = self.refuses(&question);
        match sys::answer(&self.listener, question.id, refuse) {
            // As above.
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error).context("cannot answer"),
        }
    }

    fn refuses(&mut self, question: &libc::seccomp_notif) -> bool {
        let arguments = question.data.args;
        let pid = Pid::from_raw(question.pid as i32);
        match i64::from(question.data.nr) {
            libc::SYS_bpf if attr::is_load(arguments[0]) => {
                let length = (arguments[2] as usize).min(LOAD_BYTES);
                // The kernel answers EFAULT itself when it cannot read them.
                let Some(bytes) = peek(pid, arguments[1], length) else {
                    return false;
                };
                let load = attr::load(&bytes);
                let refuse = self.refusals.refuses(load.kind);
                if refuse && !self.refused.contains(&load) {
                    self.refused.push(load);
                }
                refuse
            }
            libc::SYS_perf_event_open => {
                let kind = peek(pid, arguments[0], 4).and_then(|bytes| attr::perf_type(&bytes));
                kind.is_some_and(|kind| self.probes.contains(&kind))
            }
            _ => false,
        }
    }
}

/// Reads memory of another process.
fn peek(pid: Pid, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let remote = [RemoteIoVec {
        base: address as usize,
        len: length,
    }];
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &remote).ok()?;
    (read == length).then_some(bytes)
}
