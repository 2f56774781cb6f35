//! The walk over the open sockets: the processor's time that it takes by how many sockets there are, all idle, and what
//! it adds to a trace.

use std::io::{Read as _, Write as _, stdin, stdout};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, unshare};
use tracer_capture::sys;
use tracer_capture::walk::{Settings, Walker};
use tracer_model::samples::Sample;

use crate::measure::Bench;
use crate::statistics::{Median, median};

/// How many sockets, in words, and the aim in milliseconds.
const SIZES: [(&str, usize, Option<f64>); 4] = [
    ("walk over 100 idle sockets", 100, None),
    ("walk over 10,000 idle sockets", 10_000, Some(10.0)),
    ("walk over 20,000 idle sockets", 20_000, Some(20.0)),
    ("walk over 100,000 idle sockets", 100_000, None),
];
/// Descriptors of one process: hosts that give no more than 20,000 are common.
const OF_ONE_PROCESS: usize = 16_000;
/// Jiffies per second: no socket here has times to tell.
const HZ: u64 = 1000;
/// Each gives one time.
pub const WALKS: usize = 25;

/// Walks over as many sockets.
pub struct Walk {
    pub what: &'static str,
    pub ms: Median,
    /// The sockets that were met.
    pub sockets: u64,
    /// What the walk adds to a sample, bytes of JSON before they are packed.
    pub bytes: usize,
    pub aim_ms: Option<f64>,
}

/// Measures all sizes.
pub fn measure(bench: &Bench) -> Result<Vec<Walk>> {
    let mut holders = Vec::new();
    let mut open = 0;
    SIZES
        .into_iter()
        .map(|(what, sockets, aim_ms)| {
            while open < sockets {
                let more = (sockets - open).min(OF_ONE_PROCESS);
                holders.push(Holder::start(more)?);
                open += more;
            }
            one(bench, what, aim_ms)
        })
        .collect()
}

fn one(bench: &Bench, what: &'static str, aim_ms: Option<f64>) -> Result<Walk> {
    let mut loaded = bench.load_all()?;
    let settings = Settings {
        every: Duration::ZERO,
        waiting: Duration::from_secs(3600),
        share: 100,
    };
    let mut walker = Walker::new(settings, HZ);
    let mut times = Vec::new();
    let (mut sockets, mut bytes) = (0, Vec::new());
    // The first gives every socket its storage.
    for number in 0..=WALKS {
        let walked = walker
            .poll(&sys::boot_clock_ns, &sys::thread_cpu_ns, &mut |each| {
                loaded.walk_sockets(each)
            })
            .context("no walk")?;
        sockets = walked.walk.descriptors;
        if number == 0 {
            continue;
        }
        times.push(walked.walk.took_us as f64 / 1000.0);
        let rows = walked.traffic.rows(HZ).into_iter().map(|(_, _, row)| row);
        let sample = Sample {
            walk: Some(walked.walk),
            traffic: Some(rows.collect()),
            ..Sample::default()
        };
        let empty = serde_json::to_string(&Sample::default())?.len();
        bytes.push(serde_json::to_string(&sample)?.len() - empty);
    }
    bytes.sort_unstable();
    Ok(Walk {
        what,
        ms: median(&times).context("no walk was timed")?,
        sockets,
        bytes: bytes[bytes.len() / 2],
        aim_ms,
    })
}

/// A process with open sockets; dropped, it ends.
struct Holder(Child);

impl Holder {
    fn start(sockets: usize) -> Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .args(["hold", &sockets.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process that holds sockets")?;
        let mut ready = [0];
        let out = child.stdout.as_mut().context("piped")?;
        if out.read_exact(&mut ready).is_err() {
            bail!("a process could not open {sockets} sockets");
        }
        Ok(Self(child))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Holds this many sockets, connected with each other in a network namespace of their own, until its input ends.
pub fn hold(sockets: usize) -> Result<()> {
    sys::raise_nofile(u64::try_from(sockets)? + 64)?;
    unshare(CloneFlags::CLONE_NEWNET).context("no network namespace")?;
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    if !up.context("ip(8)")?.success() {
        bail!("the loopback interface does not come up");
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let mut open = Vec::with_capacity(sockets);
    while open.len() + 2 <= sockets {
        open.push(TcpStream::connect(at)?);
        open.push(listener.accept()?.0);
    }
    stdout().write_all(b"!")?;
    stdout().flush()?;
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
