//! The same filters against a trace.

use super::*;
use crate::event::{PacketDrop, SendOk};

fn offline(filters: &Filters) -> FilterSpec {
    resolve_offline(filters).unwrap()
}

#[test]
fn a_pid_is_every_process_of_that_number_whatever_its_start() {
    let resolved = offline(&Filters {
        pid: vec![4242, 7, 7],
        ..Filters::default()
    });
    assert_eq!(resolved.pid_numbers, [7, 4242]);
    let mut event = retransmit();
    assert!(resolved.matches(&event));
    event.owner.started_boot_ns = Some(1);
    assert!(resolved.matches(&event));
    event.owner.started_boot_ns = None;
    assert!(resolved.matches(&event));
    event.owner.pid = Some(4243);
    assert!(!resolved.matches(&event));
    event.owner.holders.push(Holder {
        pid: 7,
        started_boot_ns: None,
        comm: None,
        fd: None,
    });
    assert!(resolved.matches(&event));
    event.owner = Owner::unknown("closed");
    assert!(!resolved.matches(&event));
}

#[test]
fn without_a_start_a_live_filter_still_takes_nobody_for_the_wanted_process() {
    let resolved = resolved(&Filters {
        pid: vec![4242],
        ..Filters::default()
    });
    let mut event = retransmit();
    event.owner.started_boot_ns = None;
    assert!(!resolved.matches(&event));
}

#[test]
fn every_event_kind_of_a_trace_is_wanted_unless_some_are_named() {
    let send = event(Detail::Send(SendOk {
        requested_bytes: None,
        sent_bytes: 5,
    }));
    let none = Filters::default;
    assert!(offline(&none()).matches(&send));
    assert!(offline(&none()).matches(&retransmit()));
    let failures = Filters {
        event: vec![EventKind::Drop],
        ..none()
    };
    assert!(!offline(&failures).matches(&send));
    let by_errno = offline(&Filters {
        errno: vec![70],
        ..none()
    });
    assert!(by_errno.matches(&send_error(70)) && by_errno.matches(&connection(Some(70))));
    assert!(!by_errno.matches(&send) && !by_errno.matches(&retransmit()));
}

#[test]
fn cgroups_are_compared_by_path_however_they_are_typed() {
    for typed in [
        "/system.slice/batch.service",
        "system.slice/batch.service/",
        "/system.slice",
        "/",
    ] {
        let resolved = offline(&Filters {
            cgroup: Some(typed.into()),
            ..Filters::default()
        });
        assert!(resolved.matches(&retransmit()), "{typed}");
    }
    let other = offline(&Filters {
        cgroup: Some("/system.slice/bat".into()),
        ..Filters::default()
    });
    assert!(!other.matches(&retransmit()));
}

#[test]
fn a_network_namespace_is_its_inode_number_and_nothing_else() {
    let netns = |text: &str| Filters {
        netns: Some(text.into()),
        ..Filters::default()
    };
    for typed in ["4026531840", "net:[4026531840]"] {
        assert!(offline(&netns(typed)).matches(&retransmit()), "{typed}");
    }
    assert!(!offline(&netns("4026531841")).matches(&retransmit()));
    for typed in [
        "blue",
        "pid:1",
        "self",
        "/run/netns/blue",
        "-1",
        "99999999999",
    ] {
        let Err(Error::Usage(message)) = resolve_offline(&netns(typed)) else {
            panic!("{typed} was taken");
        };
        assert!(
            message.contains(typed) && message.contains("flow.netns"),
            "{message}"
        );
    }
}

#[test]
fn contradictions_are_found_offline_too() {
    let filters = Filters {
        errno: vec![70],
        event: vec![EventKind::Drop],
        ..Filters::default()
    };
    assert!(matches!(resolve_offline(&filters), Err(Error::Usage(_))));
    let drop = event(Detail::Drop(PacketDrop {
        reason: None,
        location: None,
        interface: None,
        bytes: None,
        direction: None,
        ifindex: None,
    }));
    let drops = Filters {
        event: vec![EventKind::Drop],
        ..Filters::default()
    };
    assert!(offline(&drops).matches(&drop));
}
