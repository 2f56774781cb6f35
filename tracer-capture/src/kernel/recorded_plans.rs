//! The plan for kernels that are not at hand, from their recorded facts: `tests/kernels/KERNEL.json` goes in,
//! `tests/kernels/KERNEL.plan` must come out.
//!
//! `cargo xtask vm --record tests/kernels` records; with `SENDTRACE_BLESS=1` in the environment this test
//! writes the plans anew, and the difference is read before it is committed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tracer_common::{FIELDS, Form, UNRESOLVED};

use super::facts::recorded::from_json;
use super::facts::{BtfFacts, Facts, Feature};
use super::plan::{Plan, Wanted, plan};

mod refusals;

const EVERYTHING: Wanted = Wanted {
    follow: true,
    ..Wanted::ALL
};

fn records() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kernels");
    let mut records: Vec<_> = fs::read_dir(folder)
        .expect("tests/kernels")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    records.sort();
    records
}

fn recorded(record: &Path) -> Facts {
    let kernel = record.display();
    let bytes = fs::read(record).unwrap_or_else(|error| panic!("{kernel}: {error}"));
    let json = serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{kernel}: {error}"));
    from_json(&json).unwrap_or_else(|why| {
        panic!("{kernel}: {why}; record again: cargo xtask vm --record tests/kernels")
    })
}

/// One line per purpose, then one per loss.
fn describe(plan: &Plan) -> String {
    let mut text = String::new();
    for choice in &plan.choices {
        let name = choice.group.name;
        let _ = match &choice.hook {
            Some(hook) => writeln!(
                text,
                "{name}: {} on {}/{}",
                hook.program,
                hook.kind.name(),
                hook.attach
            ),
            None => writeln!(
                text,
                "{name}: nothing, {}",
                choice.why_missing().unwrap_or("")
            ),
        };
    }
    for loss in &plan.losses {
        let _ = writeln!(
            text,
            "lost: {}: {} ({})",
            loss.serves.name(),
            loss.lost,
            loss.why
        );
    }
    for field in &plan.fields {
        let _ = writeln!(text, "field: {field:?}");
    }
    text
}

#[test]
fn the_plan_for_each_recorded_kernel_is_the_one_that_was_seen_to_work_there() {
    let records = records();
    assert!(
        records.len() >= 11,
        "only {} kernels are recorded",
        records.len()
    );
    for record in records {
        let kernel = record.display();
        let facts = recorded(&record);
        let here = match plan(&facts, EVERYTHING) {
            Ok(plan) => describe(&plan),
            Err(error) => format!("refused: {error}\n"),
        };
        let expected = record.with_extension("plan");
        if std::env::var_os("SENDTRACE_BLESS").is_some() {
            fs::write(&expected, here).expect("a writable folder");
            continue;
        }
        let seen = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(
            seen, here,
            "{kernel}: the plan has changed (left: as recorded)"
        );
    }
}

#[test]
fn a_field_of_a_recorded_kernel_is_where_its_programs_can_read_it() {
    for record in records() {
        let kernel = record.display();
        let btf = recorded(&record).btf.expect("BTF");
        for (field, slot) in FIELDS.iter().zip(btf.offsets) {
            let (byte, shift, width) = (slot & 0xffff, slot >> 16 & 0xff, slot >> 24);
            let fits = match field.form {
                _ if slot == UNRESOLVED => true,
                Form::Plain => slot == byte,
                Form::Wide(bits) => slot == byte && byte % (bits / 8) == 0,
                Form::Bits => slot == byte || (width > 0 && shift + width <= 8),
            };
            assert!(fits, "{kernel}: {} at {slot:#x}", field.name);
        }
        assert!(
            btf.lacks("sk_protocol") != btf.lacks("sk_protocol_byte"),
            "{kernel}: sk_protocol has one width"
        );
    }
}

/// RHEL 8.10 with less.
fn rhel8(change: impl FnOnce(&mut BtfFacts)) -> Plan {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kernels");
    let mut facts = recorded(&folder.join("rhel-8.10-x86_64.json"));
    change(facts.btf.as_mut().expect("BTF"));
    plan(&facts, EVERYTHING).expect("a plan")
}

/// What `other` has and `plan` has not.
fn only_in(other: &[String], plan: &[String]) -> Vec<String> {
    let lacks = |line: &&String| !plan.contains(line);
    other.iter().filter(lacks).cloned().collect()
}

fn hooks(plan: &Plan) -> Vec<String> {
    plan.hooks().map(|hook| hook.program.to_owned()).collect()
}

fn losses(plan: &Plan) -> Vec<String> {
    plan.losses.iter().map(|loss| loss.lost.clone()).collect()
}

/// As in 8.4 to 8.7.
fn kfree_skb_with_two_arguments(btf: &mut BtfFacts) {
    btf.tracepoints.insert("kfree_skb", 2);
    if let Some(types) = btf.tracepoint_types.get_mut("kfree_skb") {
        types.truncate(2);
    }
    btf.drop_reasons = None;
}

#[test]
fn rhel_8_without_drop_reasons_loses_them_and_nothing_else() {
    let (newest, older) = (rhel8(|_| {}), rhel8(kfree_skb_with_two_arguments));
    let (there, here) = (hooks(&newest), hooks(&older));
    assert_eq!(only_in(&there, &here), ["drop_reason"]);
    assert_eq!(only_in(&here, &there), ["drop_location"]);
    let more = only_in(&losses(&older), &losses(&newest));
    assert_eq!(more.len(), 1, "{more:?}");
    assert!(more[0].starts_with("drop.reason is null"), "{more:?}");
    assert_eq!(newest.fields, older.fields);
    assert_eq!(newest.abilities, older.abilities);
}

/// Cookies for tracing programs came with 8.6; socket storage and the rest with 8.5.
#[test]
fn rhel_8_without_the_helpers_for_sockets_keeps_every_event_kind() {
    let newest = rhel8(|_| {});
    let lacking = |features: &'static [Feature]| {
        rhel8(|btf| {
            kfree_skb_with_two_arguments(btf);
            btf.features.retain(|feature| !features.contains(feature));
        })
    };
    for (features, fewer_hooks, more_hooks, more_losses) in [
        (
            &[Feature::SocketCookie][..],
            &["drop_reason"][..],
            &["drop_location"][..],
            2,
        ),
        (
            &[
                Feature::SocketCookie,
                Feature::TracingSocketStorage,
                Feature::CurrentTask,
                Feature::SocketFromFile,
            ],
            &["drop_reason", "walk_sockets"],
            &["drop_location", "socket_end", "tcp_socket_end"],
            4,
        ),
    ] {
        let older = lacking(features);
        let (there, here) = (hooks(&newest), hooks(&older));
        assert_eq!(only_in(&there, &here), fewer_hooks);
        assert_eq!(only_in(&here, &there), more_hooks);
        let more = only_in(&losses(&older), &losses(&newest));
        assert_eq!(more.len(), more_losses, "{more:?}");
        assert_eq!(newest.fields, older.fields);
        let events = 0..tracer_common::event_kind::WAITING;
        for event_kind in events {
            assert_eq!(older.sees(event_kind), newest.sees(event_kind));
        }
    }
}
