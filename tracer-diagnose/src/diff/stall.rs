//! How long a connection stood still: from when the first timer that ran out was started until something was
//! acknowledged or the connection ended, as far as events show it.
//!
//! The time-outs of one stall double each other and depend on each other, so that the stall is what is compared, not
//! each of them (RFC 6298, 5.5).

use std::collections::HashMap;

use super::values::Values;
use tracer_model::event::{Endpoint, Flow};

/// Connections that may stand still at once and are followed.
const OPEN: usize = 20_000;

/// Which connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    cookie: Option<u64>,
    netns: Option<u32>,
    ends: Option<(Option<Endpoint>, Option<Endpoint>)>,
}

impl Key {
    /// `request`: a SYN-ACK, of which a listener sends many from one socket.
    pub fn new(flow: &Flow, request: bool) -> Self {
        let ends = flow.socket.is_none() || request;
        Self {
            cookie: flow.socket,
            netns: flow.netns,
            ends: ends.then(|| (flow.local.clone(), flow.remote.clone())),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Open {
    from_ns: i64,
    last_ns: i64,
    rto_us: u64,
    attempt: u32,
}

/// Stalls, open and over.
#[derive(Clone, Debug, Default)]
pub struct Stalls {
    open: HashMap<Key, Open>,
    /// Their lengths, microseconds.
    pub lengths_us: Values,
    /// The longest time-out that ran out in each, microseconds.
    pub rtos_us: Values,
    /// Time-outs of connections beyond the bound.
    pub left_out: u64,
}

impl Stalls {
    /// A timer of `rto_us` ran out at `wall_ns`, the `attempt`th in a row.
    pub fn timeout(&mut self, key: Key, wall_ns: i64, rto_us: u64, attempt: u32) {
        if let Some(open) = self.open.get_mut(&key)
            && attempt > open.attempt
        {
            open.last_ns = open.last_ns.max(wall_ns);
            open.rto_us = open.rto_us.max(rto_us);
            open.attempt = attempt;
            return;
        }
        if let Some(open) = self.open.remove(&key) {
            self.over(open);
        }
        if self.open.len() >= OPEN {
            self.left_out += 1;
            return;
        }
        let rto_ns = i64::try_from(rto_us.saturating_mul(1000)).unwrap_or(i64::MAX);
        let stall = Open {
            from_ns: wall_ns.saturating_sub(rto_ns),
            last_ns: wall_ns,
            rto_us,
            attempt,
        };
        self.open.insert(key, stall);
    }

    /// Something was acknowledged, or the connection came to its end.
    pub fn end(&mut self, key: &Key, wall_ns: i64) {
        if let Some(open) = self.open.remove(key) {
            self.over(Open {
                last_ns: open.last_ns.max(wall_ns),
                ..open
            });
        }
    }

    /// What is still open is as long as it is known to be.
    pub fn finish(&mut self) {
        let mut open: Vec<_> = self.open.drain().map(|(_, open)| open).collect();
        // Not in the order of the map, which is another one each time.
        open.sort_by_key(|open| (open.from_ns, open.last_ns, open.rto_us));
        open.into_iter().for_each(|open| self.over(open));
    }

    fn over(&mut self, open: Open) {
        let length_ns = open.last_ns.saturating_sub(open.from_ns);
        self.lengths_us.add(length_ns as f64 / 1e3);
        self.rtos_us.add(open.rto_us as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(cookie: u64) -> Key {
        let flow = Flow {
            proto: "tcp".into(),
            local: None,
            remote: None,
            netns: None,
            socket: Some(cookie),
        };
        Key::new(&flow, false)
    }

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn timeouts_in_a_row_are_one_stall_from_the_start_of_the_first_timer() {
        let mut stalls = Stalls::default();
        stalls.timeout(key(1), 10 * SECOND, 200_000, 1);
        stalls.timeout(key(2), 10 * SECOND, 1_000_000, 1);
        stalls.timeout(key(1), 10 * SECOND + 400_000_000, 400_000, 2);
        stalls.end(&key(1), 11 * SECOND);
        // Nothing stood still any more.
        stalls.end(&key(1), 12 * SECOND);
        stalls.finish();
        assert_eq!(stalls.lengths_us.sorted(), [1_000_000.0, 1_200_000.0]);
        assert_eq!(stalls.rtos_us.sorted(), [400_000.0, 1_000_000.0]);
    }

    #[test]
    fn a_first_timeout_after_others_is_another_stall() {
        let mut stalls = Stalls::default();
        for (at, attempt) in [(10, 1), (11, 2), (20, 1)] {
            stalls.timeout(key(1), at * SECOND, 1_000_000, attempt);
        }
        stalls.finish();
        assert_eq!(stalls.lengths_us.sorted(), [1_000_000.0, 2_000_000.0]);
    }
}
