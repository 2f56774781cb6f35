//! `relay NETNS ONE OTHER`: carries every frame between two interfaces, as a path does that is slow, lossy, long, or
//! that repeats and reorders what it carries. Each line on standard input sets one direction anew:
//!
//! `there|back [delay_us=N] [rate_bytes=N queue_bytes=N] [loss=P] [duplicate=P] [late=P late_us=N]`
//!
//! Delay and rate are those of a link with a queue in front of it; P are parts of 10000. `late` packets are overtaken.
//! The answer is `ok`. Chance is the same in each run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::BufRead;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use scenarios::sys;

/// A frame of 64 KiB (segmentation left to the receiver) with the header in front that says so.
const FRAME: usize = 66_000;
/// Longest wait while nothing is under way: commands are looked at so often.
const IDLE: Duration = Duration::from_millis(5);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [netns, one, other] = arguments.as_slice() else {
        bail!("usage: relay NETNS ONE OTHER");
    };
    let namespace = std::fs::File::open(netns).with_context(|| netns.clone())?;
    nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).context(netns.clone())?;
    let mut ends = Vec::new();
    for name in [one, other] {
        let interface = nix::net::if_::if_nametoindex(name.as_str()).context(name.clone())?;
        let end = sys::frames(interface)?;
        setsockopt(&end, sockopt::RcvBufForce, &(64 << 20))?;
        ends.push(end);
    }
    let (sender, commands) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
        // Whoever set the path is gone.
        std::process::exit(0);
    });
    carry(&ends, &commands)
}

/// One direction.
#[derive(Default)]
struct Path {
    delay: Duration,
    rate_bytes: Option<u64>,
    queue_bytes: u64,
    loss: u64,
    duplicate: u64,
    late: u64,
    late_by: Duration,
    /// When the link has sent what it was given so far.
    free: Option<Instant>,
}

/// A frame on its way: when it arrives, its number, to which end, and its bytes.
type Travelling = Reverse<(Instant, u64, usize, Vec<u8>)>;

fn carry(ends: &[OwnedFd], commands: &Receiver<String>) -> Result<()> {
    let mut paths = [Path::default(), Path::default()];
    let mut under_way: BinaryHeap<Travelling> = BinaryHeap::new();
    let (mut room, mut number, mut chance) = (vec![0; FRAME], 0u64, Chance(0x9e37_79b9_7f4a_7c15));
    loop {
        while let Ok(command) = commands.try_recv() {
            set(&mut paths, &command)?;
            println!("ok");
        }
        for from in 0..2 {
            while let Some(length) = take(&ends[from], &mut room)? {
                for arrival in paths[from].arrivals(length as u64, Instant::now(), &mut chance) {
                    number += 1;
                    under_way.push(Reverse((
                        arrival,
                        number,
                        1 - from,
                        room[..length].to_vec(),
                    )));
                }
            }
        }
        let now = Instant::now();
        while under_way
            .peek()
            .is_some_and(|Reverse((arrival, ..))| *arrival <= now)
        {
            if let Some(Reverse((_, _, to, frame))) = under_way.pop() {
                // An interface that is down loses what it is given.
                let _ = send(ends[to].as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT);
            }
        }
        let next = under_way
            .peek()
            .map(|Reverse((arrival, ..))| arrival.saturating_duration_since(now));
        let wait = TimeSpec::from_duration(next.unwrap_or(IDLE).min(IDLE));
        let mut polled = [0, 1].map(|end: usize| PollFd::new(ends[end].as_fd(), PollFlags::POLLIN));
        ppoll(&mut polled, Some(wait), None)?;
    }
}

fn take(end: &OwnedFd, room: &mut [u8]) -> Result<Option<usize>> {
    match recv(end.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT) {
        Ok(length) => Ok(Some(length)),
        // The interface went down: once it is up again, frames come.
        Err(Errno::EAGAIN | Errno::ENETDOWN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

impl Path {
    /// When a frame that enters now arrives: not at all, once, or twice.
    fn arrivals(&mut self, bytes: u64, now: Instant, chance: &mut Chance) -> Vec<Instant> {
        if chance.is(self.loss) {
            return Vec::new();
        }
        let mut sent = now;
        if let Some(rate) = self.rate_bytes {
            let begins = self.free.map_or(now, |free| free.max(now));
            let waiting = begins.duration_since(now).as_micros() as u64 * rate / 1_000_000;
            if waiting > self.queue_bytes {
                return Vec::new();
            }
            sent = begins + Duration::from_micros(bytes * 1_000_000 / rate);
            self.free = Some(sent);
        }
        let mut arrival = sent + self.delay;
        if chance.is(self.late) {
            arrival += self.late_by;
        }
        let copies = if chance.is(self.duplicate) { 2 } else { 1 };
        vec![arrival; copies]
    }
}

/// Sets a direction anew, as the line says; what it does not name is gone.
fn set(paths: &mut [Path; 2], line: &str) -> Result<()> {
    let mut words = line.split_whitespace();
    let path = match words.next() {
        Some("there") => &mut paths[0],
        Some("back") => &mut paths[1],
        _ => bail!("{line}: there or back?"),
    };
    *path = Path {
        free: path.free,
        ..Path::default()
    };
    for word in words {
        let (key, value) = word.split_once('=').with_context(|| line.to_owned())?;
        let value: u64 = value.parse().with_context(|| line.to_owned())?;
        match key {
            "delay_us" => path.delay = Duration::from_micros(value),
            "rate_bytes" => path.rate_bytes = Some(value),
            "queue_bytes" => path.queue_bytes = value,
            "loss" => path.loss = value,
            "duplicate" => path.duplicate = value,
            "late" => path.late = value,
            "late_us" => path.late_by = Duration::from_micros(value),
            _ => bail!("{line}: {key}?"),
        }
    }
    Ok(())
}

/// Numbers without order (xorshift, Marsaglia 2003), the same in each run.
struct Chance(u64);

impl Chance {
    fn is(&mut self, of_10000: u64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % 10_000 < of_10000
    }
}
