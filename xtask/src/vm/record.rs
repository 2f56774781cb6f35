//! What one kernel has said: its frames, sorted by step.

use std::time::Duration;

use vm_guest::protocol::{Frame, Stream};

/// Everything from one kernel.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// `uname -r`, when init has come that far.
    pub release: Option<String>,
    pub trouble: Vec<String>,
    pub steps: Vec<Step>,
    /// What the kernel said while it ran, with the step that ran.
    pub kernel: Vec<(Option<String>, String)>,
}

/// One step as it went.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub name: String,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
    /// What fired while it ran and this host may keep from BPF programs.
    pub withheld: u64,
    /// `None`: it never ended.
    pub end: Option<End>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub timed_out: bool,
    pub took: Duration,
}

impl Record {
    pub fn add(&mut self, frame: Frame) {
        match frame {
            Frame::Started { release } => self.release = Some(release),
            Frame::Trouble { text } => self.trouble.push(text),
            Frame::Begin { step } => self.steps.push(Step {
                name: step,
                ..Step::default()
            }),
            Frame::Line { step, stream, text } => {
                if let Some(step) = self.step_mut(&step) {
                    match stream {
                        Stream::Stdout => step.stdout.push(text),
                        Stream::Stderr => step.stderr.push(text),
                    }
                }
            }
            Frame::Withheld { step, firings } => {
                if let Some(step) = self.step_mut(&step) {
                    step.withheld += firings;
                }
            }
            Frame::End {
                step,
                code,
                signal,
                timed_out,
                milliseconds,
            } => {
                if let Some(step) = self.step_mut(&step) {
                    step.end = Some(End {
                        code,
                        signal,
                        timed_out,
                        took: Duration::from_millis(milliseconds),
                    });
                }
            }
            Frame::Kernel { step, text, .. } => self.kernel.push((step, text)),
            Frame::Done => {}
        }
    }

    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Takes a step as it went later; what the kernel said meanwhile stays.
    pub fn replace(&mut self, later: Record) {
        for step in later.steps {
            if let Some(known) = self.step_mut(&step.name) {
                *known = step;
            }
        }
        self.kernel.extend(later.kernel);
    }

    fn step_mut(&mut self, name: &str) -> Option<&mut Step> {
        self.steps.iter_mut().rev().find(|step| step.name == name)
    }
}

impl Step {
    pub fn succeeded(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.code == Some(0))
    }

    /// In one phrase how it ended, for people.
    pub fn ending(&self) -> String {
        match &self.end {
            None => "never ended".to_owned(),
            Some(end) if end.timed_out => {
                format!("did not end within {} s", end.took.as_secs())
            }
            Some(End {
                code: Some(code), ..
            }) => format!("ended with {code}"),
            Some(End {
                signal: Some(signal),
                ..
            }) => format!("was killed by signal {signal}"),
            Some(_) => "could not be started".to_owned(),
        }
    }
}
