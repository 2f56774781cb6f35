//! Network namespaces that a test makes and removes: two hosts, with or without a router between them.
//!
//! ```text
//! pair      a eth0 10.99.1.1 ───────────────────────────── 10.99.1.2 eth0 b     fd99:1::1, fd99:1::2
//! routed    a eth0 10.99.1.1 ─ 10.99.1.254 r 10.99.2.254 ─ 10.99.2.2 eth0 b     fd99:1::1, fd99:2::2
//! relayed   as routed, with a process that carries each frame between r and b
//! ```
//! The root namespace's configuration is never touched.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crate::peer::Peer;
use crate::relay::Relay;

/// Two hosts, and perhaps a router. Dropped, it takes the namespaces along; also after a panic.
pub struct World {
    pub a: Host,
    pub b: Host,
    router: Option<Host>,
    relay: Option<(Mutex<Relay>, Host)>,
}

/// One network namespace, with its addresses.
pub struct Host {
    /// As `ip netns` and `--netns` know it.
    pub name: String,
    pub v4: &'static str,
    pub v6: &'static str,
}

impl World {
    /// Two hosts on one wire, without any other route.
    pub fn pair() -> Self {
        let [a, b] = [
            Host::new("a", "10.99.1.1", "fd99:1::1"),
            Host::new("b", "10.99.1.2", "fd99:1::2"),
        ];
        wire(&a, "eth0", &b, "eth0");
        a.up("eth0", "10.99.1.1/24", "fd99:1::1/64");
        b.up("eth0", "10.99.1.2/24", "fd99:1::2/64");
        Self {
            a,
            b,
            router: None,
            relay: None,
        }
    }

    /// Two hosts with a router in the middle, where packets can get lost without either host's doing.
    pub fn routed() -> Self {
        Self::far(false)
    }

    /// As [`World::routed`], and [`World::path`] sets how long, slow and lossy the path is.
    pub fn relayed() -> Self {
        Self::far(true)
    }

    fn far(relayed: bool) -> Self {
        let [a, b] = [
            Host::new("a", "10.99.1.1", "fd99:1::1"),
            Host::new("b", "10.99.2.2", "fd99:2::2"),
        ];
        let router = Host::new("r", "10.99.1.254", "fd99:1::fe");
        wire(&a, "eth0", &router, "toa");
        let relay = relayed.then(|| relay(&router, "tob", &b, "eth0"));
        if relay.is_none() {
            wire(&b, "eth0", &router, "tob");
        }
        a.up("eth0", "10.99.1.1/24", "fd99:1::1/64");
        b.up("eth0", "10.99.2.2/24", "fd99:2::2/64");
        router.up("toa", "10.99.1.254/24", "fd99:1::fe/64");
        router.up("tob", "10.99.2.254/24", "fd99:2::fe/64");
        router.sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        a.ip("route add default via 10.99.1.254");
        a.ip("-6 route add default via fd99:1::fe");
        b.ip("route add default via 10.99.2.254");
        b.ip("-6 route add default via fd99:2::fe");
        Self {
            a,
            b,
            router: Some(router),
            relay,
        }
    }

    /// Sets one direction of the path of [`World::relayed`] anew: `there delay_us=20000 loss=100` (of 10000).
    pub fn path(&self, line: &str) {
        let (relay, _) = self.relay.as_ref().expect("World::relayed");
        relay
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .set(line);
    }

    /// The host in the middle of [`World::routed`].
    pub fn router(&self) -> &Host {
        self.router.as_ref().expect("World::routed")
    }

    /// Sets the rules that the router applies to what it forwards; they replace the earlier ones.
    /// `ip saddr 10.99.1.1 drop` makes a black hole of one direction; none: everything passes.
    pub fn on_the_path(&self, rules: &[&str]) {
        self.router().filter("forward", rules);
    }
}

impl Host {
    pub(crate) fn new(role: &str, v4: &'static str, v6: &'static str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let name = format!(
            "sx-{}-{}{role}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        run("ip", &["netns", "add", &name], "");
        let host = Self { name, v4, v6 };
        // No duplicate detection: link-local addresses work at once, and so does neighbour discovery.
        // And sockets of processes that are gone give up soon: they outlive even their namespace's name.
        host.sh("cd /proc/sys/net; echo 0 > ipv6/conf/default/accept_dad; echo 3 > ipv4/tcp_orphan_retries");
        host.ip("link set lo up");
        host
    }

    pub(crate) fn up(&self, interface: &str, v4: &str, v6: &str) {
        self.ip(&format!("addr add {v4} dev {interface}"));
        self.ip(&format!("addr add {v6} dev {interface} nodad"));
        self.ip(&format!("link set {interface} up"));
        // IPv6 starts on a link up to a second after it came up. Until then questions to the neighbour are
        // lost: ask often, so that this does not cost the first SYN.
        self.sh(&format!(
            "cd /proc/sys/net/ipv6/neigh/{interface}; echo 20 > retrans_time_ms; echo 200 > mcast_solicit"
        ));
    }

    /// Runs `ip` in this namespace.
    pub fn ip(&self, arguments: &str) {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend(arguments.split_whitespace());
        run("ip", &all, "");
    }

    /// Runs a line of shell in this namespace; its output is returned.
    pub fn sh(&self, line: &str) -> String {
        run("ip", &["netns", "exec", &self.name, "sh", "-c", line], "")
    }

    /// Sets the rules of one nftables hook (`output`, `input`, `forward`); they replace the earlier ones.
    pub fn filter(&self, hook: &str, rules: &[&str]) {
        let script = format!(
            "table inet sx {{}}\ndelete table inet sx\ntable inet sx {{ chain c {{ type filter hook {hook} priority 0; policy accept;\n{}\n}}\n}}\n",
            rules.join("\n")
        );
        self.nft(&script);
    }

    /// Gives a script to nft in this namespace.
    pub fn nft(&self, script: &str) {
        run(
            "ip",
            &["netns", "exec", &self.name, "nft", "-f", "-"],
            script,
        );
    }

    /// The namespace's inode number, as the contract's `netns`.
    pub fn netns(&self) -> u64 {
        fs::metadata(self.path())
            .expect("the namespace's file")
            .ino()
    }

    /// The namespace's file.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Starts a process in this namespace.
    pub fn peer(&self, comm: &str) -> Peer {
        Peer::start(&self.path(), comm)
    }

    /// One counter of /proc/net/snmp of this namespace, such as ("Tcp", "RetransSegs").
    pub fn snmp(&self, protocol: &str, counter: &str) -> u64 {
        let snmp = self.sh("cat /proc/net/snmp");
        let mut lines = snmp
            .lines()
            .filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
        let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
        let found = names
            .split(' ')
            .zip(values.split(' '))
            .find(|(name, _)| *name == counter);
        found.expect("the counter").1.parse().expect("a number")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .stderr(Stdio::null())
            .status();
    }
}

pub(crate) fn wire(one: &Host, one_end: &str, other: &Host, other_end: &str) {
    one.ip(&format!(
        "link add {one_end} type veth peer name {other_end} netns {}",
        other.name
    ));
}

/// A host without addresses between two others, and the process on it that carries their frames.
pub(crate) fn relay(
    one: &Host,
    one_end: &str,
    other: &Host,
    other_end: &str,
) -> (Mutex<Relay>, Host) {
    let middle = Host::new("m", "", "");
    middle.sh("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
    for (host, end, here) in [(one, one_end, "one"), (other, other_end, "other")] {
        wire(host, end, &middle, here);
        middle.ip(&format!("link set {here} up"));
    }
    (Mutex::new(Relay::start(&middle, "one", "other")), middle)
}

/// Removes namespaces of earlier test processes that were killed before they could.
fn sweep() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name
            .strip_prefix("sx-")
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if maker.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            let _ = Command::new("ip")
                .args(["netns", "del", &name])
                .stderr(Stdio::null())
                .status();
        }
    }
}

fn run(program: &str, arguments: &[&str], stdin: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let mut pipe = child.stdin.take().expect("piped");
    pipe.write_all(stdin.as_bytes()).expect("the command reads");
    drop(pipe);
    let output = child.wait_with_output().expect("the command ends");
    assert!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
