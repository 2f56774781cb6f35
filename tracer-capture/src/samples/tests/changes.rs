//! Changes as the kernel announces them.

use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;
use tracer_model::samples::{Action, ChangeKind};

/// Drains until `is_it` finds what it looks for.
fn wait_for<T>(changes: &mut Changes, mut is_it: impl FnMut(&ChangeKind) -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    let mut seen = Vec::new();
    loop {
        for change in changes.drain(crate::sys::boot_clock_ns()) {
            if let Some(found) = is_it(&change.what) {
                return found;
            }
            seen.push(change);
        }
        assert!(Instant::now() < deadline, "not in {seen:#?}");
        let mut fds = [PollFd::new(changes.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(1000_u16)).unwrap();
    }
}

#[test]
#[ignore = "needs root"]
fn root_changes_of_the_network_are_heard_without_privileges() {
    in_a_namespace(&["ip"], || {
        let mut changes = Changes::open().unwrap();
        without_capabilities();
        changes.drain(1);

        ip("route add 192.0.2.0/24 via 10.9.0.2 dev va metric 7");
        let route = wait_for(&mut changes, |what| match what {
            ChangeKind::Route(change) if change.route.destination == "192.0.2.0/24" => {
                Some(change.clone())
            }
            _ => None,
        });
        let (action, route) = (route.action, route.route);
        assert_eq!((action, route.metric), (Action::New, Some(7)));
        assert_eq!(route.gateway.as_deref(), Some("10.9.0.2"));
        assert_eq!(
            (route.interface.as_deref(), route.protocol.as_str()),
            (Some("va"), "boot")
        );

        ip("addr add 10.9.0.5/24 dev va");
        let address = wait_for(&mut changes, |what| match what {
            ChangeKind::Address(address) if address.address == "10.9.0.5/24" => {
                Some(address.clone())
            }
            _ => None,
        });
        assert_eq!(
            (address.action, address.interface.as_deref()),
            (Action::New, Some("va"))
        );

        // Nobody answers for 10.9.0.77.
        let udp = UdpSocket::bind("10.9.0.1:0").unwrap();
        udp.send_to(b"x", "10.9.0.77:9").unwrap();
        let neighbour = wait_for(&mut changes, |what| match what {
            ChangeKind::Neighbour(one) if one.address == "10.9.0.77" => Some(one.clone()),
            _ => None,
        });
        assert_eq!(
            (neighbour.state.as_str(), neighbour.interface.as_deref()),
            ("FAILED", Some("va"))
        );

        ip("link set vb down");
        let link = wait_for(&mut changes, |what| match what {
            ChangeKind::Link(link) if link.interface.as_deref() == Some("va") => Some(link.clone()),
            _ => None,
        });
        assert_eq!(link.action, Action::Changed);
        assert!(link.changed.contains(&"operstate".to_owned()), "{link:?}");

        ip("link del vb");
        wait_for(&mut changes, |what| match what {
            ChangeKind::Link(link) if link.action == Action::Del => Some(()),
            _ => None,
        });
    });
}

#[test]
#[ignore = "needs root"]
fn root_an_overrun_of_changes_is_told_and_the_links_are_looked_at_again() {
    in_a_namespace(&["ip"], || {
        let mut changes = Changes::open().unwrap();
        changes.drain(1);
        // Far more than the kernel keeps for us, and the link's change among what is lost.
        let mut batch = tempfile::NamedTempFile::new().unwrap();
        let routes = (0..20_000).map(|n| {
            format!(
                "route add 198.{}.{}.{}/32 via 10.9.0.2\n",
                18 + n / 65536,
                n / 256 % 256,
                n % 256
            )
        });
        std::io::Write::write_all(&mut batch, routes.collect::<String>().as_bytes()).unwrap();
        ip(&format!("-batch {}", batch.path().display()));
        ip("link set va mtu 1400");
        let found: Vec<_> = changes
            .drain(1_000_000_002)
            .into_iter()
            .map(|change| change.what)
            .collect();
        let lost = found
            .iter()
            .filter(|what| matches!(what, ChangeKind::Lost(lost) if lost.why == "overrun"));
        assert_eq!(lost.count(), 1);
        assert!(
            found
                .iter()
                .any(|what| matches!(what, ChangeKind::Link(link) if link.mtu == Some(1400)))
        );
        // Routes beyond the rate are counted.
        let later = changes.drain(3_000_000_000);
        let rate = later.iter().find_map(|change| match &change.what {
            ChangeKind::Lost(lost) if lost.why == "rate" => lost.count,
            _ => None,
        });
        assert!(rate.is_some_and(|count| count > 500), "{later:?}");
    });
}

#[test]
#[ignore = "needs root"]
fn root_routes_that_somebody_made_are_described_once_unless_there_are_too_many() {
    in_a_namespace(&["ip"], || {
        ip("route add default via 10.9.0.2 metric 7 mtu 1400");
        ip("-6 route add unreachable 2001:db8::/32");
        let once = || {
            let about = About {
                boot_ns: 1,
                now: jiff::Timestamp::UNIX_EPOCH,
                tool_version: "",
                arguments: &[],
                zone: &jiff::tz::TimeZone::UTC,
                tz: None,
            };
            once(Path::new("/"), &about).routes
        };
        let told: Vec<_> = once().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "default via 10.9.0.2 dev va proto boot metric 7 mtu 1400",
                "unreachable 2001:db8::/32 dev lo proto boot metric 1024",
            ]
        );
        let many: String = (0..256)
            .map(|number| format!("route add 192.0.2.{number}/32 via 10.9.0.2\n"))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("routes");
        std::fs::write(&file, many).unwrap();
        ip(&format!("-batch {}", file.display()));
        assert_eq!(once(), None);
    });
}
