//! Errors that somebody on this host decided on: a firewall, a program on the cgroup, a security module.

use scenarios::{Cgroup, Refusal, refuse_datagrams};

use crate::caller::connect;
use crate::matrix::{Checked, Ip, Matrix};

const ECOMM: (&str, i32) = ("ECOMM", libc::ECOMM);
const EPERM: (&str, i32) = ("EPERM", libc::EPERM);

pub fn checks(matrix: &mut Matrix, ip: Ip) {
    let (udp, tcp) = (ip.kind("udp"), ip.kind("tcp"));
    let to = ip.remote(9300);
    matrix.check(&format!("EPERM {udp} dropped by netfilter"), |m| {
        m.world.a.filter("output", &["udp dport 9300 drop"]);
        let mut peer = m.world.a.peer("filtered");
        peer.ok(&format!("open u {udp}"));
        let ended = m.fails(
            &mut peer,
            &format!("sendto u BYTES {to}"),
            ("udp", Some(&to)),
            EPERM,
        );
        m.world.a.filter("output", &[]);
        ended
    });
    for (error, how) in [
        (ECOMM, "cgroup program"),
        (EPERM, "cgroup program"),
        (("ENOMEM", libc::ENOMEM), "cgroup program"),
    ] {
        matrix.check(&format!("{} {udp} {how}", error.0), |m| {
            by_cgroup(m, ip, &to, error)
        });
    }
    matrix.check(&format!("ENOMEM {udp} out of memory"), |_| {
        Err(
            "the kernel returns it only when its own memory runs out; there is no fault injection to \
             force that (CONFIG_FAILSLAB)"
                .to_owned(),
        )
    });
    for error in [ECOMM, EPERM] {
        matrix.check(&format!("{} {udp} security module", error.0), |m| {
            let mut peer = m.world.a.peer("refused-by-lsm");
            peer.ok(&format!("open u {udp}"));
            let _refusal = refusal(peer.id.pid, error.1)?;
            m.fails(
                &mut peer,
                &format!("sendto u BYTES {to}"),
                ("udp", Some(&to)),
                error,
            )
        });
        matrix.check(&format!("{} {tcp} security module", error.0), |m| {
            let mut pair = connect(m, ip, "refused-by-lsm");
            let _refusal = refusal(pair.client.id.pid, error.1)?;
            let remote = pair.remote.clone();
            let flow = ("tcp", Some(remote.as_str()));
            m.fails(&mut pair.client, "send c BYTES", flow, error)
        });
    }
}

fn refusal(pid: u32, errno: i32) -> Result<Refusal, String> {
    Refusal::of_process(pid, errno).map_err(|e| {
        format!("this kernel takes no program that refuses as a security module does: {e:#}")
    })
}

fn by_cgroup(m: &mut Matrix, ip: Ip, to: &str, error: (&str, i32)) -> Checked {
    let Some(cgroup) = m.cgroup.take() else {
        return Err("no cgroup2 mount".to_owned());
    };
    let ended = in_cgroup(m, &cgroup, ip, to, error);
    m.cgroup = Some(cgroup);
    ended
}

fn in_cgroup(m: &mut Matrix, cgroup: &Cgroup, ip: Ip, to: &str, error: (&str, i32)) -> Checked {
    refuse_datagrams(cgroup, ip == Ip::V6, error.1).map_err(|e| {
        format!("this kernel takes no cgroup program with an errno of its own: {e:#}")
    })?;
    let mut peer = m.world.a.peer("refused-by-cg");
    cgroup.add(peer.id.pid);
    peer.id.cgroup = Some(cgroup.name.clone());
    peer.ok(&format!("open u {}", ip.kind("udp")));
    let ended = m.fails(
        &mut peer,
        &format!("sendto u BYTES {to}"),
        ("udp", Some(to)),
        error,
    );
    peer.kill();
    ended
}

/// ISO-TP, whose flow control times out on a bus without a receiver: a real socket that returns ECOMM.
pub fn can(matrix: &mut Matrix) {
    matrix.check("ECOMM can-isotp no receiver", |m| {
        let vcan = m
            .world
            .a
            .sh("ip link add vcan0 type vcan 2>&1 && ip link set vcan0 up 2>&1 || :");
        if !vcan.is_empty() {
            return Err(format!(
                "this kernel has no CAN interfaces: {}",
                vcan.trim()
            ));
        }
        let mut peer = m.world.a.peer("isotp");
        if let Some(errno) = peer.ask("isotp c vcan0").errno() {
            let error = std::io::Error::from_raw_os_error(errno);
            return Err(format!("this kernel has no ISO-TP sockets: {error}"));
        }
        // Longer than one frame: the first waits for flow control, which nobody sends. Where isotp_sendmsg() does not
        // look at the socket's error after its wait (5.14.0-427 of RHEL 9.4), the time-out stays in SO_ERROR.
        let mut probe = m.world.a.peer("isotp-probe");
        probe.ok("isotp c vcan0");
        if probe.ask("send c 1035").errno().is_none() {
            return Err(
                "this kernel does not tell an ISO-TP send of the time-out that it waited for"
                    .to_owned(),
            );
        }
        m.fails(&mut peer, "send c BYTES", ("can", None), ECOMM)
    });
}
