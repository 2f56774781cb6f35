//! Faults of applications on this host that look like faults of the network.

use super::{Scenario, Stage};
use crate::World;

pub const ALL: &[Scenario] = &[Scenario {
    name: "oversized_datagram",
    needs: &[],
    play: oversized_datagram,
}];

/// Datagrams that no UDP packet can carry, among others that go.
fn oversized_datagram(stage: &Stage) {
    let world = World::routed();
    let recording = stage.record(&world.a);
    let (mut sink, mut client) = (world.b.peer("sink"), world.a.peer("statsd"));
    sink.ok("open u udp4");
    sink.ok("bind u 10.99.2.2:8125");
    client.ok("open u udp4");
    for _ in 0..8 {
        client.ok("sendto u 900 10.99.2.2:8125");
        client.fails("sendto u 70000 10.99.2.2:8125", libc::EMSGSIZE);
        recording.pass(250);
    }
    recording.end();
}
