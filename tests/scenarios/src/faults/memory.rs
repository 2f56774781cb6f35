//! The memory of TCP as a whole, which belongs to the host: played only where the host is there for nothing else.

use std::fs;
use std::time::Duration;

use super::stage::{client, far_apart, server};
use super::{Scenario, Stage};

pub const ALL: &[Scenario] = &[Scenario {
    name: "tcp_memory",
    needs: &[],
    play: tcp_memory,
}];

/// `net.ipv4.tcp_mem`, in pages: one for the whole host, whatever the namespace.
const LIMITS: &str = "/proc/sys/net/ipv4/tcp_mem";

/// Eight uploads on a slow path have megabytes under way; the host has one for all of TCP. (Each processor may hold back
/// another 1 MiB before it is counted: net.core.mem_pcpu_rsv.) They wait in a queue of the path, so both are true: TCP
/// has no memory left, and the queue is far too long.
fn tcp_memory(stage: &Stage) {
    if !crate::own_machine() {
        stage.impossible(
            "it takes memory away from every connection of the host: only in a machine of its own, \
             `cargo xtask vm --test memory`",
        );
    }
    let world = far_apart();
    for direction in ["there", "back"] {
        world.path(&format!(
            "{direction} delay_us=20000 rate_bytes=400000 queue_bytes=6000000"
        ));
    }
    let before = fs::read_to_string(LIMITS).expect("the limits");
    fs::write(LIMITS, "64 128 256").expect("root may set the limits");
    let _server = server(&world, "server", "drain", &["10.99.2.2:873"]);
    let recording = stage.record_with(&world.a, &["--would-block"]);
    let mut backup = client(&world, "backup", &["10.99.2.2:873"; 8]);
    for number in 0..8 {
        backup.ok(&format!("background backup offer c{number} 60 60000 100"));
    }
    backup.tell("join");
    backup.reply(Duration::from_secs(90));
    let pressures = crate::Counters::of(&backup).get("TcpExtTCPMemoryPressures");
    recording.end();
    fs::write(LIMITS, before).expect("root may set the limits");
    assert!(pressures > 0, "the limit was not reached");
}
