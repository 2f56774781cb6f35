use super::*;
use crate::event::{
    Attribution, Blocked, Connection, Endpoint, Flow, Lost, LostAt, Outcome, Owner, PacketDrop,
    Retransmit, SendError, WaitReason, Waiting,
};
use crate::linux;

const SECOND: u64 = 1_000_000_000;

fn event(boot_ns: u64, detail: Detail) -> Event {
    Event {
        boot_ns,
        count: 1,
        owner: Owner {
            grade: Attribution::AtSend,
            pid: Some(4242),
            comm: Some("Web Content".into()),
            cgroup: Some("/system.slice/web.service".into()),
            started_boot_ns: Some(1),
            ..Owner::default()
        },
        flow: Some(Flow {
            proto: "tcp".into(),
            local: Some(Endpoint::Inet(([10, 0, 0, 1], 43210).into())),
            remote: Some(Endpoint::Inet(([10, 0, 0, 12], 443).into())),
            netns: None,
            socket: None,
        }),
        detail,
        tcp: None,
    }
}

fn retransmit(boot_ns: u64, cause: Cause) -> Event {
    event(
        boot_ns,
        Detail::Retransmit(Retransmit {
            cause,
            outcome: Outcome::Sent,
            attempt: None,
            segments: None,
            bytes: None,
            trigger: crate::event::Trigger::Timer,
        }),
    )
}

fn send_error(errno: i32) -> Event {
    event(
        1,
        Detail::SendError(SendError {
            errno: errno as u32,
            requested_bytes: None,
            sent_bytes: None,
            blocked_us: None,
        }),
    )
}

fn drop(reason: Option<&str>) -> Event {
    event(
        1,
        Detail::Drop(PacketDrop {
            reason: reason.map(str::to_owned),
            location: None,
            interface: None,
            bytes: None,
            direction: None,
            ifindex: None,
        }),
    )
}

fn trigger(expression: &str) -> Trigger {
    Trigger::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

fn fires(expression: &str, event: &Event) -> bool {
    trigger(expression).observe(event)
}

#[test]
fn the_words_are_those_of_the_filters() {
    let rto = retransmit(1, Cause::Rto);
    for expression in [
        "retransmit",
        "Retransmit",
        "event=drop,retransmit",
        "remote=10.0.0.0/8",
        "remote=192.168.0.0/16,10.0.0.12",
        "port=80,443",
        "proto=tcp",
        "pid=1,4242",
        "comm=\"Web Content\"",
        "\"comm=a,Web Content\"",
        "cgroup=/system.slice",
        "cause=rto",
        "cause=fast,RTO",
        "retransmit remote=10.0.0.0/8  port=443\tcause=rto",
        "rate>=1/s",
    ] {
        assert!(fires(expression, &rto), "{expression}");
    }
    for expression in [
        "drop",
        "event=drop,reset",
        "remote=10.1.0.0/16",
        "port=80",
        "proto=udp",
        "pid=1",
        "comm=Web",
        "cgroup=/system.slice/we",
        "cause=fast",
        "errno=ECOMM",
        "reason=NO_SOCKET",
        "retransmit port=80",
        "rate>1/s",
    ] {
        assert!(!fires(expression, &rto), "{expression}");
    }
}

#[test]
fn a_wait_fires_when_it_is_longer_than_the_limit() {
    let waits = |us| {
        event(
            1,
            Detail::Waiting(Box::new(Waiting::new(WaitReason::PeerWindow, us))),
        )
    };
    assert!(fires("waiting", &waits(0)));
    assert!(fires("waiting>30s", &waits(30_000_001)));
    assert!(!fires("waiting>30s", &waits(30_000_000)));
    assert!(!fires("waiting>30s port=1", &waits(31_000_000)));
    assert!(!fires("blocked>1s", &waits(31_000_000)));
    let blocked = |blocked_us| {
        event(
            1,
            Detail::Blocked(Blocked {
                blocked_us,
                requested_bytes: None,
                sent_bytes: None,
            }),
        )
    };
    assert!(fires("blocked>500ms", &blocked(Some(500_001))));
    assert!(!fires("blocked>500ms", &blocked(None)));
    for wrong in ["waiting>", "waiting>x", "drop>3s", "waiting>1s blocked>1s"] {
        assert!(Trigger::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn errnos_fire_for_sends_and_connections() {
    assert!(fires("errno=ECOMM,32", &send_error(linux::ECOMM)));
    assert!(fires("errno=70", &send_error(linux::ECOMM)));
    assert!(!fires("errno=ECOMM", &send_error(linux::EPIPE)));
    let died = event(
        1,
        Detail::Connection(Connection {
            from: None,
            to: None,
            errno: Some(linux::ETIMEDOUT as u32),
        }),
    );
    assert!(fires("errno=ETIMEDOUT", &died));
    assert!(!fires("errno=ETIMEDOUT send_error", &died));
}

#[test]
fn reasons_are_compared_without_case_and_an_unknown_one_is_no_match() {
    assert!(fires("reason=no_socket", &drop(Some("NO_SOCKET"))));
    assert!(fires(
        "reason=A,mac80211_unusable:3",
        &drop(Some("mac80211_unusable:3"))
    ));
    assert!(!fires("reason=NO_SOCKET", &drop(Some("NO_SOCKETS"))));
    assert!(!fires("reason=NO_SOCKET", &drop(None)));
    assert!(fires("drop", &drop(None)));
    assert_eq!(trigger("reason=A,B").reasons(), ["A", "B"]);
}

#[test]
fn lost_events_set_nothing_off() {
    let lost = Event::lost(
        1,
        Lost {
            at: LostAt::Ring,
            event_kind: None,
            count: 1000,
        },
    );
    assert!(!fires("rate>=1/s", &lost));
    assert!(!fires("port=443", &lost));
    assert!(!fires("retransmit", &lost));
}

#[test]
fn a_rate_counts_matching_events_only_and_by_their_count() {
    let mut trigger = trigger("retransmit rate>10/s");
    for i in 0..10 {
        assert!(!trigger.observe(&retransmit(5 * SECOND + i, Cause::Rto)));
        assert!(!trigger.observe(&send_error(70)));
    }
    assert!(trigger.observe(&retransmit(5 * SECOND + 10, Cause::Rto)));
    trigger.rearm();
    let mut ten = retransmit(5 * SECOND + 11, Cause::Rto);
    ten.count = 10;
    assert!(!trigger.observe(&ten));
    assert!(trigger.observe(&retransmit(5 * SECOND + 12, Cause::Rto)));
    assert!(!trigger.observe(&retransmit(7 * SECOND, Cause::Rto)));
}

#[test]
fn rates_are_read_with_their_window() {
    for (typed, fires_at, window_ns) in [
        ("rate>10/s", 11, SECOND),
        ("rate>=10/s", 10, SECOND),
        ("rate>5/m", 6, 60 * SECOND),
        ("rate>5/h", 6, 3600 * SECOND),
        ("rate>200/10s", 201, 10 * SECOND),
        ("rate>1/5m", 2, 300 * SECOND),
        ("rate>3/500ms", 4, SECOND / 2),
        ("rate>0/s", 1, SECOND),
    ] {
        let limit = words::parse(typed).unwrap().rate.unwrap();
        let expected = Window::new(Limit {
            fires_at,
            window_ns,
        });
        assert_eq!(format!("{limit:?}"), format!("{expected:?}"), "{typed}");
    }
}

#[test]
fn any_of_several_triggers_is_enough_and_each_counts_every_event() {
    let mut triggers = Triggers::new(vec![trigger("cause=rto"), trigger("retransmit rate>1/s")]);
    assert!(!triggers.is_empty() && Triggers::default().is_empty());
    let fast = retransmit(2, Cause::Fast);
    let mut fired = |event: &Event| {
        let fired = triggers.observe(event);
        fired.map(|trigger| trigger.expression().to_owned())
    };
    assert_eq!(
        fired(&retransmit(1, Cause::Rto)).as_deref(),
        Some("cause=rto")
    );
    assert_eq!(fired(&fast).as_deref(), Some("retransmit rate>1/s"));
    triggers.rearm();
    assert!(triggers.observe(&fast).is_none());
}

#[test]
fn a_wrong_word_is_named_with_what_was_expected() {
    for (expression, expected) in [
        ("", "a trigger names the events that set it off"),
        ("  ", "for example errno=ECOMM"),
        (
            "retransmits",
            "\"retransmits\": expected an event kind (retransmit, send_error,",
        ),
        ("lost", "\"lost\": expected an event kind (retransmit,"),
        ("event=lost", "\"event=lost\": lost events are no trigger"),
        ("event=", "\"event=\": expected one of retransmit"),
        (
            "retransmit drop",
            "\"drop\": no event is of two kinds; for either of them: event=A,B",
        ),
        (
            "port=80 port=443",
            "\"port=443\": all terms must hold, so each comes once; for alternatives: port=A,B",
        ),
        (
            "ports=80",
            "\"ports=80\": expected an event kind, rate>N/T, or one of event, errno,",
        ),
        (
            "port=http",
            "\"port=http\": expected a port from 1 to 65535, for example 443",
        ),
        ("port=80,", "\"port=80,\": expected a port"),
        (
            "errno=ECOM",
            "\"errno=ECOM\": \"ECOM\" is not an errno; did you mean ECOMM",
        ),
        (
            "remote=10.0.0.0/33",
            "expected an address or a network in CIDR form",
        ),
        ("proto=tpc", "\"proto=tpc\": expected one of tcp, udp,"),
        ("pid=nginx", "expected a process id"),
        ("comm=", "expected a process name"),
        ("comm=1234567890123456", "the kernel cuts names at 15 bytes"),
        ("cgroup=", "expected a path"),
        (
            "cause=rt",
            "\"cause=rt\": expected one of rto, fast, tlp, syn, synack, mtu, unknown",
        ),
        ("reason=", "expected a drop reason"),
        ("reason=a-b", "expected a drop reason"),
        (
            "rate",
            "\"rate\": expected rate>N/T without blanks, for example rate>10/s",
        ),
        ("rate > 10/s", "\"rate\": expected rate>N/T without blanks"),
        ("rate<10/s", "expected rate>N/T"),
        ("rate=10/s", "expected rate>N/T"),
        ("rate>10", "expected rate>N/T"),
        ("rate>/s", "expected rate>N/T"),
        ("rate>-1/s", "expected rate>N/T"),
        ("rate>1.5/s", "expected rate>N/T"),
        ("rate>10/0s", "expected rate>N/T"),
        ("rate>10/10", "expected rate>N/T"),
        ("rate>10/fortnight", "expected rate>N/T"),
        ("rate>18446744073709551615/s", "too large"),
        ("rate>1/1000y", "too large"),
        ("rate>=0/s", "expected a number above 0"),
        ("rate>1/s rate>2/m", "of two rates one is enough"),
        ("comm=\"Web", "a quote is not closed"),
        ("drop cause=rto", "cause= is of retransmit alone"),
        ("errno=ECOMM cause=rto", "cause= is of retransmit alone"),
        ("cause=rto reason=A", "reason= is of drop alone"),
        (
            "drop errno=ECOMM",
            "errno= needs an event kind that carries an errno: add send_error or connection to event=",
        ),
        ("\u{1b}[31m", "\"\\u{1b}[31m\": expected an event kind"),
    ] {
        let error = Trigger::parse(expression).expect_err(expression);
        assert!(error.contains(expected), "{expression}: {error}");
        assert!(
            !error.contains("--") && !error.contains('\u{1b}'),
            "{error}"
        );
    }
    assert!(Trigger::parse(&"x".repeat(100_000)).unwrap_err().len() < 400);
}
