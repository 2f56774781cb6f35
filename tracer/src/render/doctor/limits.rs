//! What no hook of this program can see, on any host or on this one.

use tracer_capture::kernel::facts::{Facts, ProgramVerdict};
use tracer_capture::kernel::plan::{Kind, Purpose};

use super::Examination;

/// Something that is not seen, and the word of the output that it concerns.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub about: &'static str,
    pub text: &'static str,
    /// The optional hook that lifts it where it runs.
    lifted_by: Option<&'static str>,
    /// The hook that brings it along: without that it does not arise.
    comes_with: Option<&'static str>,
    /// Holds only where this fact is so.
    only_if: Option<fn(&Facts) -> bool>,
}

const fn limit(about: &'static str, text: &'static str) -> Limit {
    Limit {
        about,
        text,
        lifted_by: None,
        comes_with: None,
        only_if: None,
    }
}

const LIMITS: &[Limit] = &[
    Limit {
        about: "send_error",
        text: "A send that a security module refuses (SELinux, AppArmor, BPF LSM) is not seen: \
               sock_send_length comes after that check.",
        lifted_by: Some("lsm_refusal"),
        comes_with: None,
        only_if: None,
    },
    limit(
        "send_error",
        "A send that fails before it reaches a socket is not seen: EBADF, ENOTSOCK, a destination that cannot \
         be read, and what seccomp refuses.",
    ),
    limit(
        "send_error",
        "Sends inside the kernel that bypass the socket layer are not seen: SMC, rxrpc, espintcp, sockmap, \
         the inner sends of kTLS, UDP tunnels.",
    ),
    Limit {
        about: "send_error",
        text: "requested_bytes, and the destination of a datagram, come from the registers of the system call: \
         64-bit programs on x86-64 and arm64 only, not io_uring, not sendmmsg of several messages. Elsewhere \
         they are null (a connected socket may still have named another destination); so is requested_bytes \
         of more than 8 parts, of sendfile and of splice.",
        lifted_by: Some("inet_send"),
        comes_with: None,
        only_if: None,
    },
    Limit {
        about: "send",
        text: "Sends on sockets that are neither IP, unix, packet nor netlink are seen at __sock_sendmsg: where the \
               compiler built that into sock_sendmsg, those by io_uring, sendfile and the kernel are not.",
        lifted_by: None,
        comes_with: Some("other_send"),
        only_if: None,
    },
    Limit {
        about: "send",
        text: "A piece that sendfile or splice sends on a UDP socket over a device without scatter-gather is not \
               seen when it fails.",
        lifted_by: None,
        comes_with: Some("inet_page"),
        only_if: None,
    },
    Limit {
        about: "blocked",
        text: "For how long a send was blocked is not seen (blocked_us is null, there is no event blocked): that takes \
               programs at the begin and the end of functions. A socket whose writer is blocked shows as waiting, as \
               often as sockets are walked over.",
        lifted_by: Some("memory_waited"),
        comes_with: None,
        only_if: None,
    },
    Limit {
        about: "blocked",
        text: "The time that a datagram or a unix stream waits for room in its own send buffer is not seen: the kernel \
               has no function for that alone.",
        lifted_by: None,
        comes_with: Some("memory_waited"),
        only_if: None,
    },
    Limit {
        about: "connection",
        text: "A connect(2) that fails before the SYN is prepared is not seen without --connect-errors (ENETUNREACH, \
               EACCES, EHOSTUNREACH of a route): the kernel has no tracepoint there. EADDRNOTAVAIL shows as SYN_SENT to \
               CLOSE without an errno.",
        lifted_by: Some("connect_tcp4"),
        comes_with: None,
        only_if: None,
    },
    limit(
        "drop",
        "Only packets of local sockets are listed; all others are counted by reason. Reasons of modules \
         (mac80211, openvswitch) are shown as subsystem and number.",
    ),
    limit(
        "device",
        "The owner is known only when the drop of the same packet came just before on the same CPU, or the \
         packet was requeued (NETDEV_TX_BUSY, which is no loss).",
    ),
    Limit {
        about: "owner",
        text: "An accepted socket has no owner of its own until it sends; before that its holders are looked up \
               among open files.",
        lifted_by: Some("accept"),
        comes_with: None,
        only_if: None,
    },
    limit(
        "owner",
        "Owners are kept for IP sockets. The cgroup is that of cgroup v2; where systemd has its services in a \
         hierarchy of v1 alone, it is that one's, null for a process that has ended before it was asked, and \
         --cgroup is decided after the limit of events per second.",
    ),
    limit(
        "totals",
        "The kernel skips a program that is already running on the same CPU. Such events are in no other counter; \
         the totals show them as `missed`, where the kernel counts them (5.12 and later).",
    ),
    Limit {
        about: "totals",
        text: "On this kernel a program can be preempted, and is then skipped for every other task on that CPU. Sends \
               are seen by a program that cannot be; the other event kinds can be missed so.",
        lifted_by: None,
        comes_with: None,
        only_if: Some(can_be_preempted),
    },
    Limit {
        about: "totals",
        text: "This host runs no BPF program while a task of process 1 is at hand. What a timer or a softirq does in \
               such a moment is not seen, whoever it is about, and nothing counts it.",
        lifted_by: None,
        comes_with: None,
        only_if: Some(withholds),
    },
];

/// The limits that hold here.
pub fn limits(examination: &Examination) -> Vec<Limit> {
    LIMITS
        .iter()
        .filter(|limit| !limit.lifted_by.is_some_and(|by| runs(examination, by)))
        .filter(|limit| limit.only_if.is_none_or(|is_so| is_so(examination.facts)))
        .filter(|limit| limit.comes_with.is_none_or(|by| runs(examination, by)))
        .copied()
        .collect()
}

/// Programs of tracepoints can be preempted.
fn can_be_preempted(facts: &Facts) -> bool {
    let btf = &facts.btf;
    btf.as_ref().is_ok_and(|btf| btf.preemptible_tracepoints)
}

fn withholds(facts: &Facts) -> bool {
    facts.withholds == Some(true)
}

/// Whether a hook was really loaded; a name stands for all its forms.
fn runs(examination: &Examination, program: &str) -> bool {
    let Ok(plan) = examination.plan else {
        return false;
    };
    plan.hooks().any(|hook| {
        hook.program.starts_with(program)
            && hook.kind == Kind::Fexit
            && *examination.verdict(hook) == ProgramVerdict::Allowed
    })
}

/// Words for a list of purposes.
pub fn serves(purposes: &[Purpose]) -> Vec<&'static str> {
    purposes.iter().map(|purpose| purpose.name()).collect()
}
