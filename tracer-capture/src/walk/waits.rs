//! Since when each socket waits, and when to say so. Pure: time is an argument.

use std::collections::HashMap;

use tracer_common::{Holder, NO_U32, WaitingRow, head_flag, wait};

/// Sockets that are followed from walk to walk.
const MOST_SOCKETS: usize = 10_000;

/// `TCP_CHRONO_RWND_LIMITED` and `TCP_CHRONO_SNDBUF_LIMITED`.
const RWND_LIMITED: u32 = 2;
const SNDBUF_LIMITED: u32 = 3;

/// A socket that waits, with all who hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// As the first of its descriptors showed it.
    pub row: Box<WaitingRow>,
    /// One per process.
    pub holders: Vec<Holder>,
}

/// A wait that is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who waits.
    pub waiter: Waiter,
    /// When this is known, nanoseconds of CLOCK_BOOTTIME.
    pub boot_ns: u64,
    /// For how long.
    pub for_us: u64,
    /// Whether it goes on.
    pub stage: Stage,
}

/// Whether a wait goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It does.
    GoesOn,
    /// It does not wait any more, or not without having moved on.
    Ended,
    /// It does, but nobody will look again.
    Unfinished,
}

/// Puts the descriptors of a socket together.
pub(super) fn group(rows: Vec<WaitingRow>) -> Vec<Waiter> {
    let mut waiters: Vec<Waiter> = Vec::new();
    let mut by_cookie = HashMap::new();
    for row in rows {
        let holder = super::holder(&row);
        let cookie = row.head.flow.cookie;
        let index = *by_cookie.entry(cookie).or_insert_with(|| {
            waiters.push(Waiter {
                row: Box::new(row),
                holders: Vec::new(),
            });
            waiters.len() - 1
        });
        let holders = &mut waiters[index].holders;
        if holders
            .iter()
            .all(|known| known.owner.pid != holder.owner.pid)
        {
            holders.push(holder);
        }
    }
    waiters
}

/// All waits, by cookie.
pub(super) struct Waits {
    first_us: u64,
    hz: u64,
    known: HashMap<u64, Known>,
    /// Sockets of the last walk for which there was no room: nothing is told of them while they are new.
    pub(super) left_out: u64,
}

struct Known {
    waiter: Waiter,
    since_ns: u64,
    /// It is told from here on.
    next_us: u64,
}

impl Known {
    /// Has the socket got on since the walk before? Then what it waits for now is another wait.
    fn moved_on(&self, now: &WaitingRow) -> bool {
        let before = &self.waiter.row;
        before.acked_bytes != now.acked_bytes
            || (now.why == wait::UNREAD && before.queued != now.queued)
    }

    fn tell(&mut self, now_ns: u64, stage: Stage) -> Told {
        let for_us = now_ns.saturating_sub(self.since_ns) / 1_000;
        self.next_us = for_us.saturating_mul(2);
        Told {
            waiter: self.waiter.clone(),
            boot_ns: now_ns,
            for_us,
            stage,
        }
    }
}

impl Waits {
    pub(super) fn new(first_us: u64, hz: u64) -> Self {
        Self {
            first_us,
            hz,
            known: HashMap::new(),
            left_out: 0,
        }
    }

    /// Takes all sockets that wait now, and gives what is to be told; after the last walk, of every long wait.
    pub(super) fn walked(&mut self, now_ns: u64, waiters: Vec<Waiter>, is_last: bool) -> Vec<Told> {
        let mut told = Vec::new();
        self.left_out = 0;
        let mut before = std::mem::take(&mut self.known);
        for waiter in waiters {
            let cookie = waiter.row.head.flow.cookie;
            let by_clock = own_clock_us(&waiter.row, self.hz)
                .map(|us| now_ns.saturating_sub(us.saturating_mul(1_000)));
            let mut known = match before.remove(&cookie) {
                Some(known) if !known.moved_on(&waiter.row) => Known {
                    since_ns: known.since_ns.min(by_clock.unwrap_or(now_ns)),
                    waiter,
                    next_us: known.next_us,
                },
                gone => {
                    // It waits anew.
                    told.extend(gone.and_then(|gone| self.end(gone, now_ns)));
                    Known {
                        since_ns: by_clock.unwrap_or(now_ns),
                        waiter,
                        next_us: self.first_us,
                    }
                }
            };
            let (least_us, stage) = match is_last {
                true => (self.first_us, Stage::Unfinished),
                false => (known.next_us, Stage::GoesOn),
            };
            if now_ns.saturating_sub(known.since_ns) / 1_000 >= least_us {
                told.push(known.tell(now_ns, stage));
            }
            if self.known.len() < MOST_SOCKETS {
                self.known.insert(cookie, known);
            } else {
                self.left_out += 1;
            }
        }
        let mut ended: Vec<_> = before
            .into_values()
            .filter_map(|gone| self.end(gone, now_ns))
            .collect();
        ended.sort_by_key(|told| told.waiter.row.head.flow.cookie);
        told.extend(ended);
        told
    }

    /// The end of a wait that was told.
    fn end(&self, mut gone: Known, now_ns: u64) -> Option<Told> {
        (gone.next_us > self.first_us).then(|| gone.tell(now_ns, Stage::Ended))
    }
}

/// For how long a socket waits by its own clocks, microseconds; `None` where none of them tells.
fn own_clock_us(row: &WaitingRow, hz: u64) -> Option<u64> {
    if row.head.flags & head_flag::TCP == 0 {
        return None;
    }
    let micros = |jiffies: u32| {
        // The upper half of a 32-bit difference lies ahead, which says nothing.
        i32::try_from(jiffies).ok()?;
        u64::from(jiffies).checked_mul(1_000_000)?.checked_div(hz)
    };
    let since_stamp = || {
        i32::try_from(row.retrans_ms_ago).ok()?;
        Some(u64::from(row.retrans_ms_ago) * 1_000)
    };
    let chrono = |kind| {
        (row.chrono_type == kind)
            .then(|| micros(row.chrono_jiffies_ago))
            .flatten()
    };
    match row.why {
        wait::SYN_SENT => since_stamp(),
        wait::PEER_WINDOW => chrono(RWND_LIMITED),
        wait::WRITER_BLOCKED => chrono(SNDBUF_LIMITED),
        wait::UNACKNOWLEDGED => {
            // The first retransmit came one time-out after what it repeats.
            let rto = micros(row.tcp.rto_jiffies >> row.tcp.backoff.min(31))?;
            let waited = since_stamp()?.saturating_add(rto);
            // The stamp may be that of an earlier loss: what was acknowledged since ends a wait.
            let silent = (row.tcp.last_ack_jiffies_ago != NO_U32)
                .then(|| micros(row.tcp.last_ack_jiffies_ago))
                .flatten();
            Some(silent.map_or(waited, |silent| waited.min(silent)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
