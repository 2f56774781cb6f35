//! One run of QEMU: started, listened to, ended.
//!
//! The first serial line is the kernel's console, the second carries frames. Init ends each step at its time limit and
//! says so: a machine that says nothing for longer hangs, and is made to say where.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::arch::Arch;
use anyhow::{Context, Result};
use vm_guest::protocol::{Frame, Manifest};

/// A reboot is an end here, and a panic a reboot. A warning is a panic: it is a failure as well, and what comes after it
/// shows little. Warnings have level 4 and shall be on the console. The watchdogs measure how often the emulator is
/// scheduled, not our programs; so does the check of the timer at boot, which panics on a crowded machine.
const COMMAND_LINE: &str = "panic=-1 oops=panic panic_on_warn=1 unknown_nmi_panic=1 quiet loglevel=5 no_timer_check nowatchdog \
     rcupdate.rcu_cpu_stall_suppress=1";
/// How long a machine may take to its first step, and from one to the next: modules are loaded, orphans reaped.
const BETWEEN_STEPS: Duration = Duration::from_secs(120);
/// For a kernel to print a panic, and QEMU to end.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU itself, 10 to 20 times slower.
    Tcg,
}

impl Accelerator {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    fn processor(self, arch: Arch) -> &'static str {
        match (self, arch) {
            (Self::Kvm, _) => "host",
            // Where a processor says that it copies bytes fast, kernels copy byte by byte; emulated, that is
            // several times slower than words. Half of all time went there.
            (Self::Tcg, Arch::X86_64) => "max,erms=off,fsrm=off",
            // The newest ones sign pointers, which is slow when emulated.
            (Self::Tcg, Arch::Arm64) => "cortex-a72",
        }
    }

    /// Until init has started. Emulated it takes 2 to 4 s on an idle machine, 60 s on a crowded one.
    fn boot_limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Kvm => 8,
            Self::Tcg => 150,
        })
    }
}

/// A machine that can be started.
pub struct Machine<'a> {
    pub qemu: &'a Path,
    pub arch: Arch,
    pub image: &'a Path,
    pub initramfs: &'a Path,
    /// A folder of this run alone, for the socket.
    pub dir: &'a Path,
    pub accelerator: Accelerator,
    /// What init was told to run: for how long it may be silent.
    pub manifest: &'a Manifest,
    /// More words for the kernel; the last of a kind counts.
    pub append: &'a [String],
    /// In MiB.
    pub memory: u32,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It said that it was done.
    Done,
    /// It ended before it was done.
    Died,
    /// It did not end in time.
    Hung,
}

/// What is left of a run.
pub struct Outcome {
    pub end: End,
    /// Init has started: from then on a failure is ours, not the emulator's.
    pub started: bool,
    /// Until init has started.
    pub boot: Option<Duration>,
    pub whole: Duration,
    /// What the kernel printed on its console.
    pub console: Vec<String>,
    /// So many lines of it came before init had started.
    pub boot_lines: usize,
}

enum Message {
    Frame(Frame),
    /// A line on the second serial port that is none of ours.
    Noise(String),
    Console(String),
    Closed,
}

impl Machine<'_> {
    /// Runs the machine to its end; every frame is handed to `each` as it comes.
    pub fn run(&self, mut each: impl FnMut(Frame)) -> Result<Outcome> {
        let socket = self.dir.join("results");
        std::fs::remove_file(&socket).ok();
        let listener = UnixListener::bind(&socket)
            .with_context(|| format!("cannot listen on {}", socket.display()))?;
        let monitor = self.dir.join("monitor");
        let begun = Instant::now();
        let mut child = Command::new(self.qemu)
            .args(self.arguments(&socket, &monitor))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.qemu.display()))?;
        let (sender, messages) = channel();
        let mut readers = 0;
        // QEMU's own words go where the kernel's do: they explain the same silence.
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as _),
            child.stderr.take().map(|pipe| Box::new(pipe) as _),
        ];
        for pipe in pipes.into_iter().flatten() {
            readers += 1;
            forward(pipe, sender.clone(), Message::Console);
        }
        accept(listener, sender);
        let mut result = self.listen(begun, &messages, &mut readers, &mut each);
        if result.end == End::Hung && interrupt(&monitor).is_ok() {
            last_words(&messages, readers, &mut result.console);
        }
        stop(&mut child);
        Ok(result)
    }

    fn listen(
        &self,
        begun: Instant,
        messages: &Receiver<Message>,
        readers: &mut usize,
        each: &mut impl FnMut(Frame),
    ) -> Outcome {
        let mut outcome = Outcome {
            end: End::Died,
            started: false,
            boot: None,
            whole: Duration::ZERO,
            console: Vec::new(),
            boot_lines: 0,
        };
        let mut deadline = begun + self.accelerator.boot_limit();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match messages.recv_timeout(left) {
                Ok(Message::Console(line)) => outcome.console.push(line),
                Ok(Message::Noise(line)) => outcome.console.push(format!("(results) {line}")),
                Ok(Message::Closed) => {
                    *readers -= 1;
                    // Both ends of QEMU's own output: it is gone.
                    if *readers == 0 {
                        break;
                    }
                }
                Ok(Message::Frame(frame)) => {
                    if let Some(limit) = self.silence(&frame) {
                        deadline = Instant::now() + limit;
                    }
                    if matches!(frame, Frame::Started { .. }) {
                        outcome.started = true;
                        outcome.boot_lines = outcome.console.len();
                        outcome.boot = Some(begun.elapsed());
                    }
                    let done = frame == Frame::Done;
                    each(frame);
                    if done {
                        outcome.end = End::Done;
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    outcome.end = End::Hung;
                    break;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        outcome.whole = begun.elapsed();
        outcome
    }

    /// How long the machine may be silent after this; `None`: as was said before.
    fn silence(&self, frame: &Frame) -> Option<Duration> {
        match frame {
            Frame::Started { .. } | Frame::End { .. } => Some(BETWEEN_STEPS),
            Frame::Begin { step } => {
                let steps = &self.manifest.steps;
                let step = steps.iter().find(|known| known.name == *step)?;
                Some(Duration::from_secs(step.timeout_s) + BETWEEN_STEPS)
            }
            _ => None,
        }
    }

    fn arguments(&self, socket: &Path, monitor: &Path) -> Vec<OsString> {
        let (machine, console) = match self.arch {
            // microvm hung now and then.
            Arch::X86_64 => ("q35", "ttyS0"),
            Arch::Arm64 => ("virt", "ttyAMA0"),
        };
        let fixed = [
            "-accel",
            self.accelerator.name(),
            "-cpu",
            self.accelerator.processor(self.arch),
            "-machine",
            machine,
            "-smp",
            "1",
            "-nodefaults",
            "-no-user-config",
            // A card to spare, on a wire that leads nowhere: its driver is made to hang by a test.
            "-netdev",
            "hubport,id=spare,hubid=0",
            "-device",
            "vmxnet3,netdev=spare",
            "-display",
            "none",
            "-no-reboot",
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
        ];
        let mut arguments: Vec<OsString> = fixed.into_iter().map(OsString::from).collect();
        // The board of arm64 has one serial line of its own.
        let second_line = match self.arch {
            Arch::X86_64 => ["-serial", "chardev:results"],
            Arch::Arm64 => ["-device", "pci-serial,chardev=results"],
        };
        arguments.extend(["-m".into(), self.memory.to_string().into()]);
        let console = format!("console={console}");
        let words = [console.as_str(), COMMAND_LINE].into_iter();
        let words: Vec<&str> = words
            .chain(self.append.iter().map(String::as_str))
            .collect();
        arguments.extend(["-append".into(), words.join(" ").into()]);
        let mut qmp = OsString::from("unix:");
        qmp.push(monitor);
        qmp.push(",server=on,wait=off");
        arguments.extend(["-qmp".into(), qmp]);
        let mut results = OsString::from("socket,id=results,path=");
        results.push(socket);
        arguments.extend(["-chardev".into(), results]);
        arguments.extend(second_line.map(OsString::from));
        arguments.extend(["-kernel".into(), self.image.into()]);
        arguments.extend(["-initrd".into(), self.initramfs.into()]);
        arguments
    }
}

/// Asks QEMU for an interrupt that no kernel can mask: it panics then, and says where it was.
fn interrupt(monitor: &Path) -> Result<()> {
    let stream = UnixStream::connect(monitor).context("QEMU's monitor")?;
    stream.set_read_timeout(Some(LAST_WORDS))?;
    let mut lines = BufReader::new(&stream).lines();
    // A greeting, then an answer to each.
    lines.next().transpose()?;
    for command in ["qmp_capabilities", "inject-nmi"] {
        writeln!(&stream, r#"{{"execute":"{command}"}}"#)?;
        lines.next().transpose()?;
    }
    Ok(())
}

/// What still comes from a machine that was interrupted, until it is gone.
fn last_words(messages: &Receiver<Message>, mut readers: usize, console: &mut Vec<String>) {
    let deadline = Instant::now() + LAST_WORDS;
    while readers > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        match messages.recv_timeout(left) {
            Ok(Message::Console(line)) => console.push(line),
            Ok(Message::Closed) => readers -= 1,
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// QEMU connects once.
fn accept(listener: UnixListener, sender: Sender<Message>) {
    thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            let mut lines = BufReader::new(stream);
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                let message = serde_json::from_slice(&line).map_or_else(
                    |_| Message::Noise(String::from_utf8_lossy(&line).trim_end().to_owned()),
                    Message::Frame,
                );
                if sender.send(message).is_err() {
                    return;
                }
                line.clear();
            }
        }
    });
}

fn forward(
    pipe: impl Read + Send + 'static,
    sender: Sender<Message>,
    message: fn(String) -> Message,
) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(message(line)).is_err() {
                return;
            }
        }
        let _ = sender.send(Message::Closed);
    });
}

/// Our own child, by its handle.
fn stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The emulator of machines with this processor.
///
/// # Errors
/// When it is not installed; the text names the package.
pub fn find(arch: Arch) -> Result<PathBuf> {
    let (program, debian, fedora) = match arch {
        Arch::X86_64 => (
            "qemu-system-x86_64",
            "qemu-system-x86",
            "qemu-system-x86-core",
        ),
        Arch::Arm64 => (
            "qemu-system-aarch64",
            "qemu-system-arm",
            "qemu-system-aarch64-core",
        ),
    };
    super::host_programs::find(program).with_context(|| {
        format!("{program} is not installed (Debian: package {debian}, Fedora: {fedora})")
    })
}
