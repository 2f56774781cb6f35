//! How often the kernel's tracepoints fired, counted by perf: without any program of ours.

use std::fs::{self, File};
use std::io::Read;

use nix::unistd::{SysconfVar, sysconf};

use crate::sys;

/// One counter per tracepoint and CPU.
pub struct Witness(Vec<File>);

impl Witness {
    /// Counts from now on how often these tracepoints (`tcp/tcp_retransmit_skb`) fire anywhere; `None` where tracefs
    /// or perf is not to be had.
    pub fn of(tracepoints: &[&str]) -> Option<Self> {
        let cpus = sysconf(SysconfVar::_NPROCESSORS_CONF).ok()??;
        let mut counters = Vec::new();
        for tracepoint in tracepoints {
            let path = format!("/sys/kernel/tracing/events/{tracepoint}/id");
            let id = fs::read_to_string(path).ok()?.trim().parse().ok()?;
            let on_cpus = (0..cpus).map(|cpu| sys::perf_event(&counted(id), cpu as i32));
            let before = counters.len();
            for counter in on_cpus {
                match counter {
                    Ok(counter) => counters.push(File::from(counter)),
                    // A CPU that is not there now.
                    Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                    Err(_) => return None,
                }
            }
            if counters.len() == before {
                return None;
            }
        }
        Some(Self(counters))
    }

    /// How often so far.
    pub fn count(&self) -> u64 {
        let read = |mut counter: &File| {
            let mut count = [0; 8];
            counter.read_exact(&mut count).expect("a counter");
            u64::from_ne_bytes(count)
        };
        self.0.iter().map(read).sum()
    }
}

/// `struct perf_event_attr` in its first shape (64 bytes): type and size, then `config`, and nothing else.
fn counted(id: u64) -> [u64; 8] {
    const TRACEPOINT: u32 = 2;
    let mut attr = [0; 8];
    attr[0] = join(TRACEPOINT, 64);
    attr[1] = id;
    attr
}

/// Two fields that lie side by side.
fn join(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}
