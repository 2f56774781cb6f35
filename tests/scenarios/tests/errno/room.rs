//! No room to send: queues that are full, and sends that waited for room and were interrupted.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scenarios::{Connection, Peer, SOON};

use crate::caller::connect;
use crate::matrix::{Expected, Ip, Matrix};

/// Internal to the kernel: "restart the call, or say EINTR", which the kernel decides after the hook.
const ERESTARTSYS: i32 = 512;

pub fn checks(matrix: &mut Matrix, ip: Ip) {
    let (udp, tcp) = (ip.kind("udp"), ip.kind("tcp"));
    matrix.check(&format!("EAGAIN {tcp} no room, not waiting"), |m| {
        let mut pair = narrow(m, ip, "impatient");
        let bytes = 100_000 + m.bytes();
        pair.client.tell(&format!("fill c {bytes}"));
        let count = pair.client.reply(SOON).number("would_block") as usize;
        m.expect(&Expected {
            count,
            ..of(&pair, bytes, "EAGAIN", libc::EAGAIN)
        })
    });
    matrix.check(&format!("EAGAIN {tcp} SO_SNDTIMEO ran out"), |m| {
        let mut pair = full(m, ip, "short-wait");
        pair.client.ok("send-timeout c 30");
        let bytes = m.bytes();
        pair.client.fails(&format!("send c {bytes}"), libc::EAGAIN);
        m.expect(&of(&pair, bytes, "EAGAIN", libc::EAGAIN))
    });
    matrix.check(&format!("EINTR {tcp} signal while waiting"), |m| {
        let mut pair = full(m, ip, "interrupted");
        pair.client.ok("interruptible once");
        let bytes = m.bytes();
        interrupt(&mut pair, &format!("send c {bytes}"));
        assert_eq!(pair.client.reply(SOON).errno(), Some(libc::EINTR));
        m.expect(&of(&pair, bytes, "ERESTARTSYS", ERESTARTSYS))?;
        Ok("shown as ERESTARTSYS, what the kernel makes EINTR of".to_owned())
    });
    matrix.check(&format!("EINTR {tcp} signal, SA_RESTART"), |m| {
        let mut pair = full(m, ip, "restarted");
        pair.client.ok("interruptible restart");
        let bytes = m.bytes();
        interrupt(&mut pair, &format!("send c {bytes}"));
        // It waits again; with room it succeeds, and the application never saw an error.
        wait_in_send(&pair.client);
        pair.server.tell("drain s");
        assert_eq!(
            pair.client.reply(SOON),
            format!("ok {bytes}").as_str().into()
        );
        m.expect(&of(&pair, bytes, "ERESTARTSYS", ERESTARTSYS))?;
        Ok(
            "shown as ERESTARTSYS; the application sees nothing, since the call restarts"
                .to_owned(),
        )
    });
    matrix.check(&format!("EINTR {tcp} signal, SO_SNDTIMEO"), |m| {
        let mut pair = full(m, ip, "interrupted");
        pair.client.ok("interruptible restart");
        pair.client.ok("send-timeout c 900");
        let bytes = m.bytes();
        interrupt(&mut pair, &format!("send c {bytes}"));
        // A call that waits no longer than so is not restarted, whatever the handler says.
        assert_eq!(pair.client.reply(SOON).errno(), Some(libc::EINTR));
        m.expect(&of(&pair, bytes, "EINTR", libc::EINTR))
    });
    let to = ip.pick("10.99.9.2:9400", "[fd99:9::2]:9400");
    matrix.check(&format!("EAGAIN {udp} send buffer full"), |m| {
        slow_link(m, 1_000_000);
        let mut peer = m.world.a.peer("full-buffer");
        peer.ok(&format!("open u {udp}"));
        peer.ok("sndbuf u 4608");
        flood(m, &mut peer, to, ("EAGAIN", libc::EAGAIN))
    });
    matrix.check(&format!("ENOBUFS {udp} queue of the device full"), |m| {
        slow_link(m, 3_000);
        let mut peer = m.world.a.peer("full-queue");
        peer.ok(&format!("open u {udp}"));
        // Without this the datagram is dropped, and the sender told that all is well.
        peer.ok(&format!("{} u", ip.kind("recverr")));
        flood(m, &mut peer, to, ("ENOBUFS", libc::ENOBUFS))
    });
}

fn flood(
    m: &mut Matrix,
    peer: &mut Peer,
    to: &str,
    (name, errno): (&str, i32),
) -> crate::matrix::Checked {
    let bytes = m.bytes();
    let count = peer
        .ask(&format!("flood u 20 {bytes} {to}"))
        .number("failed");
    assert!(count > 0, "the queue must fill");
    m.expect(&Expected {
        peer,
        bytes,
        proto: "udp",
        remote: Some(to),
        name,
        errno,
        count: count as usize,
    })
}

/// A second link of host `a` that lets a kilobyte pass each second and queues so many bytes.
fn slow_link(m: &Matrix, limit: u32) {
    m.world.a.sh(&format!(
        "ip link show slow >/dev/null 2>&1 || {{
           ip link add slow type veth peer name slow2
           ip addr add 10.99.9.1/24 dev slow; ip addr add fd99:9::1/64 dev slow nodad
           ip link set slow up; ip link set slow2 up
           ip neigh add 10.99.9.2 lladdr 02:00:00:00:00:02 dev slow
           ip neigh add fd99:9::2 lladdr 02:00:00:00:00:02 dev slow
         }}
         tc qdisc del dev slow root 2>/dev/null
         tc qdisc add dev slow root tbf rate 8kbit burst 1600 limit {limit}"
    ));
}

/// A connection with small buffers at both ends.
fn narrow(m: &Matrix, ip: Ip, name: &str) -> Connection {
    let mut pair = connect(m, ip, name);
    pair.client.ok("sndbuf c 8192");
    pair.server.ok("rcvbuf s 4096");
    pair
}

/// A connection that takes not one byte more: nobody reads at its other end.
fn full(m: &Matrix, ip: Ip, name: &str) -> Connection {
    let mut pair = narrow(m, ip, name);
    let end = Instant::now() + 2 * SOON;
    // Acknowledgements of what has left may still make room, and they may be delayed for 200 ms (TCP_DELACK_MAX).
    loop {
        pair.client.tell("fill c 16000");
        if pair.client.reply(SOON).number("sent") == 0 {
            std::thread::sleep(Duration::from_millis(250));
            pair.client.tell("fill c 16000");
            if pair.client.reply(SOON).number("sent") == 0 {
                return pair;
            }
        }
        assert!(Instant::now() < end, "{name}: there is always room");
    }
}

/// Gives the client a command that waits inside of the kernel, and a signal when it does.
fn interrupt(pair: &mut Connection, command: &str) {
    pair.client.tell(command);
    wait_in_send(&pair.client);
    kill(Pid::from_raw(pair.client.id.pid as i32), Signal::SIGUSR1).expect("it lives");
}

/// Waits until the process has dealt with its signals and sleeps in `sendto`, which send(2) is.
fn wait_in_send(peer: &Peer) {
    let read = |file: &str| {
        std::fs::read_to_string(format!("/proc/{}/{file}", peer.id.pid)).expect("a living process")
    };
    let (call, nothing) = (
        format!("{} ", libc::SYS_sendto),
        "ShdPnd:\t0000000000000000",
    );
    let end = Instant::now() + SOON;
    while !(read("status").contains(nothing) && read("syscall").starts_with(&call)) {
        assert!(Instant::now() < end, "{} does not wait", peer.id.comm);
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn of<'a>(pair: &'a Connection, bytes: u64, name: &'a str, errno: i32) -> Expected<'a> {
    Expected {
        peer: &pair.client,
        bytes,
        proto: "tcp",
        remote: Some(&pair.remote),
        name,
        errno,
        count: 1,
    }
}
