//! The decision, with every fact set by hand.

use tracer_common::Flow;

use super::*;

fn stored(pid: u32, grade: u8) -> Stored {
    let mut comm = [0; 16];
    comm[..5].copy_from_slice(b"batch");
    Stored {
        start_ns: u64::from(pid) * 1000,
        pid,
        tid: pid + 1,
        uid: 7,
        grade,
        comm,
        ..Stored::default()
    }
}

const EVENT_NS: u64 = 1_000_000;

fn head(owner: Stored) -> Head {
    Head {
        boot_ns: EVENT_NS,
        owner,
        file_refs: 1,
        flow: Flow {
            cookie: 9,
            inode: 4,
            ..Flow::default()
        },
        ..Head::default()
    }
}

fn holder(pid: u32) -> Holder {
    Holder {
        cookie: 9,
        inode: 4,
        owner: stored(pid, grade::SEEDED),
        fd: 3,
        pad: 0,
    }
}

/// A holder that was seen before the event.
fn held(pid: u32) -> Held {
    Held {
        holder: holder(pid),
        since_ns: EVENT_NS,
    }
}

fn owners_with(root: &std::path::Path) -> Owners {
    Owners::new(
        Holders::new(5),
        Processes::new(root),
        Cgroups::new(None),
        Names::new(root, true),
    )
}

#[test]
fn the_only_sender_with_the_only_descriptor_is_the_owner_while_it_lives() {
    let root = tempfile::tempdir().unwrap();
    let head = head(stored(42, grade::AT_SEND));
    // No process in this /proc: another must have inherited the socket.
    assert!(owners_with(root.path()).needs_holders(&head));

    std::fs::create_dir_all(root.path().join("proc/42")).unwrap();
    let stat = "42 (later) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0\n";
    std::fs::write(root.path().join("proc/42/stat"), stat).unwrap();
    let mut owners = owners_with(root.path());
    assert!(!owners.needs_holders(&head));
    let owner = owners.resolve(&head);
    assert_eq!(
        (owner.grade, owner.pid, owner.tid),
        (Attribution::AtSend, Some(42), Some(43))
    );
    assert_eq!((owner.uid, owner.started_boot_ns), (Some(7), Some(42_000)));
    assert_eq!(
        owner.comm,
        Some(RawName::new(*b"later")),
        "the name that it has now"
    );
}

#[test]
fn whoever_makes_the_failing_call_is_the_owner_without_a_look_up() {
    let mut head = head(stored(42, grade::AT_SEND));
    head.flags = head_flag::CURRENT;
    head.file_refs = 5;
    assert_eq!(decide(&head, Lookup::NotNeeded).grade, Attribution::AtSend);
    assert!(!owners_with(std::path::Path::new("/nowhere")).needs_holders(&head));
}

#[test]
fn an_orphaned_socket_keeps_its_last_owner() {
    let mut head = head(stored(42, grade::AT_SEND));
    head.flags = head_flag::ORPHAN;
    let owner = decide(&head, Lookup::NotNeeded);
    assert_eq!((owner.grade, owner.pid), (Attribution::LastKnown, Some(42)));
}

#[test]
fn an_orphaned_socket_that_nobody_used_is_unknown_and_says_why() {
    let mut head = head(Stored::default());
    head.flags = head_flag::ORPHAN;
    let owner = decide(&head, Lookup::NotNeeded);
    assert_eq!((owner.grade, owner.pid), (Attribution::Unknown, None));
    assert!(owner.why.is_some());
}

#[test]
fn a_socket_without_a_file_belongs_to_the_kernel() {
    let mut fileless = head(Stored::default());
    fileless.file_refs = 0;
    assert_eq!(
        decide(&fileless, Lookup::NotNeeded).grade,
        Attribution::Kernel
    );
    let sent_by_a_kernel_thread = head(stored(0, grade::KERNEL));
    assert_eq!(
        decide(&sent_by_a_kernel_thread, Lookup::NotNeeded).grade,
        Attribution::Kernel
    );
}

#[test]
fn several_holders_are_all_listed_and_the_sender_comes_first() {
    let mut head = head(stored(42, grade::AT_SEND));
    head.file_refs = 2;
    let holders = [held(7), held(42)];
    let owner = decide(&head, Lookup::Found(&holders));
    assert_eq!((owner.grade, owner.pid), (Attribution::Shared, Some(42)));
    assert_eq!(
        owner
            .holders
            .iter()
            .map(|holder| holder.pid)
            .collect::<Vec<_>>(),
        [7, 42]
    );
}

#[test]
fn among_several_holders_a_sender_that_let_go_is_not_named() {
    let mut head = head(stored(5, grade::AT_SEND));
    head.file_refs = 2;
    let holders = [held(7), held(42)];
    let owner = decide(&head, Lookup::Found(&holders));
    assert_eq!((owner.grade, owner.pid), (Attribution::Shared, Some(7)));
}

#[test]
fn a_process_that_reused_the_pid_is_another_process() {
    let mut head = head(stored(42, grade::AT_CONNECT));
    head.owner.start_ns += 1;
    let owner = decide(&head, Lookup::Found(&[held(42)]));
    assert_eq!(
        (owner.grade, owner.started_boot_ns),
        (Attribution::Seeded, Some(42_000))
    );
}

#[test]
fn the_child_that_alone_holds_the_socket_of_its_parent_is_the_owner() {
    let owner = decide(
        &head(stored(42, grade::AT_CONNECT)),
        Lookup::Found(&[held(43)]),
    );
    assert_eq!((owner.grade, owner.pid), (Attribution::Seeded, Some(43)));
    let owner = decide(
        &head(stored(42, grade::AT_SEND)),
        Lookup::Found(&[held(43)]),
    );
    assert_eq!((owner.grade, owner.pid), (Attribution::Seeded, Some(43)));
    assert_eq!(
        owner.why.as_deref(),
        Some("pid 42 has sent on it and given it away")
    );
}

#[test]
fn the_stored_grade_stands_when_the_look_up_confirms_it() {
    for (grade, shown) in [
        (grade::AT_CONNECT, Attribution::AtConnect),
        (grade::AT_ACCEPT, Attribution::AtAccept),
        (grade::AT_LISTEN, Attribution::AtListen),
        (grade::SEEDED, Attribution::Seeded),
        (grade::AT_CLOSE, Attribution::Seeded),
    ] {
        let owner = decide(&head(stored(42, grade)), Lookup::Found(&[held(42)]));
        assert_eq!((owner.grade, owner.pid), (shown, Some(42)));
    }
}

#[test]
fn a_socket_closed_before_the_look_up_is_last_known() {
    // A single descriptor too: who connected may have left it to a child that has ended since.
    for grade in [grade::AT_CONNECT, grade::AT_SEND, grade::AT_ACCEPT] {
        let mut head = head(stored(42, grade));
        for file_refs in [1, 2] {
            head.file_refs = file_refs;
            let owner = decide(&head, Lookup::Found(&[]));
            assert_eq!((owner.grade, owner.pid), (Attribution::LastKnown, Some(42)));
        }
    }
    let head = head(Stored::default());
    assert_eq!(
        decide(&head, Lookup::Found(&[])).grade,
        Attribution::Unknown
    );
}

#[test]
fn a_missed_look_up_lowers_the_grade_and_says_why() {
    let owner = decide(&head(stored(42, grade::SEEDED)), Lookup::Missed("too many"));
    assert_eq!(
        (owner.grade, owner.pid, owner.why.as_deref()),
        (Attribution::LastKnown, Some(42), Some("too many"))
    );
    let owner = decide(&head(Stored::default()), Lookup::Missed("too many"));
    assert_eq!(
        (owner.grade, owner.pid, owner.why.as_deref()),
        (Attribution::Unknown, None, Some("too many"))
    );
}

#[test]
fn look_ups_are_repeated_for_younger_events_within_their_share_of_time() {
    let mut holders = Holders::new(5);
    let now = std::cell::Cell::new(1_000);
    let clock = || {
        now.set(now.get() + 10);
        now.get()
    };
    let walks = std::cell::Cell::new(0);
    let mut walk = || {
        walks.set(walks.get() + 1);
        Ok(vec![holder(42), holder(42)])
    };
    let of = |cookie, inode, flags| {
        let mut head = head(Stored::default());
        (head.flow.cookie, head.flow.inode, head.flags) = (cookie, inode, flags);
        head
    };
    let flow = of(9, 0, 0);
    holders.refresh(500, &clock, &mut walk);
    assert!(matches!(holders.of(&flow), Lookup::Found([only]) if only.holder.owner.pid == 42));
    assert_eq!(holders.of(&of(8, 4, 0)), Lookup::Found(&[]));
    // Before it has a cookie; and a subflow, whose cookie is not that of the socket with the file.
    for by_inode in [of(0, 4, 0), of(8, 4, head_flag::SUBFLOW)] {
        assert!(matches!(holders.of(&by_inode), Lookup::Found([_])));
    }

    // An event that is older than the walk needs no other.
    holders.refresh(900, &clock, &mut walk);
    assert_eq!(walks.get(), 1);
    // A younger one does, but the share of time is used up: better no answer than an old one.
    holders.refresh(now.get(), &clock, &mut walk);
    assert_eq!(walks.get(), 1);
    assert!(matches!(holders.of(&flow), Lookup::Missed(_)));
    now.set(10_000);
    holders.refresh(9_999, &clock, &mut walk);
    assert_eq!(walks.get(), 2);
    assert!(matches!(holders.of(&flow), Lookup::Found([_])));

    let mut unbounded = Holders::new(100);
    for _ in 0..2 {
        unbounded.refresh(now.get(), &clock, &mut walk);
        assert!(matches!(unbounded.of(&flow), Lookup::Found([_])));
    }
    assert_eq!(walks.get(), 4);

    now.set(100_000);
    holders.refresh(99_999, &clock, &mut || anyhow::bail!("no"));
    assert!(matches!(holders.of(&flow), Lookup::Missed(_)));
}

#[test]
fn a_process_is_shown_under_the_name_that_it_has_when_it_is_looked_up() {
    let mut renamed = held(42);
    renamed.holder.owner.comm[..5].copy_from_slice(b"newer");
    renamed.holder.owner.uid = 8;
    let head = head(stored(42, grade::AT_CONNECT));
    for holders in [vec![renamed], vec![renamed, held(43)]] {
        let owner = decide(&head, Lookup::Found(&holders));
        assert_eq!(
            (owner.pid, owner.tid, owner.uid),
            (Some(42), Some(43), Some(8))
        );
        assert_eq!(owner.comm, RawName::from_padded(b"newer"));
    }
}

#[test]
fn a_process_that_started_after_the_event_is_not_its_owner() {
    let mut young = held(43);
    young.holder.owner.start_ns = EVENT_NS + 1;
    let owner = decide(
        &head(stored(42, grade::AT_CONNECT)),
        Lookup::Found(&[young]),
    );
    assert_eq!((owner.grade, owner.pid), (Attribution::LastKnown, Some(42)));
    assert_eq!(
        owner.why.as_deref(),
        Some("pid 43 holds it now, and started after this")
    );
    let owner = decide(&head(Stored::default()), Lookup::Found(&[young]));
    assert_eq!((owner.grade, owner.pid), (Attribution::Unknown, None));
    // Beside the one that had it alone it does not make the socket a shared one.
    let owner = decide(
        &head(stored(42, grade::AT_CONNECT)),
        Lookup::Found(&[held(42), young]),
    );
    assert_eq!((owner.grade, owner.pid), (Attribution::AtConnect, Some(42)));
}

#[test]
fn a_process_that_may_have_been_given_the_socket_since_is_not_its_owner() {
    let mut taker = held(7);
    taker.since_ns = EVENT_NS + 1;
    for grade in [grade::AT_CONNECT, grade::AT_SEND, grade::SEEDED] {
        let owner = decide(&head(stored(42, grade)), Lookup::Found(&[taker]));
        assert_eq!((owner.grade, owner.pid), (Attribution::LastKnown, Some(42)));
        assert_eq!(
            owner.why.as_deref(),
            Some("pid 7 holds it now; whether it did then is not known")
        );
    }
    let alone = head(stored(42, grade::AT_CONNECT));
    let owner = decide(&alone, Lookup::Found(&[taker, held(42)]));
    assert_eq!((owner.grade, owner.pid), (Attribution::AtConnect, Some(42)));
    // Nobody better is known: it is.
    let owner = decide(&head(Stored::default()), Lookup::Found(&[taker]));
    assert_eq!((owner.grade, owner.pid), (Attribution::Seeded, Some(7)));
}

#[test]
fn a_holder_is_known_since_the_first_of_the_walks_that_found_it() {
    let mut holders = Holders::new(5);
    let head = head(Stored::default());
    let since = |holders: &Holders| match holders.of(&head) {
        Lookup::Found(held) => held
            .iter()
            .map(|held| (held.holder.owner.pid, held.since_ns))
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    holders.learn(vec![holder(42)], 10);
    holders.learn(vec![holder(42), holder(7)], 20);
    assert_eq!(since(&holders), [(7, 20), (42, 10)]);
    holders.learn(vec![holder(7)], 30);
    holders.learn(vec![holder(7), holder(42)], 40);
    assert_eq!(since(&holders), [(7, 20), (42, 40)]);
}
