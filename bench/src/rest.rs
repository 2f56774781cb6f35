//! The program itself: how soon it is ready, and what it takes while nothing happens.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::statistics::{Median, median};

/// Starts; each gives one time.
pub const STARTS: usize = 10;
/// How often the processor time at rest is looked at, and how long each time: the median leaves out moments in
/// which the host has events to report.
pub const WATCHES: usize = 10;
const WATCH: Duration = Duration::from_secs(1);

/// What was found.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// From the start of the process to `Ready`, milliseconds.
    pub ready_ms: Median,
    /// Processor time of all threads at rest, percent of one core.
    pub cpu_percent: Median,
    /// Resident memory without the rings, MiB.
    pub memory_mib: f64,
    /// Resident part of the rings, MiB; aya maps each ring's data twice, one after the other, as the kernel
    /// offers it, so resident pages can count double.
    pub rings_mib: f64,
}

/// Starts `sendtrace live` several times; the last one is watched at rest.
pub fn measure(sendtrace: &Path) -> Result<Rest> {
    let mut times = Vec::with_capacity(STARTS);
    for _ in 1..STARTS {
        let (live, time) = Live::start(sendtrace)?;
        times.push(time);
        drop(live);
    }
    let (live, time) = Live::start(sendtrace)?;
    times.push(time);
    sleep(Duration::from_secs(1));
    let mut shares = Vec::with_capacity(WATCHES);
    for _ in 0..WATCHES {
        let (start, before) = (Instant::now(), live.cpu_ns()?);
        sleep(WATCH);
        let used = live.cpu_ns()? - before;
        shares.push(used as f64 / start.elapsed().as_nanos() as f64 * 100.0);
    }
    let (memory, rings) = live.memory_kib()?;
    Ok(Rest {
        ready_ms: median(&times).context("no start was timed")?,
        cpu_percent: median(&shares).context("no rest was watched")?,
        memory_mib: memory as f64 / 1024.0,
        rings_mib: rings as f64 / 1024.0,
    })
}

/// A running `sendtrace live`, ended with SIGINT when dropped.
struct Live(Child);

impl Live {
    /// Starts one; with it comes the time until it was ready, milliseconds.
    fn start(sendtrace: &Path) -> Result<(Self, f64)> {
        let start = Instant::now();
        let mut child = Command::new(sendtrace)
            .arg("live")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", sendtrace.display()))?;
        let stderr = child.stderr.take().context("stderr is a pipe")?;
        let live = Self(child);
        let mut last = String::new();
        for line in BufReader::new(stderr).lines() {
            last = line?;
            if last.starts_with("Ready") {
                return Ok((live, start.elapsed().as_secs_f64() * 1000.0));
            }
        }
        bail!(
            "{} live ended before it was ready: {last}",
            sendtrace.display()
        )
    }

    /// Processor time of all its threads, nanoseconds.
    fn cpu_ns(&self) -> Result<u64> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // The first number of schedstat: time on a processor, exact where `stat` has ticks of 10 ms.
            let line = fs::read_to_string(task?.path().join("schedstat"))?;
            let first = line
                .split_whitespace()
                .next()
                .and_then(|word| word.parse::<u64>().ok());
            total += first.context("schedstat has no number")?;
        }
        Ok(total)
    }

    /// Resident memory without and of the rings, KiB. VmRSS counts the pages of the rings in (as RssFile).
    fn memory_kib(&self) -> Result<(u64, u64)> {
        let maps = fs::read_to_string(format!("/proc/{}/smaps", self.0.id()))?;
        let (mut own, mut rings, mut of_ring) = (0, 0, false);
        for line in maps.lines() {
            if let Some(size) = line.strip_prefix("Rss:") {
                let kib = size.trim().trim_end_matches(" kB").trim().parse::<u64>()?;
                *(if of_ring { &mut rings } else { &mut own }) += kib;
            } else if line
                .split(' ')
                .next()
                .is_some_and(|range| range.contains('-'))
            {
                of_ring = line.contains("bpf-map") || line.contains("bpf_map");
            }
        }
        Ok((own, rings))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
        let _ = self.0.wait();
    }
}
