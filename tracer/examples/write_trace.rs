//! Writes a trace of made-up events as fast as it can, until it is killed: for tests of what is left then.
//!
//! `write_trace PATH [ROTATE_BYTES]`; says on standard output how many blocks are in the file already.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use nix::time::{ClockId, clock_gettime};
use tracer_format::note::Counters;
use tracer_format::start::Start;
use tracer_format::writer::{Options, Target, Writer};
use tracer_format::{Builder, Seal};
use tracer_model::event::{Detail, Event, Owner, SendOk};

const TRACE: [u8; 16] = *b"a made-up trace.";
/// Many small blocks: more places at which to be killed.
const EVENTS: u64 = 20;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .context("write_trace PATH [ROTATE_BYTES]")?;
    let rotate_size = arguments.next().map(|size| size.parse()).transpose()?;
    let options = Options {
        rotate_size,
        ..Options::default()
    };
    let start = Start {
        trace_id: TRACE,
        ..Start::default()
    };
    let target = Target::of(Path::new(&path), rotate_size.is_some());
    let handle = Writer::open(&target, start, &options)?.start()?;
    let watcher = handle.watcher();
    let mut builder = Builder::new()?;
    for seq in 1.. {
        for number in 0..EVENTS {
            builder.event(&event(seq * EVENTS + number));
        }
        let sealed = builder.seal(&Seal {
            trace_id: TRACE,
            seq,
            sealed_boot_ns: boot_clock_ns(),
            ..Seal::default()
        });
        handle.submit(sealed, &Counters::default());
        // No block may be dropped here: the next waits until this one is written.
        let mut status = watcher.status();
        while status.blocks < seq {
            if let Some(problem) = status.problem {
                anyhow::bail!(problem);
            }
            std::thread::sleep(Duration::from_micros(50));
            status = watcher.status();
        }
        println!("{seq}");
    }
    Ok(())
}

fn event(number: u64) -> Event {
    Event {
        boot_ns: boot_clock_ns(),
        count: 1,
        owner: Owner::default(),
        flow: None,
        detail: Detail::Send(SendOk {
            requested_bytes: Some(number),
            sent_bytes: number,
        }),
        tcp: None,
    }
}

fn boot_clock_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("there is this clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}
