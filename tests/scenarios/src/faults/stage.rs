//! Where a scenario is played: a recorder in the namespace of host `a`, as an operator there would start it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::peer::Peer;
use crate::program::sendtrace;
use crate::recording::{Recorder, replay};
use crate::world::{Host, World};

/// How often the counters of the host are noted: often, because the scenarios are short.
const SAMPLES: Duration = Duration::from_secs(1);

/// One scenario's place on disk.
pub struct Stage {
    /// The trace that is recorded.
    pub trace: PathBuf,
}

/// What a scenario ends with that this host cannot play: why.
pub struct Impossible(pub String);

/// A running recorder.
pub struct Recording {
    recorder: Recorder,
    trace: PathBuf,
}

impl Stage {
    /// Ends a scenario that this host cannot play, which is no failure.
    pub fn impossible(&self, why: &str) -> ! {
        std::panic::panic_any(Impossible(why.to_owned()))
    }

    /// Starts `sendtrace record` inside of this host's namespace, for what happens there.
    pub fn record(&self, host: &Host) -> Recording {
        self.record_with(host, &[])
    }

    /// The same with more arguments.
    pub fn record_with(&self, host: &Host, arguments: &[&str]) -> Recording {
        // The trace tells how it was made: without paths of this machine.
        let mut command = sendtrace();
        command.arg0("sendtrace");
        let folder = self
            .trace
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        command.current_dir(folder.unwrap_or(Path::new(".")));
        let name = self.trace.file_name().expect("a file");
        command.arg("record").arg("--write").arg(name);
        command
            .args(["--samples", "1s", "--netns", &host.name])
            .args(arguments);
        let printed = self.trace.with_extension("printed");
        let recorder = Recorder::inside(host, &printed, command);
        let _ = std::fs::remove_file(&printed);
        Recording {
            recorder,
            trace: self.trace.clone(),
        }
    }
}

impl Recording {
    /// Lets two samples pass, so that what happened last is in one of them, and ends the recording.
    pub fn end(self) {
        thread::sleep(SAMPLES * 2);
        let said = self.recorder.stop();
        assert!(said.status.success(), "record: {}", said.stderr);
        let played = replay(&[self.trace.as_os_str(), "--format".as_ref(), "json".as_ref()]);
        assert!(played.status.success(), "replay: {}", played.stderr);
    }

    /// Time in which nothing is done, because the fault is that nothing happens for so long.
    pub fn pass(&self, ms: u64) {
        thread::sleep(Duration::from_millis(ms));
    }
}

/// The version of IP that a scenario is played over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ip {
    V4,
    V6,
}

impl Ip {
    /// `tcp4`, `udp6`.
    pub fn kind(self, proto: &str) -> String {
        format!("{proto}{}", if self == Self::V4 { 4 } else { 6 })
    }

    /// A port of host `b`.
    pub fn b(self, port: u16) -> String {
        match self {
            Self::V4 => format!("10.99.2.2:{port}"),
            Self::V6 => format!("[fd99:2::2]:{port}"),
        }
    }
}

/// `tcp4` or `tcp6`, as the address needs it.
fn tcp(address: &str) -> &'static str {
    if address.starts_with('[') {
        "tcp6"
    } else {
        "tcp4"
    }
}

/// Two hosts with a path of 20 ms there and back between them, on which each segment is a packet of its own.
pub fn far_apart() -> World {
    let world = World::relayed();
    for host in [&world.a, &world.b] {
        host.ip("link set eth0 gso_max_segs 1");
    }
    for direction in ["there", "back"] {
        world.path(&format!("{direction} delay_us=10000"));
    }
    world
}

/// A server on host `b` that serves every client in this manner, at each of these addresses.
pub fn server(world: &World, comm: &str, manner: &str, at: &[&str]) -> Peer {
    let mut server = world.b.peer(comm);
    for (number, at) in at.iter().enumerate() {
        server.ok(&format!("open l{number} {}", tcp(at)));
        server.ok(&format!("bind l{number} {at}"));
        server.ok(&format!("listen l{number}"));
        server.ok(&format!("serve l{number} {manner}"));
    }
    server
}

/// A client on host `a` with a socket `c0`, `c1`… connected to each of these addresses.
pub fn client(world: &World, comm: &str, to: &[&str]) -> Peer {
    let mut client = world.a.peer(comm);
    for (number, to) in to.iter().enumerate() {
        client.ok(&format!("open c{number} {}", tcp(to)));
        client.ok(&format!("connect c{number} {to}"));
    }
    client
}
