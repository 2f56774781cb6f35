//! Drops counted twice: by the kernel where it drops, and by the events. The numbers must be the same.

use std::fs;

use scenarios::{
    Counters, Host, Outcome, Peer, Run, Tracer, World, assert_flow, assert_owner, check_line,
    number, requires, text,
};
use serde_json::Value;

/// What the kernel counted, and which events are the same packets.
struct Counted {
    check: &'static str,
    kernel: u64,
    /// Of these, packets that were lost when their queue was removed, for which no reason is given.
    purged: u64,
    /// At least so many, or nothing was shown.
    least: u64,
    sender: Peer,
    bytes: u64,
    remote: String,
    /// In the name of the reason, where this kernel has reasons.
    reason: &'static str,
    direction: &'static str,
}

#[test]
#[ignore = "needs root"]
fn root_drops_are_counted_as_the_kernel_counts_them() {
    if !requires(&["nft", "tc"]) {
        return;
    }
    let world = World::pair();
    // The kernel's own IPv6 (router solicitations, group reports) would be counted in the same queues.
    for host in [&world.a, &world.b] {
        host.sh("echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6");
    }
    // And so would its questions whether the neighbour is still there, after some seconds.
    let neighbour = world.b.sh("cat /sys/class/net/eth0/address");
    let neighbour = neighbour.trim();
    world.a.ip(&format!(
        "neigh replace 10.99.1.2 lladdr {neighbour} dev eth0 nud permanent"
    ));
    let tracer = Tracer::start(&["--event", "drop,device"]);
    let stories = [
        queue(&world.a, "tbf queue full", 9501, "3000", None),
        queue(&world.a, "pfifo limit", 9502, "100000", Some("3")),
        firewall(&world.a),
        device(&world),
        receive_buffer(&world),
    ];
    let run = tracer.stop();
    let has_reasons = btf_names("SKB_DROP_REASON_NOT_SPECIFIED");
    let names_receiver = btf_names("rx_sk");
    let mut failed = Vec::new();
    for story in &stories {
        if story.direction == "received" && !names_receiver {
            let (outcome, detail) = story.by_reason(&run, has_reasons);
            if outcome == Outcome::Fail {
                failed.push(story.check);
            }
            check_line("drop", story.check, outcome, &detail);
            continue;
        }
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            story.assert_told(&run, &world, has_reasons);
        }));
        let (outcome, detail) = match told {
            Ok(()) => (Outcome::Pass, format!("{} of {0}", story.kernel)),
            Err(panic) => {
                failed.push(story.check);
                let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                (Outcome::Fail, said)
            }
        };
        check_line("drop", story.check, outcome, &detail);
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
    run.assert_complete();
}

/// Datagrams into a queue that lets a byte pass each second. What is still queued when the queue is removed is
/// lost as well, though no counter says so.
fn queue(
    host: &Host,
    check: &'static str,
    port: u16,
    limit: &str,
    packets: Option<&str>,
) -> Counted {
    host.sh(&format!(
        "tc qdisc add dev eth0 root handle 1: tbf rate 8bit burst 1600 limit {limit}"
    ));
    if let Some(packets) = packets {
        host.sh(&format!(
            "tc qdisc add dev eth0 parent 1:1 handle 2: pfifo limit {packets}"
        ));
    }
    let mut sender = sender(host, "queue-sender");
    let remote = format!("10.99.1.2:{port}");
    sender.ok(&format!("flood u 40 1100 {remote}"));
    let shown = host.sh("tc -s qdisc show dev eth0 root");
    let queued = after(shown.split("backlog ").nth(1).expect("a backlog"), "b ");
    let kernel = after(&shown, "dropped ") + queued;
    host.sh("tc qdisc del dev eth0 root");
    Counted {
        check,
        kernel,
        purged: queued,
        least: 20,
        sender,
        bytes: 1100 + 8 + 20 + 14,
        remote,
        reason: "QDISC",
        direction: "sent",
    }
}

fn firewall(host: &Host) -> Counted {
    host.filter("output", &["udp dport 9503 counter drop"]);
    let mut sender = sender(host, "fw-sender");
    let reply = sender.ask("flood u 25 300 10.99.1.2:9503");
    assert_eq!(reply.number("failed"), 25, "EPERM");
    let rules = host.sh("nft list table inet sx");
    let counted = after(&rules, "packets ");
    host.filter("output", &[]);
    Counted {
        check: "netfilter drop",
        kernel: counted,
        purged: 0,
        least: 25,
        sender,
        bytes: 300 + 8 + 20,
        remote: "10.99.1.2:9503".to_owned(),
        reason: "NETFILTER_DROP",
        direction: "sent",
    }
}

/// The other end of the veth takes no packet of this size: `veth_xmit` frees it and says NET_XMIT_DROP.
fn device(world: &World) -> Counted {
    world.b.ip("link set eth0 mtu 1000");
    let before = tx_dropped(&world.a);
    let mut sender = sender(&world.a, "mtu-sender");
    sender.ok("flood u 30 1300 10.99.1.2:9504");
    let kernel = tx_dropped(&world.a) - before;
    world.b.ip("link set eth0 mtu 1500");
    Counted {
        check: DEVICE,
        kernel,
        purged: 0,
        least: 30,
        sender,
        bytes: 1300 + 8 + 20 + 14,
        remote: "10.99.1.2:9504".to_owned(),
        reason: "",
        direction: "sent",
    }
}

const DEVICE: &str = "device refuses (veth MTU)";

fn receive_buffer(world: &World) -> Counted {
    let mut receiver = world.b.peer("rcvbuf-full");
    receiver.ok("open u udp4");
    receiver.ok("rcvbuf u 4096");
    receiver.ok("bind u 10.99.1.2:9505");
    // Makes the owner known in the kernel; it also reads nothing.
    receiver.ok("sendto u 10 10.99.1.1:9");
    let before = Counters::of(&receiver);
    let mut sender = sender(&world.a, "rcvbuf-sender");
    sender.ok("flood u 40 500 10.99.1.2:9505");
    let kernel = Counters::of(&receiver)
        .since(&before)
        .get("UdpRcvbufErrors");
    Counted {
        check: "UDP receive buffer full",
        kernel,
        purged: 0,
        least: 10,
        remote: sender.ok("address u"),
        sender: receiver,
        bytes: 0,
        reason: "RCVBUFF",
        direction: "received",
    }
}

/// A process that has sent before, so that the BPF programs know it.
fn sender(host: &Host, name: &str) -> Peer {
    let mut peer = host.peer(name);
    peer.ok("open u udp4");
    peer.ok(&format!("bind u {}:0", host.v4));
    peer.ok("sendto u 10 10.99.1.2:9");
    peer
}

impl Counted {
    /// Before 6.11 the tracepoint does not name the receiver: its drops are counted by their reason alone.
    fn by_reason(&self, run: &Run, has_reasons: bool) -> (Outcome, String) {
        if !has_reasons {
            let why = "this kernel's kfree_skb tells neither the receiver nor a reason";
            return (Outcome::Unsupported, why.to_owned());
        }
        let ours: u64 = run
            .counted
            .iter()
            .filter(|line| {
                line["event"] == "drop"
                    && line["kind"] == "no_local_socket"
                    && line["code"]
                        .as_str()
                        .is_some_and(|code| code.contains(self.reason))
            })
            .filter_map(|line| line["count"].as_u64())
            .sum();
        let outcome = if ours == self.kernel && ours >= self.least {
            Outcome::Pass
        } else {
            Outcome::Fail
        };
        let detail = format!(
            "{ours} of {}, counted by reason: this kernel's kfree_skb does not name the receiver",
            self.kernel
        );
        (outcome, detail)
    }

    fn assert_told(&self, run: &Run, world: &World, has_reasons: bool) {
        assert!(
            self.kernel >= self.least,
            "the kernel dropped {}",
            self.kernel
        );
        let events = self.events(run, "drop");
        self.assert_number(&events);
        let host = match self.direction {
            "sent" => &world.a,
            _ => &world.b,
        };
        let mut unnamed = 0;
        for event in events {
            assert_owner(event, &self.sender.id, &["at_send", "seeded"]);
            assert_flow(event, "udp", "", &self.remote, host);
            assert_eq!(text(event, "drop.direction"), self.direction, "{event}");
            if self.bytes != 0 {
                assert_eq!(number(event, "drop.bytes") as u64, self.bytes, "{event}");
            }
            // A place in the code, by name.
            assert!(text(event, "drop.location").contains('+'), "{event}");
            match &event["drop"]["reason"] {
                Value::String(reason) if has_reasons && reason == "NOT_SPECIFIED" => unnamed += 1,
                Value::String(reason) if has_reasons => {
                    assert!(reason.contains(self.reason), "{event}");
                }
                reason => assert!(!has_reasons && reason.is_null(), "{event}"),
            }
        }
        // A driver gives no reason either.
        let most = if self.check == DEVICE {
            self.kernel
        } else {
            self.purged
        };
        assert!(unnamed <= most, "{unnamed} without a reason");
        if self.check == DEVICE {
            // By size, which nothing else has: whose packet it was is remembered for some milliseconds, and a
            // busy machine may take longer from the drop to the driver's answer. Then nobody is named.
            let events = run.events("device", |event| {
                event["device"]["bytes"].as_u64() == Some(self.bytes)
            });
            self.assert_number(&events);
            let named = |event: &&&Value| event["owner"]["grade"] != "unknown";
            assert!(events.iter().any(|event| named(&event)), "{events:?}");
            for event in &events {
                assert_eq!(text(event, "device.name"), "NET_XMIT_DROP", "{event}");
                assert_eq!(text(event, "device.interface"), "eth0", "{event}");
            }
            for event in events.iter().filter(named) {
                assert_owner(event, &self.sender.id, &["at_send", "seeded"]);
                assert_flow(event, "udp", "", &self.remote, host);
            }
        }
    }

    fn events<'a>(&self, run: &'a Run, event_kind: &str) -> Vec<&'a Value> {
        run.events(event_kind, |event| {
            event["owner"]["pid"] == self.sender.id.pid
        })
    }

    fn assert_number(&self, events: &[&Value]) {
        let ours: i64 = events.iter().map(|event| number(event, "count")).sum();
        assert_eq!(
            ours as u64, self.kernel,
            "ours and the kernel's: {events:?}"
        );
    }
}

/// Whether the kernel knows this name: reasons (since 5.17), the receiver of `kfree_skb` (since 6.11).
fn btf_names(name: &str) -> bool {
    let btf = fs::read("/sys/kernel/btf/vmlinux").expect("BTF");
    let name = format!("\0{name}\0");
    btf.windows(name.len())
        .any(|window| window == name.as_bytes())
}

fn tx_dropped(host: &Host) -> u64 {
    let shown = host.sh("cat /proc/net/dev");
    let line = shown
        .lines()
        .find_map(|line| line.trim().strip_prefix("eth0:"));
    let word = line.expect("eth0").split_whitespace().nth(11);
    word.expect("a column").parse().expect("a number")
}

/// The number that follows these words.
fn after(text: &str, words: &str) -> u64 {
    let rest = text.split(words).nth(1).expect(words);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}
