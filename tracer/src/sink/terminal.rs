//! The sink that makes lines, for people or for programs.

use std::io;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::{At, End, Sink};
use crate::output::{FinishOutcome, Output};
use crate::render::Renderer;
use tracer_model::event::Event;
use tracer_model::samples::{Change, Sample};

/// Lines that are held back beside a recording for a slow reader, bytes.
const MOST_WAITING: usize = 4 << 20;

/// Makes lines, and prints them without ever waiting for a reader, unless it is asked to.
pub struct TerminalSink {
    pub renderer: Renderer,
    /// `None`: lines stay until they are taken.
    output: Option<Output>,
    /// Samples, changes and triggers are printed too.
    pub prints_samples: bool,
    /// Something else prints the totals.
    pub leaves_totals: bool,
    /// The source goes on whether or not somebody reads: what does not fit is left out.
    pub leaves_out: bool,
    waiting: BytesMut,
    left_out_bytes: usize,
}

impl TerminalSink {
    /// Prints to `output`, or keeps lines until they are taken.
    pub fn new(renderer: Renderer, output: Option<Output>) -> Self {
        Self {
            renderer,
            output,
            prints_samples: false,
            leaves_totals: false,
            leaves_out: false,
            waiting: BytesMut::new(),
            left_out_bytes: 0,
        }
    }

    /// What is no item of a source.
    pub fn print(&mut self, text: &str) {
        if self.leaves_out && self.waiting.len() > MOST_WAITING {
            self.left_out_bytes += text.len();
        } else {
            self.waiting.extend_from_slice(text.as_bytes());
        }
    }

    /// The lines that have come since the last call; those that are printed are not among them.
    pub fn take(&mut self) -> BytesMut {
        self.waiting.split()
    }

    /// Bytes that were left out because nobody read them.
    pub fn left_out_bytes(&self) -> usize {
        self.left_out_bytes
    }

    /// Ends: what was not printed until now is not printed any more.
    ///
    /// # Errors
    /// When writing failed.
    pub fn end(self) -> io::Result<FinishOutcome> {
        let ended = self.output.map(|output| output.finish(Duration::ZERO));
        match ended.transpose()? {
            Some(FinishOutcome::Incomplete { unwritten_bytes }) => Ok(FinishOutcome::Incomplete {
                unwritten_bytes: unwritten_bytes + self.waiting.len(),
            }),
            ended => Ok(ended.unwrap_or(FinishOutcome::Complete)),
        }
    }

    /// One line, with its host where there are several.
    pub fn line(&mut self, at: &At<'_>, line: String) {
        match at.name {
            Some(name) => self.print(&self.renderer.of_host(line, name)),
            None => self.print(&line),
        }
    }
}

impl Sink for TerminalSink {
    fn event(&mut self, at: &At<'_>, event: &Event) {
        self.line(at, self.renderer.event(event, at.clock));
    }

    fn sample(&mut self, at: &At<'_>, sample: &Sample) {
        if self.prints_samples {
            self.line(at, self.renderer.sample(sample, at.clock));
        }
    }

    fn change(&mut self, at: &At<'_>, change: &Change) {
        if self.prints_samples {
            self.line(at, self.renderer.change(change, at.clock));
        }
    }

    fn trigger(&mut self, at: &At<'_>, expression: &str) {
        if self.prints_samples {
            let line = self.renderer.trigger(at.boot_ns, expression, at.clock);
            self.line(at, line);
        }
    }

    fn finish(&mut self, end: &End<'_>) {
        let counted = end.hosts.iter().flat_map(|host| host.counted.clone());
        let counted: Vec<_> = counted.collect();
        self.print(&self.renderer.counted(&counted, end.at.clock));
        if !self.leaves_totals {
            self.print(&self.renderer.totals(end.totals));
        }
    }

    fn flush(&mut self, patience: Duration) -> bool {
        let Some(output) = &self.output else {
            return true;
        };
        let mut taken = output.take(&mut self.waiting);
        if patience > Duration::ZERO {
            let mut left = usize::MAX;
            let mut deadline = Instant::now() + patience;
            loop {
                let waiting = output.waiting_bytes() + self.waiting.len();
                taken = waiting == 0;
                if taken || output.is_closed() || Instant::now() >= deadline {
                    break;
                }
                if waiting < left {
                    left = waiting;
                    deadline = Instant::now() + patience;
                }
                output.wait_for_room(deadline);
                output.take(&mut self.waiting);
            }
        }
        taken || self.leaves_out
    }

    fn is_gone(&mut self) -> bool {
        let gone = self.output.as_ref().is_some_and(Output::reader_gone);
        gone && !self.leaves_out
    }
}
