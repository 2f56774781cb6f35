//! Where the traffic runs: two network namespaces of this process, joined by a wire.
//!
//! ```text
//! a  eth0 10.98.1.1 ───── 10.98.1.2 eth0  b
//! ```
//! The namespaces have no name: they end with the process, however it ends.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};

/// Address of the near end.
pub const NEAR: &str = "10.98.1.1";
/// Address of the far end.
pub const FAR: &str = "10.98.1.2";
/// Packets to this port never arrive: dropped when they are received, with no socket in sight.
pub const UNHEARD_PORT: u16 = 7001;
/// Packets to this port never leave: dropped with their socket at hand.
pub const UNSENT_PORT: u16 = 7002;
/// A SYN to this port is never answered.
pub const SILENT_PORT: u16 = 7003;
/// Data to this port gets lost at times.
pub const LOSSY_PORT: u16 = 7004;
/// As many streams go to this port, it loses less.
pub const STREAMS_PORT: u16 = 7005;

/// Handshakes pass, one data packet of twelve (of twenty) does not.
const NEAR_RULES: &str = "
table inet bench {
  chain in { type filter hook input priority 0; policy accept; udp dport 7001 drop; tcp dport 7003 drop; }
  chain out { type filter hook output priority 0; policy accept; udp dport 7002 drop; }
}";
const FAR_RULES: &str = "
table inet bench {
  chain in { type filter hook input priority 0; policy accept;
    tcp dport 7004 meta length > 200 numgen random mod 12 0 drop;
    tcp dport 7005 meta length > 200 numgen random mod 20 0 drop; }
}";

/// The two namespaces. The thread that made them is in the near one.
pub struct Place {
    near: File,
    far: File,
}

impl Place {
    /// Makes them and moves the calling thread into the near one.
    pub fn new() -> Result<Self> {
        let far = namespace()?;
        let near = namespace()?;
        let place = Self { near, far };
        let far_path = format!("/proc/{}/fd/{}", std::process::id(), place.far.as_raw_fd());
        run(
            "ip",
            &[
                "link", "add", "eth0", "type", "veth", "peer", "name", "peer0",
            ],
            "",
        )?;
        run(
            "ip",
            &["link", "set", "peer0", "netns", &far_path, "name", "eth0"],
            "",
        )?;
        set_up(NEAR, NEAR_RULES)?;
        // Quick retransmits where the kernel has the setting (6.11): more of them in the same time.
        let _ = std::fs::write("/proc/sys/net/ipv4/tcp_rto_min_us", "5000");
        place.in_far(|| set_up(FAR, FAR_RULES))?;
        Ok(place)
    }

    /// Runs something in the far namespace: sockets stay where they were made.
    pub fn in_far<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        enter(&self.far)?;
        let result = work();
        enter(&self.near)?;
        result
    }
}

fn namespace() -> Result<File> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    File::open("/proc/thread-self/ns/net").context("cannot open the network namespace")
}

fn enter(namespace: &File) -> Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWNET).context("cannot enter the network namespace")
}

fn set_up(address: &str, rules: &str) -> Result<()> {
    run("ip", &["link", "set", "lo", "up"], "")?;
    run(
        "ip",
        &["addr", "add", &format!("{address}/24"), "dev", "eth0"],
        "",
    )?;
    run("ip", &["link", "set", "eth0", "up"], "")?;
    run("nft", &["-f", "-"], rules)
}

/// Runs a program in the namespace of the calling thread.
fn run(program: &str, arguments: &[&str], stdin: &str) -> Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}: install iproute2 and nftables"))?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(stdin.as_bytes())
            .with_context(|| format!("{program} does not read"))?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
