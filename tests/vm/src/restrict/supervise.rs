//! Starts the command under the filter and answers its questions.

use std::ffi::CString;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use libc::{SECCOMP_RET_TRACE, SECCOMP_RET_USER_NOTIF};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, execvp, read, write};

use super::attr::{self, Kind, LOAD_BYTES, Load};
use super::{Refusals, capabilities, filter, hide, trace};
use crate::sys;

/// How often the command is looked at while it asks nothing.
const TICK: Duration = Duration::from_millis(20);

/// Said by the command that waits for a tracer, and to it once it has one.
const TRACE_ME: &[u8] = b"t";
const SEIZED: &[u8] = b"s";

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
            "restrict: {:#}",
            error.unwrap_or_else(|| anyhow::anyhow!("no command"))
        );
        std::process::exit(126);
    };
    drop(its);
    let pid = Pid::from_raw(pid);
    let means = receive(&ours).context("the command's filter was not set up")?;
    let mut supervisor = Supervisor {
        refusals,
        probes,
        refused: Vec::new(),
    };
    let status = match means {
        Some(listener) => supervisor.until_end(&listener, pid)?,
        None => {
            trace::seize(pid)?;
            write(&ours, SEIZED)?;
            trace::until_end(&mut supervisor, pid)?
        }
    };
    Ok(Outcome {
        status,
        refused: supervisor.refused,
    })
}

fn become_command(refusals: &Refusals, command: &[String], to: &OwnedFd) -> Result<()> {
    hide::apply(refusals)?;
    match notifications(refusals).context("cannot install the filter")? {
        Some(listener) => {
            let fds = [listener.as_raw_fd()];
            sendmsg::<()>(
                to.as_raw_fd(),
                &[IoSlice::new(b"f")],
                &[ControlMessage::ScmRights(&fds)],
                MsgFlags::empty(),
                None,
            )?;
        }
        None => {
            write(to, TRACE_ME)?;
            let mut byte = [0; 1];
            if read(to, &mut byte)? != 1 {
                bail!("nobody traces this process");
            }
            sys::install_traced_filter(&filter::program(SECCOMP_RET_TRACE))
                .context("cannot install the filter")?;
        }
    }
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

/// The descriptor where the filter's questions arrive; `None` where seccomp has no such thing, or none is wanted.
fn notifications(refusals: &Refusals) -> nix::Result<Option<OwnedFd>> {
    if refusals.traced {
        return Ok(None);
    }
    match sys::install_filter(&filter::program(SECCOMP_RET_USER_NOTIF)) {
        Ok(listener) => Ok(Some(listener)),
        Err(Errno::EINVAL) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the filter's questions arrive at; `None`: the command is to be traced.
fn receive(from: &OwnedFd) -> Result<Option<OwnedFd>> {
    let mut byte = [0; 1];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!(RawFd);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(from.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control
            && let [fd] = fds[..]
        {
            return Ok(Some(sys::adopt(fd)));
        }
    }
    match message.bytes {
        0 => bail!("the command ended before it began"),
        _ => Ok(None),
    }
}

/// A system call that somebody wants to make.
pub(super) struct Question {
    pub pid: Pid,
    pub call: i64,
    pub arguments: [u64; 3],
}

pub(super) struct Supervisor<'a> {
    refusals: &'a Refusals,
    /// Event types that stand for kprobes and uprobes, if those are refused.
    probes: Vec<u32>,
    refused: Vec<Load>,
}

impl Supervisor<'_> {
    fn until_end(&mut self, listener: &OwnedFd, pid: Pid) -> Result<i32> {
        let tick = PollTimeout::try_from(TICK)?;
        loop {
            let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, tick) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            if fds[0]
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLIN))
            {
                self.answer(listener)?;
                continue;
            }
            match waitpid(pid, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::Exited(_, code) => return Ok(code),
                WaitStatus::Signaled(_, signal, _) => return Ok(128 + signal as i32),
                _ => {}
            }
        }
    }

    fn answer(&mut self, listener: &OwnedFd) -> Result<()> {
        let question = match sys::receive(listener) {
            Ok(question) => question,
            // It was killed, or interrupted and will ask again.
            Err(Errno::ENOENT | Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error).context("cannot receive a question"),
        };
        let [first, second, third, ..] = question.data.args;
        let refuse = self.refuses(&Question {
            pid: Pid::from_raw(question.pid as i32),
            call: i64::from(question.data.nr),
            arguments: [first, second, third],
        });
        match sys::answer(listener, question.id, refuse) {
            // As above.
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error).context("cannot answer"),
        }
    }

    pub(super) fn refuses(&mut self, question: &Question) -> bool {
        let Question {
            pid,
            call,
            arguments,
        } = *question;
        match call {
            libc::SYS_bpf if attr::is_load(arguments[0]) => {
                let length = (arguments[2] as usize).min(LOAD_BYTES);
                // The kernel answers EFAULT itself when it cannot read them.
                let Some(bytes) = peek(pid, arguments[1], length) else {
                    return false;
                };
                let load = attr::load(&bytes);
                let refuse = self.refusals.refuses_load(&load);
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
