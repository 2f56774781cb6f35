//! What else was different, as the headers of two traces tell it.

use serde_json::{Map, Value, json};

use super::{QUIET, header, made};
use crate::diff::Diff;

fn warnings(before: Value, after: Value) -> (usize, Vec<String>) {
    let diff = Diff::new(made(before, QUIET), made(after, QUIET), false);
    (diff.setup.changes(), diff.setup.warnings)
}

#[test]
fn one_change_is_named_and_two_are_warned_of() {
    let mut one = header();
    one["sysctls"] = json!({"net.a": "2"});
    let (changes, said) = warnings(header(), one.clone());
    assert_eq!(changes, 1);
    assert!(
        !said.iter().any(|text| text.contains("things changed")),
        "{said:?}"
    );
    one["interfaces"] =
        json!([{"name": "eth0", "ifindex": 2, "mtu": 1400, "features_on": ["tx-gso"]}]);
    let mut other = header();
    other["interfaces"] = json!([{"name": "eth0", "ifindex": 2, "mtu": 1500, "features_on": []}]);
    let (changes, said) = warnings(other, one);
    assert_eq!(changes, 3);
    assert!(
        said.iter().any(|text| text.starts_with("3 things changed")),
        "{said:?}"
    );
}

#[test]
fn a_route_that_leads_elsewhere_is_one_change_and_an_old_trace_without_routes_is_none() {
    let with = |routes: Value| {
        let mut header = header();
        header["routes"] = routes;
        header
    };
    let default = |gateway: &str| {
        json!([
            {"family": "inet", "destination": "default", "gateway": gateway, "interface": "eth0", "table": 254,
             "protocol": "static", "route_type": "unicast"},
            {"family": "inet6", "destination": "default", "gateway": "fe80::1", "interface": "eth0", "table": 254,
             "protocol": "ra", "route_type": "unicast"},
        ])
    };
    let (before, after) = (with(default("10.0.0.1")), with(default("10.0.0.2")));
    let diff = Diff::new(made(before.clone(), QUIET), made(after, QUIET), false);
    let [setting] = diff.setup.settings.as_slice() else {
        panic!("{:?}", diff.setup.settings);
    };
    assert_eq!(setting.what, "route default");
    assert_eq!(
        (setting.before.as_deref(), setting.after.as_deref()),
        (
            Some("default via 10.0.0.1 dev eth0 proto static"),
            Some("default via 10.0.0.2 dev eth0 proto static")
        )
    );
    assert_eq!(warnings(header(), before.clone()).0, 0);
    assert_eq!(warnings(before, with(json!([]))).0, 2);
}

#[test]
fn a_counter_among_the_settings_is_no_change() {
    let with = |count: &str| {
        let mut header = header();
        header["sysctls"] = json!({"net.netfilter.nf_conntrack_count": count});
        header
    };
    assert_eq!(warnings(with("3"), with("4")).0, 0);
}

#[test]
fn a_header_that_says_nothing_breaks_nothing() {
    let (changes, _) = warnings(
        Value::Object(Map::new()),
        json!({"sysctls": 5, "netns": "x"}),
    );
    assert_eq!(changes, 0);
}
