//! Every errno that a send returns, provoked on a real socket over IPv4 and IPv6, and reported with the owner
//! who got it and the destination that it was for.
//!
//! One tracer watches all of it. Each check is a send that must fail in one way; its size is unlike that of
//! any other, so that at the end each failure can be found exactly once among the events.

mod caller;
mod matrix;
mod path;
mod policy;
mod room;

use matrix::{Ip, Matrix};
use scenarios::requires;

#[test]
fn root_each_errno_is_reported_with_owner_and_destination() {
    if !requires(&["nft", "tc"]) {
        return;
    }
    let mut matrix = Matrix::new();
    for ip in [Ip::V4, Ip::V6] {
        caller::checks(&mut matrix, ip);
        path::checks(&mut matrix, ip);
        policy::checks(&mut matrix, ip);
        room::checks(&mut matrix, ip);
    }
    caller::other_families(&mut matrix);
    policy::can(&mut matrix);
    matrix.finish();
}
