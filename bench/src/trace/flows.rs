//! Traffic for the recorder: many streams that lose data, or many sends that fail at a fixed rate.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, send, setsockopt, shutdown, sockopt};

use crate::place::{FAR, Place, STREAMS_PORT};

/// Traffic that goes on until this is dropped or ended.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Traffic {
    /// `flows` streams from one namespace to another over a wire that loses packets, each at a pace of its own.
    pub fn lossy(flows: usize) -> Self {
        Self::start(move |traffic| {
            let place = Place::new()?;
            let listener = place.in_far(|| Ok(TcpListener::bind((FAR, STREAMS_PORT))?))?;
            let mut streams = (0..flows)
                .map(|number| Stream::open(&listener, number))
                .collect::<Result<Vec<_>>>()?;
            let chunk = vec![7; 64 << 10];
            let mut into = vec![0; 256 << 10];
            while !traffic.stops() {
                for stream in &mut streams {
                    stream.turn(&chunk, &mut into);
                }
                traffic.done.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(1));
            }
            Ok(())
        })
    }

    /// `per_second` sends on `flows` streams that are shut down: each fails with EPIPE.
    pub fn failing(flows: usize, per_second: u64) -> Self {
        Self::start(move |traffic| {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            let mut pairs = Vec::with_capacity(flows);
            for _ in 0..flows {
                let from = TcpStream::connect(listener.local_addr()?)?;
                let (to, _) = listener.accept()?;
                shutdown(from.as_raw_fd(), Shutdown::Write)?;
                pairs.push((from, to));
            }
            let start = Instant::now();
            let mut sent = 0;
            while !traffic.stops() {
                let due = start.elapsed().as_micros() as u64 * per_second / 1_000_000;
                while sent < due {
                    let (from, _) = &pairs[sent as usize % flows];
                    let size = 1 + sent as usize % 1400;
                    let result = send(from.as_raw_fd(), &[7; 1400][..size], MsgFlags::MSG_NOSIGNAL);
                    if result != Err(Errno::EPIPE) {
                        return Err(anyhow!("a send should fail with EPIPE: {result:?}"));
                    }
                    sent += 1;
                }
                traffic.done.store(sent, Ordering::Relaxed);
                sleep(Duration::from_micros(500));
            }
            Ok(())
        })
    }

    fn start(work: impl FnOnce(&Self) -> Result<()> + Send + 'static) -> Self {
        let mut traffic = Self {
            stop: Arc::default(),
            done: Arc::default(),
            thread: None,
        };
        let inside = Self {
            stop: Arc::clone(&traffic.stop),
            done: Arc::clone(&traffic.done),
            thread: None,
        };
        traffic.thread = Some(thread::spawn(move || work(&inside)));
        traffic
    }

    /// Waits until it runs.
    pub fn wait_until_it_flows(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.done() == 0 {
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return self.finish().and(Err(anyhow!("the traffic ended at once")));
            }
            if Instant::now() > deadline {
                return Err(anyhow!("the traffic did not start within 20 s"));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Sends so far (turns, of lossy streams).
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Ends it; says what went wrong.
    pub fn end(mut self) -> Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), |thread| {
            thread.join().map_err(|_| anyhow!("the traffic panicked"))?
        })
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // Within the thread itself there is nothing to wait for.
        if self.thread.is_some() {
            let _ = self.finish();
        }
    }
}

/// One stream, both ends.
struct Stream {
    from: TcpStream,
    to: TcpStream,
    number: usize,
    turns: usize,
}

impl Stream {
    fn open(listener: &TcpListener, number: usize) -> Result<Self> {
        let from = TcpStream::connect(listener.local_addr()?).context("cannot connect")?;
        let (to, _) = listener.accept()?;
        setsockopt(&from, sockopt::SndBuf, &(32 << 10))?;
        from.set_nonblocking(true)?;
        to.set_nonblocking(true)?;
        Ok(Self {
            from,
            to,
            number,
            turns: 0,
        })
    }

    /// Bursts, messages of any size now and then, or a steady stream; each fifth has a slow reader.
    fn turn(&mut self, chunk: &[u8], into: &mut [u8]) {
        self.turns += 1;
        let turn = self.turns + self.number;
        match self.number % 3 {
            0 if turn.is_multiple_of(48) => drop(self.from.write(chunk)),
            1 if turn.is_multiple_of(8) => drop(self.from.write(&chunk[..500 + turn * 31 % 6000])),
            2 if turn.is_multiple_of(4) => drop(self.from.write(&chunk[..1 << 10])),
            _ => {}
        }
        if !self.number.is_multiple_of(5) || turn.is_multiple_of(64) {
            let _ = self.to.read(into);
        }
    }
}
