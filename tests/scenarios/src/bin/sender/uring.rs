//! Sends through io_uring.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Result, bail};
use io_uring::types::Fd;
use io_uring::{IoUring, Probe, opcode, squeue};
use scenarios::paths::{By, SendReport};

use crate::sockets::V4;
use crate::{Job, sockets, sys};

/// Runs one operation; its thread is the kernel's choice.
pub fn run(operation: &str, job: Job) -> Result<SendReport> {
    let code = match operation {
        "send" | "send, async" => opcode::Send::CODE,
        "sendmsg" => opcode::SendMsg::CODE,
        "write" => opcode::Write::CODE,
        "writev" => opcode::Writev::CODE,
        "splice" => opcode::Splice::CODE,
        "send_zc" => opcode::SendZc::CODE,
        "sendmsg_zc" => opcode::SendMsgZc::CODE,
        _ => bail!("unknown operation {operation:?}"),
    };
    let mut ring = match IoUring::new(8) {
        Ok(ring) => ring,
        Err(error) => return Ok(SendReport::unsupported(format!("io_uring_setup: {error}"))),
    };
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    if !probe.is_supported(code) {
        return Ok(SendReport::unsupported(format!(
            "io_uring of this kernel has no operation {code} ({operation})"
        )));
    }
    let pair = sockets::tcp(V4)?;
    let (from, into) = nix::unistd::pipe()?;
    let mut failed = None;
    let calls = job.each(|data| {
        if operation == "splice" {
            let filled = sys::write(&into, data);
            assert_eq!(filled, data.len() as i64, "a pipe takes a page");
        }
        one(operation, &mut ring, &pair.socket, &from, data).unwrap_or_else(|error| {
            failed = Some(error);
            0
        })
    });
    if let Some(error) = failed {
        bail!("io_uring {operation}: {error}");
    }
    let mut report = SendReport::of(pair.flow(), calls);
    report.sends[0].by = By::AnyThread;
    Ok(report)
}

/// One operation, from its submission to its last completion: until then `data` is kept.
fn one(
    operation: &str,
    ring: &mut IoUring,
    socket: &OwnedFd,
    pipe: &OwnedFd,
    data: &[u8],
) -> std::io::Result<i64> {
    let fd = Fd(socket.as_raw_fd());
    let (start, len) = (data.as_ptr(), data.len() as u32);
    let (head, tail) = data.split_at(data.len() / 2);
    let parts = [head, tail].map(|part| libc::iovec {
        iov_base: part.as_ptr().cast_mut().cast(),
        iov_len: part.len(),
    });
    let message = sys::message(&parts, None);
    let entry = match operation {
        "send" => opcode::Send::new(fd, start, len).build(),
        "send, async" => opcode::Send::new(fd, start, len)
            .build()
            .flags(squeue::Flags::ASYNC),
        "sendmsg" => opcode::SendMsg::new(fd, &message).build(),
        "write" => opcode::Write::new(fd, start, len).build(),
        "writev" => opcode::Writev::new(fd, parts.as_ptr(), 2).build(),
        "splice" => opcode::Splice::new(Fd(pipe.as_raw_fd()), -1, fd, -1, len).build(),
        "send_zc" => opcode::SendZc::new(fd, start, len).build(),
        _ => opcode::SendMsgZc::new(fd, &message).build(),
    };
    scenarios::sys::submit(ring, &entry)
}
