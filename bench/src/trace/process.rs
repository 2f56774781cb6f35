//! A `sendtrace` that is watched: processor time, and the most memory it has had.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike as _;
use nix::unistd::Pid;

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Processor time of all threads, user and system, seconds.
    pub cpu_s: f64,
    pub wall_s: f64,
    /// The most resident memory (VmHWM), MiB.
    pub peak_mib: f64,
}

/// Runs it to its end, with what it prints thrown away.
pub fn run(sendtrace: &Path, arguments: &[&str]) -> Result<Taken> {
    let start = Instant::now();
    let before = children_s()?;
    let mut child = Command::new(sendtrace)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", sendtrace.display()))?;
    let mut peak = 0;
    let status = loop {
        // What has ended has no memory any more: the last look counts.
        peak = memory_kib(child.id(), "VmHWM:").unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(5));
    };
    if !status.success() {
        bail!("sendtrace {} failed: {status}", arguments.join(" "));
    }
    Ok(Taken {
        cpu_s: children_s()? - before,
        wall_s: start.elapsed().as_secs_f64(),
        peak_mib: peak as f64 / 1024.0,
    })
}

/// From the start of the process to the first byte that it prints, milliseconds.
pub fn first_byte_ms(sendtrace: &Path, arguments: &[&str]) -> Result<f64> {
    let start = Instant::now();
    let mut child = Command::new(sendtrace)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", sendtrace.display()))?;
    let mut out: ChildStdout = child.stdout.take().context("stdout is a pipe")?;
    let read = out.read(&mut [0; 1]);
    let time = start.elapsed().as_secs_f64() * 1000.0;
    drop(out);
    child.wait()?;
    if read? == 0 {
        bail!("sendtrace {} printed nothing", arguments.join(" "));
    }
    Ok(time)
}

/// Processor time of all children that have ended, seconds.
fn children_s() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(micros as f64 / 1e6)
}

/// A field of /proc/PID/status, KiB.
fn memory_kib(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().trim_end_matches(" kB").trim().parse().ok()
}

/// A running `sendtrace record`.
pub struct Recorder(Child);

impl Recorder {
    /// Starts it and waits until it records.
    pub fn start(sendtrace: &Path, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(sendtrace)
            .arg("record")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", sendtrace.display()))?;
        let stderr = child.stderr.take().context("stderr is a pipe")?;
        let recorder = Self(child);
        let mut lines = BufReader::new(stderr).lines();
        let mut last = String::new();
        for line in lines.by_ref() {
            last = line?;
            if last.starts_with("Recording") {
                // Whatever it says later must not block it.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(recorder);
            }
        }
        bail!("sendtrace record ended before it was ready: {last}")
    }

    /// Processor time of all its threads so far, seconds.
    pub fn cpu_s(&self) -> Result<f64> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // The first number of schedstat: time on a processor, exact where `stat` has ticks of 10 ms.
            let line = fs::read_to_string(task?.path().join("schedstat"))?;
            let first = line.split_whitespace().next();
            let first = first.and_then(|word| word.parse::<u64>().ok());
            total += first.context("schedstat has no number")?;
        }
        Ok(total as f64 / 1e9)
    }

    /// Resident memory of its own, without what it shares with the kernel and its file, MiB.
    pub fn own_mib(&self) -> Result<f64> {
        let kib = memory_kib(self.0.id(), "RssAnon:").context("the recorder has ended")?;
        Ok(kib as f64 / 1024.0)
    }

    /// Ends it with SIGINT.
    pub fn end(mut self) -> Result<()> {
        let status = self.interrupt()?;
        match status.success() {
            true => Ok(()),
            false => bail!("sendtrace record failed: {status}"),
        }
    }

    fn interrupt(&mut self) -> Result<std::process::ExitStatus> {
        if self.0.try_wait()?.is_none() {
            kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGINT)?;
        }
        Ok(self.0.wait()?)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.interrupt();
    }
}
