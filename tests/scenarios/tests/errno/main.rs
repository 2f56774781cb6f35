//! Every errno that a send returns, provoked on a real socket over IPv4 and IPv6, and reported with the owner
//! who got it and the destination that it was for.
//!
//! One tracer watches all of it. Each check is a send that must fail in one way; its size is unlike that of
//! any other of its process, so that at the end each failure can be found exactly once among the events.

mod caller;
mod matrix;
mod path;
mod policy;
mod room;

use std::thread;

use matrix::{Ip, Matrix};
use scenarios::{Tracer, requires};

#[test]
#[ignore = "needs root"]
fn root_each_errno_is_reported_with_owner_and_destination() {
    if !requires(&["nft", "tc"]) {
        return;
    }
    let (mut v4, mut v6) = (Matrix::new(), Matrix::new());
    let tracer = Tracer::start(&["--event", "send_error", "--would-block"]);
    // Each in a network of its own, and what waits for timers (no room) beside what does not.
    thread::scope(|threads| {
        threads.spawn(|| {
            caller::checks(&mut v4, Ip::V4);
            path::checks(&mut v4, Ip::V4);
            policy::checks(&mut v4, Ip::V4);
            room::checks(&mut v4, Ip::V4);
            caller::other_families(&mut v4);
            policy::can(&mut v4);
        });
        threads.spawn(|| {
            room::checks(&mut v6, Ip::V6);
            caller::checks(&mut v6, Ip::V6);
            path::checks(&mut v6, Ip::V6);
            policy::checks(&mut v6, Ip::V6);
        });
    });
    let run = tracer.stop();
    let failed = [v4.finish(&run), v6.finish(&run)].concat();
    assert!(failed.is_empty(), "failed: {failed:?}");
    run.assert_complete();
}
