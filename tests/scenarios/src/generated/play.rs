//! A scenario while it is played: processes, the recorder, what disturbs, and the truth so far.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::dice::Dice;
use super::place::{Place, SERVERS};
use super::truth::Truth;
use super::{Family, Noise, Plan};
use crate::peer::{Peer, Reply};
use crate::program::sendtrace;
use crate::recording::Recorder;
use crate::{Cgroup, Host};

/// Shortest recording.
const LEAST: Duration = Duration::from_secs(8);
/// Longest wait for an answer of a process.
const PATIENCE: Duration = Duration::from_secs(40);

/// What processes are called.
const NAMES: [&str; 24] = [
    "orders",
    "billing",
    "nginx",
    "java",
    "postgres",
    "etcd",
    "kubelet",
    "python3",
    "node",
    "redis",
    "php-fpm",
    "celery",
    "fluent-bit",
    "vector",
    "consul",
    "haproxy",
    "envoy",
    "rsync",
    "sshd",
    "chronyd",
    "mqtt-bridge",
    "importer",
    "prometheus",
    "collector",
];
/// Where servers listen.
const PORTS: [u16; 16] = [
    22, 80, 443, 873, 1883, 2379, 3306, 5432, 5672, 6379, 6443, 8080, 8443, 9092, 9200, 27017,
];

/// A process of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who(usize);

pub struct Play {
    pub dice: Dice,
    pub place: Place,
    pub plan: Plan,
    pub truth: Truth,
    // Before the cgroup, which is removed once it is empty.
    peers: Vec<Peer>,
    cgroup: Option<Cgroup>,
    trace: PathBuf,
    recorder: Option<(Recorder, Instant)>,
    noise: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
    ports: Vec<u16>,
}

impl Play {
    pub fn new(plan: &Plan, trace: &Path) -> Self {
        Self {
            dice: plan.dice.clone(),
            place: Place::new(&plan.ground),
            plan: plan.clone(),
            truth: plan.kind.truth(),
            peers: Vec::new(),
            cgroup: None,
            trace: trace.to_owned(),
            recorder: None,
            noise: None,
            ports: Vec::new(),
        }
    }

    fn process(&mut self, host: fn(&Place) -> &Host, contained: bool) -> Who {
        let name = self.dice.pick(&NAMES).to_owned();
        let path = host(&self.place).path();
        self.peers.push(match contained {
            true => Peer::contained(&path, &name),
            false => Peer::start(&path, &name),
        });
        Who(self.peers.len() - 1)
    }

    /// An application of the host, which does not suffer.
    pub fn bystander(&mut self) -> Who {
        self.process(Place::app, self.place.container.is_some())
    }

    /// An application of the host, which suffers.
    pub fn client(&mut self) -> Who {
        let who = self.bystander();
        let pid = self.pid(who);
        self.truth.owners.push(pid);
        who
    }

    /// One application, or a few, which suffer.
    pub fn clients(&mut self) -> Vec<Who> {
        (0..self.dice.between(1, 4).saturating_sub(1).max(1))
            .map(|_| self.client())
            .collect()
    }

    /// A client of a proxy on this host, before which this server is; both suffer. The client's connection is `c`.
    pub fn proxied(&mut self, upstream: &str) -> Who {
        let (proxy, port) = (self.client(), self.port());
        let loopback = if self.v6() { "::1" } else { "127.0.0.1" };
        self.truth.remotes.push(loopback.to_owned());
        let at = if self.v6() {
            format!("[{loopback}]:{port}")
        } else {
            format!("{loopback}:{port}")
        };
        self.listen(proxy, &at, "");
        self.ok(proxy, &format!("proxy l {upstream}"));
        let who = self.client();
        let kind = if self.v6() { "tcp6" } else { "tcp4" };
        self.ok(who, &format!("open c {kind}"));
        self.ok(who, &format!("connect c {at}"));
        who
    }

    /// Asks all of them the same at once, and waits for all.
    pub fn all(&mut self, who: &[Who], command: &str) -> Vec<Reply> {
        for one in who {
            self.tell(*one, command);
        }
        who.iter().map(|one| self.reply(*one)).collect()
    }

    /// A process of the far host.
    pub fn far(&mut self) -> Who {
        self.process(|place| &place.far, false)
    }

    pub fn pid(&self, who: Who) -> u32 {
        self.peers[who.0].id.pid
    }

    /// Kills a process at once.
    pub fn kill(&mut self, who: Who) {
        self.peers[who.0].kill();
    }

    /// Tells a process what to do, and does not wait.
    pub fn tell(&mut self, who: Who, command: &str) {
        self.peers[who.0].tell(command);
    }

    pub fn reply(&mut self, who: Who) -> Reply {
        self.peers[who.0].reply(PATIENCE)
    }

    pub fn ask(&mut self, who: Who, command: &str) -> Reply {
        self.tell(who, command);
        self.reply(who)
    }

    /// What must succeed.
    pub fn ok(&mut self, who: Who, command: &str) {
        self.tell(who, command);
        let reply = self.reply(who);
        assert!(reply.is_ok(), "{command}: {reply:?}");
    }

    /// What must fail, however.
    pub fn fails(&mut self, who: Who, command: &str) -> i32 {
        let reply = self.ask(who, command);
        let errno = reply.errno();
        errno.unwrap_or_else(|| panic!("{command} should fail: {reply:?}"))
    }

    /// A port that nothing of this scenario uses yet.
    pub fn port(&mut self) -> u16 {
        loop {
            let port = match self.dice.percent(60) {
                true => PORTS[self.dice.between(0, PORTS.len() as u64 - 1) as usize],
                false => self.dice.between(1025, 19_999) as u16,
            };
            if !self.ports.contains(&port) {
                self.ports.push(port);
                return port;
            }
        }
    }

    /// An address of the far host as the applications write it.
    pub fn address(&self, server: u64, port: u16) -> String {
        let address = self.plan.ground.server(server, self.v6());
        match self.plan.family {
            Family::V4 => format!("{address}:{port}"),
            Family::V6 => format!("[{address}]:{port}"),
            Family::Mapped => format!("[::ffff:{address}]:{port}"),
        }
    }

    /// Whether the packets are IPv6's.
    pub fn v6(&self) -> bool {
        self.plan.family == Family::V6
    }

    /// `-6` for ip(8), where it is needed.
    pub fn six(&self) -> &'static str {
        if self.v6() { "-6" } else { "-4" }
    }

    /// `tcp4` or `tcp6`: the socket of an application.
    pub fn tcp(&self) -> &'static str {
        if self.plan.family == Family::V4 {
            "tcp4"
        } else {
            "tcp6"
        }
    }

    pub fn udp(&self) -> &'static str {
        if self.plan.family == Family::V4 {
            "udp4"
        } else {
            "udp6"
        }
    }

    /// A port of the far host where nobody listens; it will be out of reach.
    pub fn nobody(&mut self) -> String {
        let (server, port) = (self.dice.between(0, SERVERS - 1), self.port());
        self.truth
            .remotes
            .push(self.plan.ground.server(server, self.v6()));
        self.address(server, port)
    }

    /// A server of the far host that will be out of reach.
    pub fn server(&mut self, manner: &str) -> String {
        self.server_of(manner).0
    }

    /// The same, with the process and its listener's name `l`.
    pub fn server_of(&mut self, manner: &str) -> (String, Who) {
        let to = self.nobody();
        let server = self.far();
        self.listen(server, &to, manner);
        (to, server)
    }

    /// A server that stays well.
    pub fn well(&mut self, manner: &str) -> String {
        let to = self.server(manner);
        self.truth.remotes.pop();
        to
    }

    /// Lets a process of the far host listen there.
    pub fn listen(&mut self, server: Who, at: &str, manner: &str) {
        let at = at
            .replace("[::ffff:", "")
            .replace("]:", if self.v6() { "]:" } else { ":" });
        self.ok(
            server,
            &format!("open l {}", if self.v6() { "tcp6" } else { "tcp4" }),
        );
        self.ok(
            server,
            &format!("option l {} {} 1", libc::SOL_SOCKET, libc::SO_REUSEADDR),
        );
        self.ok(server, &format!("bind l {at}"));
        self.ok(server, "listen l");
        if !manner.is_empty() {
            self.ok(server, &format!("serve l {manner}"));
        }
    }

    /// Where datagrams of the far host arrive, and nobody answers.
    pub fn sink(&mut self) -> String {
        let to = self.nobody();
        let at = to
            .replace("[::ffff:", "")
            .replace("]:", if self.v6() { "]:" } else { ":" });
        let sink = self.far();
        self.ok(
            sink,
            &format!("open u {}", if self.v6() { "udp6" } else { "udp4" }),
        );
        self.ok(sink, &format!("bind u {at}"));
        to
    }

    /// Opens and connects, which must succeed.
    pub fn connect(&mut self, who: Who, socket: &str, to: &str) {
        let kind = self.tcp();
        self.ok(who, &format!("open {socket} {kind}"));
        self.ok(who, &format!("connect {socket} {to}"));
    }

    /// A client that has a connection `c`, and has talked over it.
    pub fn connected(&mut self, to: &str) -> Who {
        let who = self.client();
        self.connect(who, "c", to);
        who
    }

    /// Connects that must all fail within so many SYNs, each closed afterwards; between them a pause that varies.
    pub fn knock(&mut self, who: Who, to: &str, count: u64, syn_retries: u64) {
        self.knock_all(&[who], to, count, syn_retries);
    }

    /// The same from several at once.
    pub fn knock_all(&mut self, who: &[Who], to: &str, count: u64, syn_retries: u64) {
        let kind = self.tcp();
        for _ in 0..count {
            self.all(who, &format!("open k {kind}"));
            self.all(who, &format!("syn-retries k {syn_retries}"));
            let replies = self.all(who, &format!("connect k {to}"));
            assert!(
                replies.iter().all(|reply| reply.errno().is_some()),
                "{replies:?}"
            );
            self.all(who, "close k");
            let pause = self.dice.between(200, 1300);
            self.pass(pause);
        }
    }

    /// A line of shell where the applications are.
    pub fn sh(&self, line: &str) -> String {
        self.place.app().sh(line)
    }

    /// A rule that meets packets to this address: `ip daddr 10.1.2.3 tcp dport 80`.
    pub fn to(&self, proto: &str, to: &str) -> String {
        self.rule("d", proto, to)
    }

    /// A rule that meets packets from this address.
    pub fn from(&self, proto: &str, to: &str) -> String {
        self.rule("s", proto, to)
    }

    fn rule(&self, end: &str, proto: &str, to: &str) -> String {
        let (address, port) = to.rsplit_once(':').expect("a port");
        let address = address.trim_matches(['[', ']']).replace("::ffff:", "");
        let ip = if self.v6() { "ip6" } else { "ip" };
        format!("{ip} {end}addr {address} {proto} {end}port {port}")
    }

    pub fn pass(&self, ms: u64) {
        thread::sleep(Duration::from_millis(ms));
    }

    /// A processes' cgroup, with this process in it; `false`: the host has no cgroup2.
    pub fn cgroup(&mut self, who: Who) -> &Cgroup {
        let cgroup = Cgroup::new()
            .unwrap_or_else(|| std::panic::panic_any(super::Impossible("needs cgroup2".into())));
        cgroup.add(self.pid(who));
        self.cgroup.insert(cgroup)
    }

    /// Starts the recorder on the host with default options, asked for the namespace of the applications only; then
    /// what disturbs.
    pub fn record(&mut self) {
        let printed = self.trace.with_extension("printed");
        let mut command = sendtrace();
        command.arg("record").arg("--write").arg(&self.trace);
        command.args(["--netns", &self.place.app().name]);
        let recorder = Recorder::inside(&self.place.host, &printed, command);
        self.recorder = Some((recorder, Instant::now()));
        let _ = std::fs::remove_file(printed);
        for noise in self.plan.noise.clone() {
            self.disturb(noise);
        }
        self.truth.from = now();
    }

    /// The time before the fault.
    pub fn calm(&mut self) {
        let ms = self.dice.between(100, 2000);
        self.pass(ms);
        self.truth.from = now();
    }

    /// The time in which the fault is there.
    pub fn fault(&mut self, least_ms: u64) {
        let ms = least_ms + self.dice.between(0, 2000);
        self.truth.from = now();
        self.pass(ms);
    }

    /// What has nothing to do with the fault.
    fn disturb(&mut self, noise: Noise) {
        match noise {
            Noise::Links => {
                let (stop, host) = (
                    Arc::new(AtomicBool::new(false)),
                    self.place.host.name.clone(),
                );
                let told = Arc::clone(&stop);
                let gap = Duration::from_millis(self.dice.between(300, 1500));
                let thread = thread::spawn(move || {
                    while !told.load(Ordering::Relaxed) {
                        for words in [
                            "link add veth9a7 type veth peer name veth9a8",
                            "link set veth9a7 up",
                            "link set veth9a8 up",
                            "link set veth9a8 down",
                            "link del veth9a7",
                        ] {
                            let _ = std::process::Command::new("ip")
                                .args(["-n", &host])
                                .args(words.split(' '))
                                .stderr(std::process::Stdio::null())
                                .status();
                            thread::sleep(gap / 5);
                        }
                    }
                });
                self.noise = Some((stop, thread));
            }
            Noise::Download => {
                let from = self.well("source");
                let who = self.bystander();
                self.connect(who, "c", &from);
                let gap = self.dice.between(5, 40);
                self.tell(who, &format!("sip c 100000 20000 {gap}"));
            }
            Noise::Refusals => {
                let (closed, open) = (self.nobody(), self.well("echo"));
                self.truth.remotes.pop();
                let who = self.bystander();
                let pid = self.pid(who);
                self.truth.refused.push(pid);
                let kind = self.tcp();
                for _ in 0..self.dice.between(1, 2) {
                    self.ok(who, &format!("open k {kind}"));
                    self.fails(who, &format!("connect k {closed}"));
                    self.ok(who, "close k");
                }
                self.connect(who, "c", &open);
                self.tell(who, "ask c 1000 200 100");
            }
            Noise::Requests => {
                let to = self.well("echo");
                let who = self.bystander();
                self.connect(who, "c", &to);
                let (bytes, gap) = (self.dice.between(50, 9000), self.dice.between(20, 200));
                self.tell(who, &format!("ask c 1000 {bytes} {gap}"));
            }
        }
    }

    /// Ends the recording, and takes everything down.
    pub fn end(mut self) -> Truth {
        if self.truth.until == 0.0 {
            self.truth.until = now();
        }
        let (recorder, since) = self.recorder.take().expect("a kind records");
        thread::sleep(
            LEAST
                .saturating_sub(since.elapsed())
                .max(Duration::from_millis(300)),
        );
        let said = recorder.stop();
        assert!(said.status.success(), "record: {}", said.stderr);
        std::mem::take(&mut self.truth)
    }

    /// The fault is over, and something else follows.
    pub fn over(&mut self) {
        self.truth.until = now();
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.noise.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
    }
}

fn now() -> f64 {
    jiff::Timestamp::now().as_nanosecond() as f64 / 1e9
}
