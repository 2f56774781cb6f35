use std::net::Ipv4Addr;

use super::super::link::tests::message;
use super::*;

fn link(index: u32) -> Link {
    Link {
        index,
        name: Some("eth0".to_owned()),
        operstate: Some(6),
        flags: 0x1_0043,
        mtu: Some(1500),
        ..Link::default()
    }
}

fn neighbour(state: u16, link_address: Option<&str>) -> Neighbour {
    Neighbour {
        ifindex: 2,
        address: Ipv4Addr::new(10, 0, 0, 1).into(),
        state,
        link_address: link_address.map(str::to_owned),
    }
}

fn neighbour_change(what: Option<ChangeKind>) -> NeighbourChange {
    match what {
        Some(ChangeKind::Neighbour(change)) => change,
        other => panic!("a neighbour was expected: {other:?}"),
    }
}

#[test]
fn an_announcement_that_repeats_what_is_known_is_no_change() {
    let mut known = Known::default();
    let first = known.change(libc::RTM_NEWLINK, &message(3));
    assert!(matches!(
        first,
        Some(ChangeKind::Link(LinkChange {
            action: Action::New,
            ..
        }))
    ));
    assert_eq!(known.change(libc::RTM_NEWLINK, &message(3)), None);
    assert_eq!(known.change(libc::RTM_NEWLINK, &[]), None);
    assert_eq!(known.change(0xffff, &message(3)), None);
}

#[test]
fn a_link_that_went_down_says_what_changed() {
    let mut known = Known::default();
    known.link(link(2));
    let down = Link {
        operstate: Some(2),
        flags: 0x1003,
        ..link(2)
    };
    let Some(ChangeKind::Link(change)) = known.link(down) else {
        panic!("a change")
    };
    assert_eq!(
        (change.action, change.operstate.as_deref()),
        (Action::Changed, Some("DOWN"))
    );
    assert_eq!(change.changed, ["operstate", "flags"]);
}

#[test]
fn what_was_missed_in_an_overrun_is_told_afterwards() {
    let mut known = Known::default();
    known.link(link(2));
    known.link(link(3));
    let mtu = Link {
        mtu: Some(9000),
        ..link(2)
    };
    let found = known.all_links(vec![mtu, link(4)]);
    let told: Vec<_> = found
        .iter()
        .map(|what| match what {
            ChangeKind::Link(link) => (link.ifindex, link.action),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [(2, Action::Changed), (4, Action::New), (3, Action::Del)]
    );
    assert_eq!(known.links.keys().collect::<Vec<_>>(), [&2, &4]);
}

#[test]
fn a_neighbour_is_told_when_it_fails_and_when_it_is_back() {
    let mut known = Known::default();
    let at = Some("02:00:00:00:00:01");
    assert_eq!(known.neighbour(&neighbour(2, at)), None);
    assert_eq!(known.neighbour(&neighbour(4, at)), None);
    let failed = neighbour_change(known.neighbour(&neighbour(0x20, None)));
    assert_eq!(
        (failed.state.as_str(), failed.state_was.as_deref()),
        ("FAILED", Some("STALE"))
    );
    assert_eq!(failed.link_address_was.as_deref(), at);
    assert_eq!(known.neighbour(&neighbour(0x20, None)), None);
    assert_eq!(known.neighbour(&neighbour(1, None)), None);
    let back = neighbour_change(known.neighbour(&neighbour(2, at)));
    assert_eq!(
        (back.state.as_str(), back.state_was.as_deref()),
        ("REACHABLE", Some("FAILED"))
    );
    assert_eq!(back.link_address_was, None);
}

#[test]
fn a_neighbour_that_moved_is_told_with_both_places() {
    let mut known = Known::default();
    known.neighbour(&neighbour(2, Some("02:00:00:00:00:01")));
    let moved = neighbour_change(known.neighbour(&neighbour(4, Some("02:00:00:00:00:02"))));
    assert_eq!(moved.link_address.as_deref(), Some("02:00:00:00:00:02"));
    assert_eq!(moved.link_address_was.as_deref(), Some("02:00:00:00:00:01"));
}

#[test]
fn a_flood_is_cut_and_counted_when_its_second_is_over() {
    let mut rate = Rate::default();
    let flood = |count: u64| {
        (0..count)
            .map(|_| {
                ChangeKind::Route(RouteChange {
                    action: Action::New,
                    route: route::tests::any(),
                })
            })
            .collect()
    };
    assert_eq!(rate.limit(flood(150), SECOND_NS).len(), 150);
    assert_eq!(rate.limit(flood(150), SECOND_NS + 1).len(), 50);
    let address = ChangeKind::Address(AddressChange::default());
    assert_eq!(rate.limit(vec![address], SECOND_NS + 2).len(), 1);
    let told = rate.limit(Vec::new(), 2 * SECOND_NS);
    let lost = LostChanges {
        why: "rate".to_owned(),
        of: Some("route".to_owned()),
        count: Some(100),
        ..LostChanges::default()
    };
    assert_eq!(told, [ChangeKind::Lost(lost)]);
    assert_eq!(rate.limit(Vec::new(), 3 * SECOND_NS), []);
}
