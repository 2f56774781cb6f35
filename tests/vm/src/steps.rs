//! Runs the steps of a manifest, one after the other, and writes what they say as frames.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use trace_instance::TraceInstance;

use crate::kernel_log::KernelLog;
use crate::protocol::{Frame, Manifest, Step, Stream};

/// How often a running step is looked at.
const TICK: Duration = Duration::from_millis(10);
/// How long the output of a step's left-over children is waited for.
const REST: Duration = Duration::from_secs(2);

/// Writes frames, and reads the kernel's log between them.
pub struct Reporter {
    out: File,
    log: KernelLog,
    trace_instance: Option<TraceInstance>,
}

impl Reporter {
    pub fn new(out: File) -> Self {
        let log = KernelLog::open();
        Self {
            out,
            log,
            trace_instance: None,
        }
    }

    /// Also tells what this host may keep from BPF programs.
    pub fn with_trace_instance(mut self, trace_instance: Option<TraceInstance>) -> Self {
        self.trace_instance = trace_instance;
        self
    }

    fn firings(&self) -> u64 {
        self.trace_instance
            .as_ref()
            .map_or(0, |trace_instance| trace_instance.firings().1)
    }

    /// # Errors
    /// When nobody reads any more: there is no use in going on.
    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let mut line = serde_json::to_vec(frame)?;
        line.push(b'\n');
        self.out.write_all(&line)
    }

    fn kernel(&mut self, step: Option<&str>) -> io::Result<()> {
        for message in self.log.drain() {
            self.send(&Frame::Kernel {
                step: step.map(str::to_owned),
                level: message.level,
                text: message.text,
            })?;
        }
        Ok(())
    }
}

/// Runs all steps and ends with [`Frame::Done`].
///
/// # Errors
/// When the frames cannot be written.
pub fn run(manifest: &Manifest, reporter: &mut Reporter) -> io::Result<()> {
    for step in &manifest.steps {
        reporter.kernel(None)?;
        reporter.send(&Frame::Begin {
            step: step.name.clone(),
        })?;
        let before = reporter.firings();
        let begun = Instant::now();
        let end = match start(step, &manifest.environment) {
            Ok(running) => watch(step, &running, reporter)?,
            Err(error) => {
                reporter.send(&Frame::Line {
                    step: step.name.clone(),
                    stream: Stream::Stderr,
                    text: format!("cannot start {}: {error}", step.command.join(" ")),
                })?;
                End::default()
            }
        };
        let took = begun.elapsed();
        reporter.kernel(Some(&step.name))?;
        let firings = reporter.firings().saturating_sub(before);
        if firings > 0 {
            reporter.send(&Frame::Withheld {
                step: step.name.clone(),
                firings,
            })?;
        }
        reporter.send(&Frame::End {
            step: step.name.clone(),
            code: end.status.and_then(|status| status.code()),
            signal: end.status.and_then(|status| status.signal()),
            timed_out: end.timed_out,
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })?;
    }
    reporter.send(&Frame::Done)
}

struct Running {
    pid: Pid,
    lines: Receiver<(Stream, String)>,
}

#[derive(Default)]
struct End {
    status: Option<ExitStatus>,
    timed_out: bool,
}

fn start(step: &Step, environment: &[(String, String)]) -> io::Result<Running> {
    let (program, arguments) = step
        .command
        .split_first()
        .ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let (sender, lines) = channel();
    if let Some(pipe) = child.stdout.take() {
        forward(pipe, Stream::Stdout, sender.clone());
    }
    if let Some(pipe) = child.stderr.take() {
        forward(pipe, Stream::Stderr, sender);
    }
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    // The child is waited for by number: init has to reap strangers too.
    Ok(Running {
        pid: Pid::from_raw(pid),
        lines,
    })
}

fn forward(pipe: impl Read + Send + 'static, stream: Stream, sender: Sender<(Stream, String)>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            let text = String::from_utf8_lossy(&line).into_owned();
            if sender.send((stream, text)).is_err() {
                return;
            }
        }
    });
}

fn watch(step: &Step, running: &Running, reporter: &mut Reporter) -> io::Result<End> {
    let deadline = Instant::now() + Duration::from_secs(step.timeout_s);
    let mut end = End::default();
    loop {
        pass_on(step, running, reporter)?;
        reporter.kernel(Some(&step.name))?;
        if let Some(status) = ended(running.pid) {
            end.status = Some(status);
            break;
        }
        if Instant::now() >= deadline {
            end.timed_out = true;
            break;
        }
        thread::sleep(TICK);
    }
    // Nobody stays behind to disturb the next step.
    let _ = killpg(running.pid, Signal::SIGKILL);
    let rest = Instant::now() + REST;
    while !pass_on(step, running, reporter)? && Instant::now() < rest {
        thread::sleep(TICK);
    }
    // After a kill at the deadline: the leader is a zombie until somebody asks.
    ended(running.pid);
    Ok(end)
}

/// Passes lines on; true when both pipes are closed.
fn pass_on(step: &Step, running: &Running, reporter: &mut Reporter) -> io::Result<bool> {
    loop {
        match running.lines.try_recv() {
            Ok((stream, text)) => reporter.send(&Frame::Line {
                step: step.name.clone(),
                stream,
                text,
            })?,
            Err(TryRecvError::Empty) => return Ok(false),
            Err(TryRecvError::Disconnected) => return Ok(true),
        }
    }
}

/// Reaps everybody who has ended; the status of this one if it is among them.
fn ended(pid: Pid) -> Option<ExitStatus> {
    loop {
        let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let gone = match waitid(Id::All, peek) {
            Ok(WaitStatus::Exited(gone, _) | WaitStatus::Signaled(gone, _, _)) => gone,
            _ => return None,
        };
        let status = waitpid(gone, Some(WaitPidFlag::WNOHANG));
        if gone != pid {
            continue;
        }
        return Some(match status {
            Ok(WaitStatus::Exited(_, code)) => ExitStatus::from_raw(code << 8),
            Ok(WaitStatus::Signaled(_, signal, _)) => ExitStatus::from_raw(signal as i32),
            _ => return None,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom};

    use super::*;

    /// The frames of one step, without those of this machine's kernel.
    fn frames(script: &str, timeout_s: u64) -> Vec<Frame> {
        let path = std::env::temp_dir().join(format!(
            "steps-{}-{:?}",
            std::process::id(),
            thread::current().id()
        ));
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .expect("a file");
        let step = Step {
            name: "s".into(),
            command: vec!["sh".into(), "-c".into(), script.into()],
            timeout_s,
        };
        let manifest = Manifest {
            steps: vec![step],
            ..Manifest::default()
        };
        let mut reporter = Reporter {
            out: file.try_clone().expect("a descriptor"),
            log: KernelLog::open(),
            trace_instance: None,
        };
        run(&manifest, &mut reporter).expect("the file takes all");
        file.seek(SeekFrom::Start(0)).expect("a file");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        std::fs::remove_file(path).expect("our file");
        let frames = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("a frame"));
        frames
            .filter(|frame| !matches!(frame, Frame::Kernel { .. }))
            .collect()
    }

    // One test: reaping is for the whole process, and the harness runs tests side by side.
    #[test]
    fn a_step_is_reported_with_its_lines_and_its_end() {
        let all = frames("echo out; echo err >&2; exit 3", 10);
        assert!(matches!(&all[0], Frame::Begin { step } if step == "s"));
        let line = |wanted: Stream| {
            all.iter().find_map(|frame| match frame {
                Frame::Line { stream, text, .. } if *stream == wanted => Some(text.as_str()),
                _ => None,
            })
        };
        assert_eq!(line(Stream::Stdout), Some("out"));
        assert_eq!(line(Stream::Stderr), Some("err"));
        assert!(matches!(
            all[all.len() - 2],
            Frame::End {
                code: Some(3),
                timed_out: false,
                ..
            }
        ));
        assert_eq!(all.last(), Some(&Frame::Done));

        let slow = frames("echo begun; sleep 60 & sleep 60", 1);
        let Frame::End {
            timed_out: true,
            milliseconds,
            ..
        } = slow[slow.len() - 2]
        else {
            panic!("{slow:?}")
        };
        assert!(milliseconds < 20_000, "the whole group is killed");
        assert!(
            slow.iter()
                .any(|frame| matches!(frame, Frame::Line { text, .. } if text == "begun"))
        );
    }
}
