//! Lines on their way to standard output.

use std::time::{Duration, Instant};

use crate::output::{BATCH_BYTES, FinishOutcome, Output, SendError};
use crate::render::Renderer;

/// What a printer beside a recording holds back for a slow reader, bytes.
const MOST_WAITING: usize = 4 << 20;

/// Prints, without ever waiting for a reader.
pub struct Printer {
    pub renderer: Renderer,
    output: Output,
    /// What the output did not take yet.
    waiting: Option<Vec<u8>>,
    /// A recording goes on whether or not somebody reads: what does not fit is left out.
    pub while_recording: bool,
    /// Bytes that were left out.
    left_out: usize,
}

impl Printer {
    pub fn new(renderer: Renderer, output: Output) -> Self {
        Self {
            renderer,
            output,
            waiting: None,
            while_recording: false,
            left_out: 0,
        }
    }

    /// Nobody reads any more.
    pub fn reader_gone(&self) -> bool {
        self.output.reader_gone()
    }

    /// Queues output, in pieces that the queue can take.
    pub fn print(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.waiting {
            Some(waiting) if self.while_recording && waiting.len() > MOST_WAITING => {
                self.left_out += bytes.len();
            }
            Some(waiting) => waiting.extend(bytes),
            None => self.waiting = Some(bytes),
        }
        self.flush();
    }

    /// Has the output taken everything?
    pub fn flush(&mut self) -> bool {
        while let Some(mut bytes) = self.waiting.take() {
            let rest = if bytes.len() > BATCH_BYTES {
                bytes.split_off(BATCH_BYTES)
            } else {
                Vec::new()
            };
            match self.output.send(bytes) {
                Ok(()) if rest.is_empty() => {}
                Ok(()) => self.waiting = Some(rest),
                Err(SendError::Full(mut bytes)) => {
                    bytes.extend(rest);
                    self.waiting = Some(bytes);
                    return false;
                }
                Err(SendError::Closed) => return true,
            }
        }
        true
    }

    /// Hands everything to the output and waits until it is written, for as long as somebody reads: a reader
    /// that takes nothing for `patience` is given up. Has everything been written?
    pub fn flush_while_read(&mut self, patience: Duration) -> bool {
        let mut left = usize::MAX;
        let mut deadline = Instant::now() + patience;
        loop {
            self.flush();
            let waiting = self.output.waiting_bytes() + self.waiting.as_ref().map_or(0, Vec::len);
            if self.output.is_closed() || (waiting > 0 && Instant::now() >= deadline) {
                return false;
            }
            if waiting == 0 {
                return true;
            }
            if waiting < left {
                left = waiting;
                deadline = Instant::now() + patience;
            }
            self.output.wait_for_room(deadline);
        }
    }

    /// Bytes that were left out because nobody read them.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// # Errors
    /// When writing failed.
    pub fn finish(self) -> std::io::Result<FinishOutcome> {
        self.output.finish(Duration::ZERO)
    }
}
