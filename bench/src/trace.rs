//! The trace: bytes per event on real traffic, what recording costs, how fast it is replayed, and how much memory
//! all of it takes.
//!
//! Rates of replay are per second of processor time of all threads, so that others on the machine do not count.

mod flows;
mod large;
mod process;
mod report;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tracer_format::reader::ReadItem;
use tracer_format::reader::recording::{ReadStep, Recording};

use flows::Traffic;
use process::Recorder;
use report::{Aim, Line};

/// Streams; a few may happen to lose nothing.
const FLOWS: usize = 660;
/// How many must be in the trace.
const SEEN_FLOWS: f64 = 600.0;
/// Sends that fail, per second.
const RATE: u64 = 100_000;
const GIB: u64 = 1 << 30;
/// How often a place is sought; the worst counts.
const SEEKS: u32 = 12;

/// Arguments.
#[derive(clap::Args)]
pub struct Args {
    /// The program to measure
    #[arg(long, value_name = "FILE")]
    sendtrace: PathBuf,
    /// Where the traces are made and removed again
    #[arg(long, value_name = "FOLDER", default_value = "/var/tmp")]
    folder: PathBuf,
    /// Size of the large trace, bytes
    #[arg(long, value_name = "BYTES", default_value_t = 2 * GIB)]
    large: u64,
    /// Seconds of each recording
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u64,
    /// Memory of the recorder's rings: on a busy machine the default does not hold what comes while it waits
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    ring: String,
    /// Only these parts
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "PART",
        default_value = "size,cost,flight,replay,seek"
    )]
    only: Vec<Part>,
    /// Take this trace of real traffic instead of recording one
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Leave the recorded trace behind
    #[arg(long)]
    keep: bool,
    /// Say how many bytes each section takes
    #[arg(long)]
    sections: bool,
    /// One JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Size,
    Cost,
    Flight,
    Replay,
    Seek,
}

/// Measures.
pub fn run(args: &Args) -> Result<()> {
    tracer_capture::sys::raise_nofile(4 * FLOWS as u64)?;
    let mut files = Files::new(&args.folder);
    let bench = Bench {
        args,
        recorded: match &args.trace {
            Some(trace) => trace.clone(),
            None => files.make("recorded", args.keep),
        },
        large: files.make("large", false),
        failing: files.make("failing", false),
        windows: files.make("windows", false),
    };
    let has = |part| args.only.contains(&part);
    let mut lines = Vec::new();
    let mut show = |more: Vec<Line>| {
        for line in more {
            println!(
                "{}",
                if args.json {
                    line.json().to_string()
                } else {
                    line.text()
                }
            );
            lines.push(line);
        }
    };
    if !args.json {
        println!("{}", report::HEADER);
    }
    if has(Part::Size) {
        show(bench.size()?);
    }
    if has(Part::Cost) {
        show(bench.cost()?);
    }
    if has(Part::Flight) {
        show(bench.flight()?);
    }
    if has(Part::Replay) || has(Part::Seek) {
        let events = large::enlarge(&bench.recorded, &bench.large, args.large)
            .context("cannot make the large trace")?;
        if has(Part::Replay) {
            show(bench.replay(events)?);
        }
        if has(Part::Seek) {
            show(bench.seek()?);
        }
    }
    Ok(())
}

struct Bench<'a> {
    args: &'a Args,
    /// Of real traffic.
    recorded: PathBuf,
    large: PathBuf,
    failing: PathBuf,
    windows: PathBuf,
}

impl Bench<'_> {
    fn record(&self, to: &Path, more: &[&str]) -> Result<Recorder> {
        let mut arguments = vec![
            "-w",
            name(to)?,
            "--rate",
            "1000000",
            "--ring",
            &self.args.ring,
        ];
        arguments.extend(more);
        Recorder::start(&self.args.sendtrace, &arguments)
    }

    fn wait(&self) -> Duration {
        let time = Duration::from_secs(self.args.seconds);
        let start = Instant::now();
        sleep(time);
        start.elapsed()
    }

    /// Real traffic over a wire that loses packets.
    fn size(&self) -> Result<Vec<Line>> {
        if self.args.trace.is_none() {
            let mut traffic = Traffic::lossy(FLOWS);
            traffic.wait_until_it_flows()?;
            // The kind of event with the most in it.
            let recorder = self.record(&self.recorded, &["--event", "retransmit"])?;
            self.wait();
            recorder.end()?;
            traffic.end()?;
        }
        let content = large::content(&self.recorded)?;
        let bytes = std::fs::metadata(&self.recorded)?.len();
        let events = content.events as f64;
        if self.args.sections {
            eprintln!("  header {:.3}", content.header_bytes as f64 / events);
            for (section, bytes) in &content.sections {
                eprintln!("  {section:>3} {:.3}", *bytes as f64 / events);
            }
        }
        Ok(vec![
            Line::new(
                "real traffic: flows",
                "",
                content.flows as f64,
                Aim::AtLeast(SEEN_FLOWS),
            ),
            Line::new("events", "", events, Aim::None),
            Line::new(
                "events with a TCP socket",
                "",
                content.with_tcp as f64,
                Aim::None,
            ),
            Line::new(
                "events per block",
                "",
                events / content.blocks as f64,
                Aim::None,
            ),
            Line::new(
                "bytes per event, all in",
                "B",
                bytes as f64 / events,
                Aim::AtMost(16.0),
            ),
        ])
    }

    /// Failing sends at a fixed rate.
    fn cost(&self) -> Result<Vec<Line>> {
        let mut traffic = Traffic::failing(FLOWS, RATE);
        let recorder = self.record(&self.failing, &["--event", "send_error"])?;
        traffic.wait_until_it_flows()?;
        sleep(Duration::from_secs(1));
        let (cpu, sent, start) = (recorder.cpu_s()?, traffic.done(), Instant::now());
        self.wait();
        let (cpu, sent) = (recorder.cpu_s()? - cpu, traffic.done() - sent);
        let seconds = start.elapsed().as_secs_f64();
        traffic.end()?;
        recorder.end()?;
        let content = large::content(&self.failing)?;
        let bytes = std::fs::metadata(&self.failing)?.len();
        // On a busy machine the traffic may be slower than it should: the cost per event is what counts.
        let per_event = cpu / sent as f64;
        Ok(vec![
            Line::new(
                "failing sends: per second",
                "",
                sent as f64 / seconds,
                Aim::None,
            ),
            Line::new("events", "", content.events as f64, Aim::None),
            Line::new("lost", "", content.lost as f64, Aim::AtMost(0.0)),
            Line::new(
                "bytes per event",
                "B",
                bytes as f64 / content.events as f64,
                Aim::None,
            ),
            Line::new(
                "recorder, of one core at 100 k/s",
                "%",
                per_event * RATE as f64 * 100.0,
                Aim::AtMost(10.0),
            ),
        ])
    }

    /// The flight recorder: what it takes above what it took when it was ready.
    fn flight(&self) -> Result<Vec<Line>> {
        const BOUND_MIB: f64 = 1.0;
        let mut traffic = Traffic::failing(FLOWS, RATE);
        let more = [
            "--event",
            "send_error",
            "--trigger",
            "errno=EXDEV",
            "--memory",
            "1M",
        ];
        let recorder = self.record(&self.windows, &more)?;
        let before = recorder.own_mib()?;
        traffic.wait_until_it_flows()?;
        let mut most: f64 = before;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(self.args.seconds) {
            most = most.max(recorder.own_mib()?);
            sleep(Duration::from_millis(20));
        }
        traffic.end()?;
        recorder.end()?;
        Ok(vec![
            Line::new(
                "flight recorder of 1 MiB: growth",
                "MiB",
                most - before,
                Aim::None,
            ),
            Line::new(
                "of it beyond the bound",
                "MiB",
                most - before - BOUND_MIB,
                Aim::AtMost(8.0),
            ),
        ])
    }

    fn replay(&self, events: u64) -> Result<Vec<Line>> {
        let (sendtrace, large) = (&self.args.sendtrace, name(&self.large)?);
        let size = std::fs::metadata(&self.large)?.len();
        let aggregate = process::run(sendtrace, &["replay", large, "--aggregate"])?;
        let count = (events / 100).max(1);
        let json = process::run(
            sendtrace,
            &[
                "replay",
                large,
                "--format",
                "json",
                "--count",
                &count.to_string(),
            ],
        )?;
        Ok(vec![
            Line::new("large trace", "GiB", size as f64 / GIB as f64, Aim::None),
            Line::new("events", "M", events as f64 / 1e6, Aim::None),
            Line::new(
                "replay --aggregate, per second",
                "M",
                events as f64 / aggregate.cpu_s / 1e6,
                Aim::AtLeast(5.0),
            ),
            Line::new(
                "of it by the clock, per second",
                "M",
                events as f64 / aggregate.wall_s / 1e6,
                Aim::None,
            ),
            Line::new("its memory", "MiB", aggregate.peak_mib, Aim::AtMost(64.0)),
            Line::new(
                "replay --format json, per second",
                "M",
                count as f64 / json.cpu_s / 1e6,
                Aim::None,
            ),
            Line::new("its memory", "MiB", json.peak_mib, Aim::AtMost(64.0)),
        ])
    }

    /// Places all over the large trace.
    fn seek(&self) -> Result<Vec<Line>> {
        let large = name(&self.large)?;
        let span = Recording::open(large, false)?.span()?;
        let (first, last) = span.context("the large trace is empty")?;
        let (mut library, mut process) = (0.0_f64, 0.0_f64);
        for turn in 0..SEEKS {
            let wall_ns = first + (last - first) / i128::from(SEEKS + 1) * i128::from(turn + 1);
            self.forget()?;
            let start = Instant::now();
            let mut recording = Recording::open(large, false)?;
            recording.begin_at(wall_ns)?;
            while let ReadStep::Item(item) = recording.next()? {
                if let ReadItem::Block(block) = item
                    && block.header.wall_ns(block.header.sealed_boot_ns) >= wall_ns
                    && block.events()?.next()?.is_some()
                {
                    break;
                }
            }
            library = library.max(start.elapsed().as_secs_f64() * 1000.0);
            let at = |ns: i128| format!("@{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
            let (since, until) = (at(wall_ns), at(wall_ns + 1_000_000_000));
            self.forget()?;
            process = process.max(process::first_byte_ms(
                &self.args.sendtrace,
                &[
                    "replay", large, "--format", "json", "--since", &since, "--until", &until,
                ],
            )?);
        }
        Ok(vec![
            Line::new(
                "seek, cold, to the first event",
                "ms",
                library,
                Aim::AtMost(50.0),
            ),
            Line::new(
                "sendtrace replay --since, first byte",
                "ms",
                process,
                Aim::AtMost(50.0),
            ),
        ])
    }

    /// Nothing of the large trace stays in memory.
    fn forget(&self) -> Result<()> {
        let file = std::fs::File::open(&self.large)?;
        nix::fcntl::posix_fadvise(
            &file,
            0,
            0,
            nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED,
        )?;
        Ok(())
    }
}

fn name(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// Files that are removed at the end.
struct Files {
    folder: PathBuf,
    made: Vec<PathBuf>,
}

impl Files {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            made: Vec::new(),
        }
    }

    fn make(&mut self, what: &str, keep: bool) -> PathBuf {
        let name = format!("sendtrace-bench-{}-{what}", std::process::id());
        let path = self.folder.join(name);
        if !keep {
            self.made.push(path.clone());
        }
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.made {
            let _ = std::fs::remove_file(path);
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
