use std::net::SocketAddr;

use crate::event::{
    Attribution, Cause, Connection, Detail, Endpoint, Event, Flow, Holder, Lost, LostAt, Outcome,
    Owner, Retransmit, SendError, Trigger,
};

use super::*;

mod offline;

const START: u64 = 81_234_567_890;
const SETTINGS: Settings = Settings {
    rate: 5000,
    would_block: false,
    blocked_ns: 1_000_000_000,
    follow: false,
};

struct TestHost;

impl Host for TestHost {
    fn process_start_ns(&self, pid: u32) -> Option<u64> {
        // Cut to the tick, as procfs shows it.
        (pid == 4242).then_some(START / TICK_NS * TICK_NS)
    }
    fn netns_inode(&self, netns: &str) -> anyhow::Result<u32> {
        anyhow::ensure!(netns == "blue", "no network namespace {netns}");
        Ok(4_026_531_840)
    }
    fn cgroup(&self, path: &str) -> anyhow::Result<Cgroup> {
        anyhow::ensure!(path.starts_with('/'), "no cgroup {path}");
        Ok(Cgroup {
            in_kernel: (!path.starts_with("/v1")).then_some(InKernel { id: 77, level: 2 }),
            path: path.to_owned(),
        })
    }
}

fn resolved(filters: &Filters) -> FilterSpec {
    resolve(filters, SETTINGS, &TestHost).unwrap()
}

fn comm(name: &str) -> Comm {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    Comm(comm)
}

fn end(text: &str) -> Option<Endpoint> {
    Some(Endpoint::Inet(text.parse::<SocketAddr>().unwrap()))
}

fn event(detail: Detail) -> Event {
    Event {
        boot_ns: START + 1,
        count: 1,
        owner: Owner {
            grade: Attribution::AtSend,
            pid: Some(4242),
            comm: Some("batchd".into()),
            cgroup: Some("/system.slice/batch.service".into()),
            started_boot_ns: Some(START),
            ..Owner::default()
        },
        flow: Some(Flow {
            proto: "tcp".into(),
            local: end("10.0.0.1:43210"),
            remote: end("10.0.0.12:443"),
            netns: Some(4_026_531_840),
            socket: Some(31),
        }),
        detail,
        tcp: None,
    }
}

fn retransmit() -> Event {
    event(Detail::Retransmit(Retransmit {
        cause: Cause::Rto,
        outcome: Outcome::Sent,
        attempt: None,
        segments: Some(1),
        bytes: Some(1448),
        trigger: Trigger::Timer,
    }))
}

fn send_error(errno: u32) -> Event {
    event(Detail::SendError(SendError {
        errno,
        requested_bytes: None,
        sent_bytes: None,
        blocked_us: None,
    }))
}

fn connection(errno: Option<u32>) -> Event {
    event(Detail::Connection(Connection {
        from: None,
        to: None,
        errno,
    }))
}

fn errnos(resolved: &FilterSpec) -> Vec<u32> {
    (0..576)
        .filter(|errno| resolved.config.errnos[*errno as usize / 64] >> (errno % 64) & 1 == 1)
        .collect()
}

fn proto(proto: Proto) -> Filters {
    Filters {
        proto: vec![proto],
        ..Filters::default()
    }
}

fn remote(net: &str) -> Filters {
    Filters {
        remote: vec![net.parse().unwrap()],
        ..Filters::default()
    }
}

/// Does the kernel's longest-prefix match find the address?
fn found(resolved: &FilterSpec, address: &str) -> bool {
    let mut event = retransmit();
    event.flow.as_mut().unwrap().remote = Some(Endpoint::Address(address.parse().unwrap()));
    resolved.matches(&event)
}

#[test]
fn without_filters_everything_is_wanted() {
    let resolved = resolved(&Filters::default());
    assert_eq!(
        resolved.config,
        Config {
            // Walks and sends that succeed are asked for otherwise.
            event_kinds: 0b1_1011_1111,
            rate: 5000,
            blocked_ns: 1_000_000_000,
            ..Config::default()
        }
    );
    assert!(resolved.matches(&retransmit()));
    let nobody = Event {
        owner: Owner::unknown("closed"),
        flow: None,
        ..retransmit()
    };
    assert!(resolved.matches(&nobody));
}

#[test]
fn each_filter_sets_its_own_bit() {
    let none = Filters::default;
    for (filters, bits) in [
        (
            Filters {
                pid: vec![4242],
                ..none()
            },
            bit::PID,
        ),
        (
            Filters {
                comm: vec![comm("batchd")],
                ..none()
            },
            bit::COMM,
        ),
        (
            Filters {
                cgroup: Some("/a/b".into()),
                ..none()
            },
            bit::CGROUP,
        ),
        (
            Filters {
                netns: Some("blue".into()),
                ..none()
            },
            bit::NETNS,
        ),
        (
            Filters {
                port: vec![443],
                ..none()
            },
            bit::PORT,
        ),
        (remote("10.0.0.0/8"), bit::REMOTE),
        (proto(Proto::Tcp), bit::PROTO),
        (
            Filters {
                errno: vec![70],
                ..none()
            },
            bit::ERRNO,
        ),
        (
            Filters {
                event: vec![EventKind::Drop],
                ..none()
            },
            0,
        ),
    ] {
        assert_eq!(resolved(&filters).config.filters, bits, "{filters:?}");
    }
}

#[test]
fn children_are_followed_from_given_processes_only() {
    let settings = Settings {
        follow: true,
        ..SETTINGS
    };
    let bits = |pid: Vec<u32>| {
        let filters = Filters {
            pid,
            ..Filters::default()
        };
        let resolved = resolve(&filters, settings, &TestHost).unwrap();
        resolved.config.filters
    };
    assert_eq!(bits(vec![4242]), bit::PID | bit::FOLLOW);
    assert_eq!(bits(Vec::new()), 0);
}

#[test]
fn what_the_host_knows_goes_into_the_configuration() {
    let filters = Filters {
        pid: vec![4242, 4242],
        cgroup: Some("/a/b".into()),
        netns: Some("blue".into()),
        port: vec![443, 80, 443],
        ..Filters::default()
    };
    let resolved = resolved(&filters);
    assert_eq!(resolved.pids, [(4242, 81_230_000_000)]);
    assert_eq!(resolved.ports, [80, 443]);
    assert_eq!(
        (resolved.config.cgroup_id, resolved.config.cgroup_level),
        (77, 2)
    );
    assert_eq!(resolved.config.netns, 4_026_531_840);
}

#[test]
fn a_cgroup_that_the_kernel_half_does_not_know_is_left_to_user_space() {
    let resolved = resolved(&Filters {
        cgroup: Some("/v1/a".into()),
        port: vec![80],
        ..Filters::default()
    });
    assert_eq!(resolved.config.filters, bit::PORT);
    assert!(resolved.cgroup_is_decided_here);
    assert_eq!(resolved.cgroup.as_deref(), Some("/v1/a"));
    let of = |cgroup: Option<&str>| Owner {
        cgroup: cgroup.map(ToOwned::to_owned),
        ..Owner::default()
    };
    assert!(resolved.matches_owner(&of(Some("/v1/a/b"))));
    assert!(!resolved.matches_owner(&of(Some("/v1/ab"))));
    assert!(!resolved.matches_owner(&of(None)));
}

#[test]
fn what_the_host_does_not_have_is_a_failure_and_not_wrong_usage() {
    let none = Filters::default;
    for (filters, message) in [
        (
            Filters {
                pid: vec![4243],
                ..none()
            },
            "no process with pid 4243: it may have ended; list processes with ps",
        ),
        (
            Filters {
                netns: Some("red".into()),
                ..none()
            },
            "no network namespace red",
        ),
        (
            Filters {
                cgroup: Some("x".into()),
                ..none()
            },
            "no cgroup x",
        ),
    ] {
        let error = resolve(&filters, SETTINGS, &TestHost).unwrap_err();
        assert!(matches!(error, Error::Host(_)));
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn more_values_than_the_kernel_half_takes_are_refused() {
    let filters = Filters {
        port: (1..=1025).collect(),
        ..Filters::default()
    };
    let error = resolve(&filters, SETTINGS, &TestHost).unwrap_err();
    assert!(matches!(error, Error::Usage(_)));
    assert_eq!(
        error.to_string(),
        "--port takes 1024 values at most, not 1025"
    );
}

#[test]
fn sends_that_succeed_are_traced_only_when_named() {
    let named = |event| Filters {
        event,
        ..Filters::default()
    };
    assert_eq!(
        resolved(&named(vec![])).config.event_kinds,
        number::FAILURES
    );
    assert_eq!(number::FAILURES >> number::SEND & 1, 0);
    let both = named(vec![EventKind::Send, EventKind::SendError]);
    let bits = 1 << number::SEND | 1 << number::SEND_ERROR;
    assert_eq!(resolved(&both).config.event_kinds, bits);
    // A send that succeeds has no errno.
    let filters = Filters {
        errno: vec![70],
        ..both
    };
    assert_eq!(
        resolved(&filters).config.event_kinds,
        1 << number::SEND_ERROR
    );
    let filters = Filters {
        errno: vec![70],
        ..named(vec![EventKind::Send])
    };
    assert!(resolve(&filters, SETTINGS, &TestHost).is_err());
}

#[test]
fn an_errno_restricts_the_event_kinds_to_those_that_carry_one() {
    let both = 1 << number::SEND_ERROR | 1 << number::CONNECTION;
    for (event_kind, event_kinds) in [
        (vec![], both),
        (vec![EventKind::SendError], 1 << number::SEND_ERROR),
        (
            vec![EventKind::Retransmit, EventKind::Connection],
            1 << number::CONNECTION,
        ),
    ] {
        let filters = Filters {
            event: event_kind,
            errno: vec![70],
            ..Filters::default()
        };
        assert_eq!(resolved(&filters).config.event_kinds, event_kinds);
    }
    let filters = Filters {
        event: vec![EventKind::Retransmit],
        errno: vec![70],
        ..Filters::default()
    };
    let error = resolve(&filters, SETTINGS, &TestHost).unwrap_err();
    assert!(matches!(error, Error::Usage(_)));
    assert!(
        error
            .to_string()
            .starts_with("--errno needs an event kind that carries an errno"),
        "{error}"
    );
}

#[test]
fn eintr_takes_the_restarts_of_the_kernel_along() {
    let by = |errno| Filters {
        errno: vec![errno],
        ..Filters::default()
    };
    assert_eq!(errnos(&resolved(&by(4))), [4, 512, 513, 514, 516]);
    assert_eq!(errnos(&resolved(&by(70))), [70]);
    assert!(resolved(&by(4)).matches(&send_error(512)));
}

#[test]
fn eagain_is_listed_when_it_is_asked_for() {
    let eagain = Filters {
        errno: vec![11],
        ..Filters::default()
    };
    assert_eq!(resolved(&eagain).config.list_would_block, 1);
    assert_eq!(resolved(&Filters::default()).config.list_would_block, 0);
    let settings = Settings {
        would_block: true,
        ..SETTINGS
    };
    assert_eq!(
        resolve(&Filters::default(), settings, &TestHost)
            .unwrap()
            .config
            .list_would_block,
        1
    );
}

#[test]
fn protocols_become_bits_of_protocols_or_families() {
    for (word, protocols, families) in [
        (Proto::Tcp, [1 << 6, 0, 0, 0], 0),
        (Proto::Udp, [1 << 17, 0, 0, 0], 0),
        (Proto::Udplite, [0, 0, 1 << 8, 0], 0),
        (Proto::Sctp, [0, 0, 1 << 4, 0], 0),
        (Proto::Icmp, [1 << 1 | 1 << 58, 0, 0, 0], 0),
        (Proto::Raw, [0; 4], 1),
        (Proto::Unix, [0; 4], 1 << 1),
        (Proto::Packet, [0; 4], 1 << 17),
        (Proto::Netlink, [0; 4], 1 << 16),
        (Proto::Can, [0; 4], 1 << 29),
    ] {
        let config = resolved(&proto(word)).config;
        assert_eq!(
            (config.protocols, config.families),
            (protocols, families),
            "{word:?}"
        );
    }
}

#[test]
fn ipv4_prefixes_live_in_the_mapped_range() {
    let key = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    for (net, length, address) in [
        ("10.1.2.3/8", 104, "::ffff:10.0.0.0"),
        ("0.0.0.0/0", 96, "::ffff:0.0.0.0"),
        ("10.0.0.12/32", 128, "::ffff:10.0.0.12"),
        ("::ffff:10.0.0.0/104", 104, "::ffff:10.0.0.0"),
        ("2001:db8::1/32", 32, "2001:db8::"),
    ] {
        assert_eq!(
            resolved(&remote(net)).remotes,
            [(length, key(address))],
            "{net}"
        );
    }
}

#[test]
fn all_of_ipv6_is_not_ipv4() {
    let all = resolved(&remote("::/0"));
    assert_eq!(all.remotes.len(), 96);
    for address in [
        "::1",
        "2001:db8::1",
        "fe80::1",
        "::fffe:a00:1",
        "::1:0:0:0",
        "ffff::",
    ] {
        assert!(found(&all, address), "{address}");
    }
    assert!(!found(&all, "10.0.0.1"));
    assert!(found(&resolved(&remote("0.0.0.0/0")), "10.0.0.1"));
    assert!(!found(&resolved(&remote("0.0.0.0/0")), "::1"));
    assert!(found(&resolved(&remote("::/64")), "::1"));
    assert!(!found(&resolved(&remote("::/64")), "10.0.0.1"));
}

#[test]
fn a_process_is_its_pid_and_its_start() {
    let mut event = retransmit();
    let resolved = resolved(&Filters {
        pid: vec![4242],
        ..Filters::default()
    });
    assert!(resolved.matches(&event));
    event.owner.started_boot_ns = Some(START + TICK_NS);
    assert!(!resolved.matches(&event), "the pid was used again");
    event.owner.started_boot_ns = None;
    assert!(!resolved.matches(&event), "a pid alone is nobody");
}

#[test]
fn any_holder_of_a_shared_socket_counts_but_one_must_match_all() {
    let holder = |pid, comm: &str, started_boot_ns| Holder {
        pid,
        started_boot_ns: Some(started_boot_ns),
        comm: Some(comm.into()),
        fd: Some(3),
    };
    let mut event = retransmit();
    event.owner = Owner {
        grade: Attribution::Shared,
        holders: vec![holder(1, "init", 0), holder(4242, "batchd", START)],
        ..Owner::default()
    };
    let by_pid = Filters {
        pid: vec![4242],
        ..Filters::default()
    };
    assert!(resolved(&by_pid).matches(&event));
    let with = |name| Filters {
        comm: vec![comm(name)],
        ..by_pid.clone()
    };
    assert!(resolved(&with("batchd")).matches(&event));
    assert!(!resolved(&with("init")).matches(&event));
}

#[test]
fn an_unknown_owner_is_not_the_wanted_one() {
    let event = Event {
        owner: Owner::unknown("closed"),
        ..retransmit()
    };
    for filters in [
        Filters {
            pid: vec![4242],
            ..Filters::default()
        },
        Filters {
            comm: vec![comm("batchd")],
            ..Filters::default()
        },
        Filters {
            cgroup: Some("/".into()),
            ..Filters::default()
        },
    ] {
        assert!(!resolved(&filters).matches(&event), "{filters:?}");
    }
}

#[test]
fn a_cgroup_takes_those_below_it_along() {
    for (wanted, matches) in [
        ("/", true),
        ("/system.slice", true),
        ("/system.slice/", true),
        ("/system.slice/batch.service", true),
        ("/system.slice/batch.service/worker", false),
        ("/system.slice/batch", false),
        ("/user.slice", false),
    ] {
        let filters = Filters {
            cgroup: Some(wanted.into()),
            ..Filters::default()
        };
        assert_eq!(
            resolved(&filters).matches(&retransmit()),
            matches,
            "{wanted}"
        );
    }
}

#[test]
fn the_ends_of_a_flow_are_compared() {
    let none = Filters::default;
    for (filters, matches) in [
        (
            Filters {
                port: vec![443],
                ..none()
            },
            true,
        ),
        (
            Filters {
                port: vec![43210],
                ..none()
            },
            true,
        ),
        (
            Filters {
                port: vec![80],
                ..none()
            },
            false,
        ),
        (remote("10.0.0.0/28"), true),
        (remote("10.0.0.1/32"), false),
        (
            Filters {
                netns: Some("blue".into()),
                ..none()
            },
            true,
        ),
        (proto(Proto::Tcp), true),
        (proto(Proto::Udp), false),
        (
            Filters {
                port: vec![443],
                ..remote("192.0.2.0/24")
            },
            false,
        ),
    ] {
        let resolved = resolved(&filters);
        assert_eq!(resolved.matches(&retransmit()), matches, "{filters:?}");
        assert!(
            !resolved.matches(&Event {
                flow: None,
                ..retransmit()
            }),
            "{filters:?}"
        );
    }
}

#[test]
fn protocols_cover_their_variants() {
    for (name, word) in [
        ("tcp", Proto::Tcp),
        ("mptcp", Proto::Tcp),
        ("udp", Proto::Udp),
        ("icmp", Proto::Icmp),
        ("raw", Proto::Raw),
        ("unix_stream", Proto::Unix),
        ("unix_dgram", Proto::Unix),
        ("packet", Proto::Packet),
        ("netlink", Proto::Netlink),
        ("can", Proto::Can),
    ] {
        let mut event = retransmit();
        event.flow.as_mut().unwrap().proto = name.into();
        for other in &Proto::ALL {
            assert_eq!(
                resolved(&proto(*other)).matches(&event),
                *other == word,
                "{name} {other:?}"
            );
        }
    }
}

#[test]
fn errnos_and_event_kinds_are_compared() {
    let ecomm = resolved(&Filters {
        errno: vec![70],
        ..Filters::default()
    });
    assert!(ecomm.matches(&send_error(70)));
    assert!(ecomm.matches(&connection(Some(70))));
    assert!(!ecomm.matches(&send_error(32)));
    assert!(!ecomm.matches(&connection(None)));
    assert!(!ecomm.matches(&retransmit()));
    let retransmits = resolved(&Filters {
        event: vec![EventKind::Retransmit],
        ..Filters::default()
    });
    assert!(retransmits.matches(&retransmit()));
    assert!(!retransmits.matches(&send_error(70)));
}

#[test]
fn a_loss_is_never_hidden() {
    let lost = Event {
        owner: Owner::default(),
        flow: None,
        ..event(Detail::Lost(Lost {
            at: LostAt::Ring,
            event_kind: None,
            count: 3,
        }))
    };
    let filters = Filters {
        pid: vec![4242],
        errno: vec![70],
        ..proto(Proto::Tcp)
    };
    assert!(resolved(&filters).matches(&lost));
}
