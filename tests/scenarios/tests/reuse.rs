//! The kernel gives the memory of a socket to the next one at once: whoever owned the first has nothing to do
//! with the second. Kernels without socket storage in tracing programs keep owners by that address.

use scenarios::{SOON, Tracer, World, requires};

/// How many sockets come and go.
const SOCKETS: usize = 100;
/// How many fit into the queue of a listener that accepts none.
const UNACCEPTED: usize = 50;

#[test]
#[ignore = "needs root"]
fn root_a_socket_that_nobody_used_has_no_owner_of_one_before() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--event", "reset,connection"]);

    // Sockets that have an owner, and end: many, so that their memory is what is free now.
    let mut before = world.b.peer("reuse-before");
    before.ok("open l tcp4");
    before.ok("bind l 10.99.1.2:7100");
    before.ok("listen l");
    let mut client = world.a.peer("reuse-client");
    for _ in 0..SOCKETS {
        client.ok("open c tcp4");
        client.ok("connect c 10.99.1.2:7100");
        before.ok("accept l s");
        before.ok("send s 10");
        before.ok("linger0 s");
        before.ok("close s");
        client.ok("close c");
    }

    // Sockets that nobody ever has: connected, never accepted, and reset by the other end.
    let mut never = world.b.peer("reuse-never");
    never.ok("open l tcp4");
    never.ok("bind l 10.99.1.2:7101");
    never.ok("listen l");
    for _ in 0..UNACCEPTED {
        client.ok("open c tcp4");
        client.ok("connect c 10.99.1.2:7101");
        client.ok("linger0 c");
        client.ok("close c");
    }
    let resets = tracer.wait_for_count("RSTs received", UNACCEPTED, SOON, |event| {
        event["event"] == "reset"
            && event["reset"]["direction"] == "received"
            && event["flow"]["local"] == "10.99.1.2:7101"
    });
    for event in resets {
        assert!(event["owner"]["pid"].is_null(), "{event}");
        assert_eq!(event["owner"]["grade"], "unknown", "{event}");
    }

    // And those of another process are its own, where those of the first have been.
    let mut after = world.a.peer("reuse-after");
    for _ in 0..SOCKETS {
        after.ok("open c tcp4");
        after.fails("connect c 10.99.1.2:7102", libc::ECONNREFUSED);
        after.ok("close c");
    }
    let refused = tracer.wait_for_count("refusals", SOCKETS, SOON, |event| {
        event["event"] == "connection" && event["flow"]["remote"] == "10.99.1.2:7102"
    });
    for event in refused {
        assert_eq!(event["owner"]["pid"], after.id.pid, "{event}");
    }
    tracer.stop().assert_complete();
}
