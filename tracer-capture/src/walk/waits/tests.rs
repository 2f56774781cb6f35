use super::*;
use tracer_common::Owner;

const SECOND: u64 = 1_000_000_000;
const HZ: u64 = 250;

fn waiter(cookie: u64, why: u32) -> Waiter {
    let mut row = Box::new(WaitingRow::default());
    row.head.flow.cookie = cookie;
    row.head.flags = head_flag::TCP;
    row.why = why;
    row.retrans_ms_ago = NO_U32;
    row.tcp.last_ack_jiffies_ago = NO_U32;
    Waiter {
        row,
        holders: Vec::new(),
    }
}

fn told(waits: &mut Waits, seconds: u64, waiters: &[Waiter]) -> Vec<(u64, u64, Stage)> {
    in_short(waits.walked(seconds * SECOND, waiters.to_vec(), false))
}

fn in_short(told: Vec<Told>) -> Vec<(u64, u64, Stage)> {
    told.iter()
        .map(|told| {
            let cookie = told.waiter.row.head.flow.cookie;
            (cookie, told.for_us / 1_000_000, told.stage)
        })
        .collect()
}

#[test]
fn a_wait_is_told_when_it_is_long_when_it_has_doubled_and_at_its_end() {
    let mut waits = Waits::new(2_000_000, HZ);
    let one = [waiter(7, wait::WRITER_BLOCKED)];
    let mut all = Vec::new();
    for second in 100..=110 {
        all.extend(told(&mut waits, second, &one));
    }
    all.extend(told(&mut waits, 111, &[]));
    all.extend(told(&mut waits, 112, &[]));
    assert_eq!(
        all,
        [
            (7, 2, Stage::GoesOn),
            (7, 4, Stage::GoesOn),
            (7, 8, Stage::GoesOn),
            (7, 11, Stage::Ended)
        ]
    );
}

#[test]
fn a_wait_that_was_never_long_is_never_told() {
    let mut waits = Waits::new(2_000_000, HZ);
    let one = [waiter(7, wait::WRITER_BLOCKED)];
    assert_eq!(told(&mut waits, 100, &one), []);
    assert_eq!(told(&mut waits, 101, &one), []);
    assert_eq!(told(&mut waits, 102, &[]), []);
}

#[test]
fn every_long_wait_that_goes_on_is_told_once_more_when_nobody_looks_any_longer() {
    let mut waits = Waits::new(2_000_000, HZ);
    let [told_before, ended, became_long, short] =
        [1, 2, 3, 4].map(|cookie| waiter(cookie, wait::WRITER_BLOCKED));
    told(&mut waits, 100, &[told_before.clone(), ended.clone()]);
    told(
        &mut waits,
        102,
        &[told_before.clone(), ended, became_long.clone()],
    );
    let all = waits.walked(105 * SECOND, vec![told_before, became_long, short], true);
    assert_eq!(
        in_short(all),
        [
            (1, 5, Stage::Unfinished),
            (3, 3, Stage::Unfinished),
            (2, 5, Stage::Ended)
        ]
    );
}

#[test]
fn sockets_beyond_the_bound_are_counted() {
    let mut waits = Waits::new(2_000_000, HZ);
    let many = 1..=MOST_SOCKETS as u64 + 3;
    let many: Vec<_> = many
        .map(|cookie| waiter(cookie, wait::WRITER_BLOCKED))
        .collect();
    told(&mut waits, 100, &many);
    assert_eq!(waits.left_out, 3);
    told(&mut waits, 101, &many[..10]);
    assert_eq!(waits.left_out, 0);
}

#[test]
fn a_writer_whose_data_moves_does_not_wait() {
    let mut waits = Waits::new(2_000_000, HZ);
    for second in 100..120 {
        let mut busy = waiter(7, wait::WRITER_BLOCKED);
        busy.row.acked_bytes = second;
        assert_eq!(told(&mut waits, second, &[busy]), []);
    }
}

#[test]
fn what_a_socket_waits_for_may_change_while_it_waits() {
    let mut waits = Waits::new(2_000_000, HZ);
    told(&mut waits, 100, &[waiter(7, wait::WRITER_BLOCKED)]);
    let all = told(&mut waits, 103, &[waiter(7, wait::PEER_WINDOW)]);
    assert_eq!(all, [(7, 3, Stage::GoesOn)]);
}

#[test]
fn the_clocks_of_a_socket_tell_what_was_before_the_first_walk() {
    let mut syn = waiter(1, wait::SYN_SENT);
    syn.row.retrans_ms_ago = 5_000;
    let mut closed = waiter(2, wait::PEER_WINDOW);
    closed.row.chrono_type = RWND_LIMITED;
    closed.row.chrono_jiffies_ago = 6 * HZ as u32;
    let mut silent = waiter(3, wait::UNACKNOWLEDGED);
    silent.row.retrans_ms_ago = 7_000;
    silent.row.tcp.backoff = 2;
    silent.row.tcp.rto_jiffies = 4 * HZ as u32;
    let mut answered = silent.clone();
    answered.row.head.flow.cookie = 4;
    answered.row.tcp.last_ack_jiffies_ago = 3 * HZ as u32;
    let mut ahead = waiter(5, wait::SYN_SENT);
    ahead.row.retrans_ms_ago = u32::MAX - 3;
    let mut waits = Waits::new(2_000_000, HZ);
    let all = told(&mut waits, 100, &[syn, closed, silent, answered, ahead]);
    assert_eq!(
        all,
        [
            (1, 5, Stage::GoesOn),
            (2, 6, Stage::GoesOn),
            (3, 8, Stage::GoesOn),
            (4, 3, Stage::GoesOn)
        ]
    );
}

#[test]
fn all_holders_of_a_socket_are_named_once() {
    let row = |cookie: u64, pid: u32, fd: u32| {
        let mut row = *waiter(cookie, wait::PEER_WINDOW).row;
        row.holder = Owner {
            pid,
            ..Owner::default()
        };
        row.fd = fd;
        row
    };
    let waiters = group(vec![
        row(1, 10, 3),
        row(2, 10, 4),
        row(1, 11, 3),
        row(1, 11, 5),
    ]);
    let holders: Vec<Vec<_>> = waiters
        .iter()
        .map(|one| one.holders.iter().map(|h| (h.owner.pid, h.fd)).collect())
        .collect();
    assert_eq!(holders, [vec![(10, 3), (11, 3)], vec![(10, 4)]]);
}
