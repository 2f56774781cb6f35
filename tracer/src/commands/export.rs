//! `sendtrace export`: traces for other tools.

mod output;
mod progress;

use std::io::{BufWriter, Write as _};

use anyhow::{Context as _, bail};
use serde_json::Value;
#[cfg(feature = "parquet")]
use serde_json::{Map, json};

use super::Failure;
use super::merged_reader::{Item, MergedReader, TraceReader, Wanted};
use super::warn;
use crate::cli::{Export, Target};
use crate::export::Source;
use crate::export::csv::Csv;
#[cfg(feature = "parquet")]
use crate::export::parquet::Parquet;
use crate::export::pcapng::{Origin, Pcapng};
use crate::interrupt::Interrupt;
use crate::render::Renderer;
use crate::sink::TerminalSink;
use output::Output;
use progress::Progress;
use tracer_format::reader::recording::ReadStep;

/// How much is collected before it is written, bytes.
const BUFFER: usize = 256 << 10;

/// Runs the command.
pub fn run(args: &Export) -> Result<(), Failure> {
    args.check().map_err(Failure::Usage)?;
    let reader = MergedReader::open(&Wanted {
        paths: &args.paths,
        filters: &args.filters,
        since: args.since,
        until: args.until,
        follow: false,
        strict: false,
        utc: false,
    })?;
    // Before a file is made, so that none is left behind.
    let interrupt = Interrupt::catch()?;
    let mut out = match args.to_stdout() {
        true => Output::stdout()?,
        false => Output::create(&args.output, &interrupt)?,
    };
    let is_text = matches!(args.to, Target::Jsonl | Target::Csv);
    if out.is_terminal() && !is_text {
        return Err(anyhow::anyhow!(
            "this format is no text, and the output is a terminal: name a file with -o, or pipe it"
        )
        .into());
    }
    match export(reader, args.to, &mut out, &interrupt) {
        // Whoever read has what was wanted.
        Err(_) if out.reader_is_gone() => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(out.keep()?),
    }
}

fn export(
    mut reader: MergedReader,
    to: Target,
    out: &mut Output,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let escaped = out.is_terminal();
    let name = out.name().to_owned();
    let mut sink = BufWriter::with_capacity(BUFFER, out);
    let mut writer = match to {
        Target::Jsonl => {
            let mut lines = TerminalSink::new(Renderer::Json, None);
            lines.prints_samples = true;
            Writer::Jsonl(Box::new(lines), &mut sink)
        }
        Target::Csv => Writer::Csv(Csv::new(&mut sink, escaped)?),
        #[cfg(feature = "parquet")]
        Target::Parquet => Writer::Parquet(Box::new(Parquet::new(&mut sink)?)),
        Target::Pcapng => {
            let origin = origin(reader.traces());
            Writer::Pcapng(Pcapng::new(&mut sink, &origin)?)
        }
    };
    let mut progress = Progress::on_terminal(escaped);
    let mut events: u64 = 0;
    loop {
        let step = reader.next()?;
        // Standard input ends then, too.
        if interrupt.came() {
            bail!("interrupted: the export is not complete{}", removed(&name));
        }
        let (trace, item) = match step {
            ReadStep::Item((trace, item)) => (trace, item),
            // Nobody waits: what is there now is exported.
            ReadStep::Wait | ReadStep::End => break,
        };
        events += u64::from(matches!(item, Item::Event(_)));
        if let Item::Event(event) = &item {
            let source = Source {
                event,
                clock: reader.clock(trace),
                host: reader.traces()[trace].host.as_deref(),
            };
            writer.event(&source).context(name.clone())?;
        }
        if let Some((lines, out)) = writer.lines() {
            reader.give(trace, &item, lines);
            out.write_all(&lines.take()).context(name.clone())?;
        }
        if let Some(progress) = &mut progress {
            progress.step(events, &reader);
        }
    }
    drop(progress);
    writer.finish(&mut reader).context(name.clone())?;
    sink.flush().context(name)?;
    Ok(())
}

/// What happens to a file that is not complete.
fn removed(name: &str) -> String {
    match name {
        "standard output" => String::new(),
        name => format!(", and {name} is removed"),
    }
}

/// One of the formats.
enum Writer<'a, W: std::io::Write + Send> {
    Jsonl(Box<TerminalSink>, &'a mut W),
    Csv(Csv<&'a mut W>),
    #[cfg(feature = "parquet")]
    Parquet(Box<Parquet<&'a mut W>>),
    Pcapng(Pcapng<&'a mut W>),
}

impl<W: std::io::Write + Send> Writer<'_, W> {
    /// Tables and packets are of events only.
    fn event(&mut self, source: &Source<'_>) -> anyhow::Result<()> {
        match self {
            Self::Jsonl(..) => Ok(()),
            Self::Csv(csv) => Ok(csv.event(source)?),
            #[cfg(feature = "parquet")]
            Self::Parquet(parquet) => Ok(parquet.event(source)?),
            Self::Pcapng(pcapng) => Ok(pcapng.event(source)?),
        }
    }

    /// What replay prints too, where that is the format.
    fn lines(&mut self) -> Option<(&mut TerminalSink, &mut W)> {
        match self {
            Self::Jsonl(lines, out) => Some((lines, out)),
            _ => None,
        }
    }

    fn finish(self, reader: &mut MergedReader) -> anyhow::Result<()> {
        match self {
            Self::Jsonl(mut lines, out) => {
                reader.finish(&mut *lines);
                out.write_all(&lines.take())?;
            }
            Self::Csv(mut csv) => csv.finish()?,
            #[cfg(feature = "parquet")]
            Self::Parquet(parquet) => {
                let traces: Value = reader.traces().iter().map(about).collect();
                let totals = Renderer::Json.totals(&reader.totals());
                parquet.finish(&[
                    ("sendtrace.traces", traces.to_string()),
                    ("sendtrace.totals", totals.trim_end().to_owned()),
                ])?;
            }
            Self::Pcapng(mut pcapng) => {
                pcapng.finish()?;
                if pcapng.left_out > 0 {
                    warn(&format!(
                        "{} of {} events are not in the export: they have no TCP or UDP flow with an address",
                        pcapng.left_out,
                        pcapng.left_out + pcapng.written
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Where a trace is from.
#[cfg(feature = "parquet")]
fn about(trace: &TraceReader) -> Value {
    let facts = &trace.facts;
    let keys = [
        "host",
        "kernel_release",
        "architecture",
        "boot_id",
        "tool_version",
        "arguments",
    ];
    let known = keys
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), facts.get(key)?.clone())));
    let mut about: Map<_, _> = known.collect();
    about.insert("name".to_owned(), json!(trace.name()));
    about.into()
}

fn origin(traces: &[TraceReader]) -> Origin {
    // What is the same in all traces.
    let common = |key: &str| {
        let mut values = traces
            .iter()
            .map(|trace| trace.facts.get(key).and_then(Value::as_str));
        let first = values.next()??.to_owned();
        values.all(|value| value == Some(&first)).then_some(first)
    };
    let hosts: Vec<_> = traces
        .iter()
        .filter_map(|trace| trace.facts.get("host").and_then(Value::as_str))
        .collect();
    let of = match hosts.as_slice() {
        [] => String::new(),
        hosts => format!(" of {}", hosts.join(", ")),
    };
    Origin {
        hardware: common("architecture"),
        system: common("kernel_release").map(|release| format!("Linux {release}")),
        comment: format!(
            "Failures to send{of}. These packets were not captured: their headers are rebuilt from what the \
             kernel said of each event, and what is not known (sequence numbers, windows, payload) is 0. The \
             comment of a packet says what happened."
        ),
    }
}
