//! A process that sends on one path and says, as JSON, what the kernel told it.
//!
//! `sender NETNS COMM PATH COUNT SIZE` enters the namespace, takes the name, prints `ready`, waits for a
//! line, makes about COUNT sends of SIZE, SIZE + 1… bytes, prints its report (`scenarios::paths::SendReport`),
//! and stays until its input ends. Every size is another, so that each event can be paired with its send.

mod calls;
mod failing;
mod nbd;
mod nfs;
mod sockets;
mod sys;
mod uring;

use std::fs::File;
use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use scenarios::paths::{Call, SendReport};

/// How much to send.
#[derive(Clone, Copy)]
pub struct Job {
    pub count: usize,
    pub size: usize,
}

impl Job {
    /// Makes each send of the job with this, which returns the kernel's answer.
    pub fn each(self, mut send: impl FnMut(&[u8]) -> i64) -> Vec<Call> {
        (0..self.count)
            .map(|index| {
                let data = self.data(index);
                call(&data, send(&data))
            })
            .collect()
    }

    /// What the send of this number carries.
    pub fn data(self, index: usize) -> Vec<u8> {
        vec![b'x'; self.size + index]
    }
}

/// A send and what the kernel said to it.
pub fn call(data: &[u8], result: i64) -> Call {
    Call {
        requested: data.len() as u64,
        result,
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [netns, comm, path, count, size] = &arguments[..] else {
        bail!("usage: sender NETNS COMM PATH COUNT SIZE");
    };
    let namespace = File::open(netns).with_context(|| netns.clone())?;
    nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).context(netns.clone())?;
    drop(namespace);
    nix::sys::prctl::set_name(&std::ffi::CString::new(comm.as_str())?)?;
    let job = Job {
        count: count.parse()?,
        size: size.parse()?,
    };

    println!("ready");
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    input.read_line(&mut line)?;
    match run(path, job) {
        Ok(report) => println!("{}", serde_json::to_string(&report)?),
        Err(error) => println!("{error:#}"),
    }
    std::io::stdout().flush()?;
    while input.read_line(&mut line)? > 0 {}
    Ok(())
}

fn run(path: &str, job: Job) -> Result<SendReport> {
    if let Some(operation) = path.strip_prefix("io_uring ") {
        return uring::run(operation, job);
    }
    if let Some(failure) = path.strip_prefix("failing: ") {
        return failing::run(failure, job);
    }
    match path {
        "kernel: NBD" => nbd::run(job),
        "kernel: NFS 3 over TCP" => nfs::run(nfs::Version::V3OverTcp, job),
        "kernel: NFS 3 over UDP" => nfs::run(nfs::Version::V3OverUdp, job),
        "kernel: NFS 4" => nfs::run(nfs::Version::V4, job),
        _ => calls::run(path, job),
    }
}
