//! Nothing is lost without a word: the kernel's own trace buffer has as many firings as sendtrace reports, says that it
//! missed, or could not see because its host ran no BPF program then.

use std::thread;

use scenarios::{Connection, SOON, TraceInstance, Tracer, World, own_machine, requires};

/// Of the server; no other test uses it.
const PORT: u16 = 7391;
const BYTES: usize = 4 << 20;
/// Transfers one after the other, on a path that loses a twelfth of all segments.
const ROUNDS: usize = 3;

#[test]
#[ignore = "needs root"]
fn root_every_firing_is_reported_or_missed_or_was_withheld() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    // No bundles of segments: each that is lost is a firing of its own.
    world.a.ip("link set eth0 gso_max_segs 1");
    let tracer = Tracer::start(&["--event", "retransmit", "--port", &PORT.to_string()]);
    let of_port = format!("sport == {PORT} || dport == {PORT}");
    let fired = TraceInstance::filtered(&["tcp/tcp_retransmit_skb"], Some(&of_port));
    let Some(fired) = fired else {
        scenarios::skip("no trace buffer (tracefs) here");
        return;
    };
    for _ in 0..ROUNDS {
        let address = format!("{}:{PORT}", world.b.v4);
        let mut pair = Connection::at(&world, "sum-sender", "sum-receiver", &address);
        world.on_the_path(&["numgen random mod 12 == 0 drop"]);
        pair.server.tell("drain s");
        pair.client.tell(&format!("pump c {BYTES}"));
        pair.client.reply(8 * SOON);
        pair.client.ok("shutdown c");
        let drained = pair.server.reply(8 * SOON);
        assert_eq!(drained, format!("ok {BYTES}").as_str().into());
        world.on_the_path(&[]);
        pair.server.ok("close s");
        // The last end in TIME_WAIT sends nothing again, and the port is free for the next.
        pair.client.ok("close c");
        wait_closed(pair.client.id.pid);
        wait_closed(pair.server.id.pid);
    }
    let (fired, of_process_1) = fired.firings();
    let run = tracer.stop();
    run.assert_totals();
    let reported = run.total("retransmit", "emitted") + run.total("retransmit", "aggregated");
    let missed = run.totals["retransmit"]["missed"].as_u64().unwrap_or(0);
    let story = format!(
        "{fired} firings, {of_process_1} of them while a task of process 1 was at hand; reported {reported}, \
         missed {missed}"
    );
    println!("{story}");
    assert!(fired > 200, "{story}");
    let unseen = fired.checked_sub(reported + missed);
    // A host withholds all that fires there, or nothing; a machine of our own has init as its process 1.
    let withheld = unseen == Some(of_process_1) && !own_machine();
    assert!(unseen == Some(0) || withheld, "{story}\n{}", run.totals);
}

/// Until no socket of the namespace can send again: all are gone, listen, or are in TIME_WAIT.
fn wait_closed(pid: u32) {
    let end = std::time::Instant::now() + SOON;
    let path = format!("/proc/{pid}/net/tcp");
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        // Fourth word of a line: 06 is TIME_WAIT, 0A is LISTEN.
        let quiet = |line: &str| matches!(line.split_whitespace().nth(3), Some("06" | "0A"));
        if text.lines().skip(1).all(quiet) {
            return;
        }
        assert!(
            std::time::Instant::now() < end,
            "connections do not end:\n{text}"
        );
        thread::sleep(SOON / 1000);
    }
}
