//! What the tool can print can be explained, and the tables are whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tracer_model::linux;

use serde_json::Value;

use super::{Entry, Kind, all, close, errno, of};
use crate::rule::{Confidence, Layer, Symptom};
use crate::rules;
use tracer_model::event::{
    Attribution, CaState, Cause, CountedKind, Device, Direction, EventKind, LostAt, Outcome,
    TcpState, Trigger, transmit_code_name,
};

fn assert_explained(kind: Kind, words: impl IntoIterator<Item = impl AsRef<str>>) {
    let entries = all();
    for word in words {
        let word = word.as_ref();
        assert!(
            entries
                .iter()
                .any(|entry| entry.kind == kind && entry.word == word),
            "{kind:?} {word} has no entry"
        );
        assert!(of(word).iter().any(|entry| entry.kind == kind), "{word}");
    }
}

fn kinds(word: &str) -> Vec<Kind> {
    of(word).iter().map(|entry| entry.kind).collect()
}

#[test]
fn every_word_of_the_output_has_an_entry() {
    assert_explained(Kind::Event, EventKind::ALL.map(EventKind::name));
    assert_explained(Kind::RetransmitCause, Cause::ALL.map(Cause::name));
    assert_explained(
        Kind::RetransmitTrigger,
        [Trigger::Timer, Trigger::Ack].map(Trigger::name),
    );
    assert_explained(
        Kind::Direction,
        [Direction::Sent, Direction::Received].map(Direction::name),
    );
    assert_explained(Kind::TcpState, TcpState::ALL.map(TcpState::name));
    assert_explained(Kind::Attribution, Attribution::ALL.map(Attribution::name));
    assert_explained(Kind::CountedKind, CountedKind::ALL.map(CountedKind::name));
    assert_explained(Kind::LostWhere, LostAt::ALL.map(LostAt::name));
    assert_explained(Kind::Symptom, Symptom::ALL.map(Symptom::name));
    assert_explained(Kind::Layer, Layer::ALL.map(Layer::name));
    let ca_states = (0..).map_while(CaState::from_number);
    assert_explained(Kind::CongestionState, ca_states.map(CaState::name));
    let confidences = [Confidence::Low, Confidence::Medium, Confidence::High];
    assert_explained(Kind::Confidence, confidences.map(Confidence::name));
}

#[test]
fn every_cause_of_a_report_is_explained_in_the_words_of_its_rule() {
    for rule in rules::ALL.iter().copied().chain([&rules::UNKNOWN]) {
        let entries = of(rule.cause);
        let entry = entries.iter().find(|entry| entry.kind == Kind::Diagnosis);
        let entry = entry.unwrap_or_else(|| panic!("{} has no entry", rule.cause));
        assert_eq!(entry.means, rule.title);
        assert_eq!(entry.worse, Some(rule.do_not));
        assert_eq!(entry.points_to, rule.layer);
    }
}

#[test]
fn codes_of_transmits_are_explained() {
    let negative = |errno: i32| Outcome::Failed(-errno).name().into_owned();
    let outcomes = [
        Outcome::Sent.name().into_owned(),
        Outcome::Failed(1).name().into_owned(),
        Outcome::Failed(2).name().into_owned(),
        negative(linux::EBUSY),
        negative(linux::EAGAIN),
        negative(linux::EHOSTUNREACH),
    ];
    assert_explained(Kind::RetransmitOutcome, outcomes);
    let busy = transmit_code_name(Device::TX_BUSY);
    let stuck = Device {
        code: 0,
        interface: None,
        bytes: None,
        ifindex: None,
        queue: None,
        timeout: true,
    };
    assert_explained(
        Kind::DeviceCode,
        [busy, stuck.name(), transmit_code_name(1)],
    );
}

/// The scenarios provoke errnos on real sockets; their sources name them.
#[test]
#[allow(clippy::disallowed_methods)]
fn every_errno_that_the_scenarios_provoke_has_an_entry() {
    let folder = repository().join("tests/scenarios/tests/errno");
    let mut names = BTreeSet::new();
    for file in ["path.rs", "room.rs", "caller.rs", "policy.rs"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let words =
            words.filter(|word| word.starts_with('E') && tracer_model::errno::parse(word).is_ok());
        names.extend(words.map(str::to_owned));
    }
    assert!(names.len() >= 15, "{names:?}");
    assert_explained(Kind::Errno, names);
}

/// What the tool knows about kernels that are not at hand.
#[test]
#[allow(clippy::disallowed_methods)]
fn every_reason_of_the_recorded_kernels_has_an_entry() {
    let entries = std::fs::read_dir(repository().join("tests/kernels")).unwrap();
    let records = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut with_reasons = 0;
    for path in records {
        let kernel = path.display();
        let facts: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if facts["btf"]["drop_reasons"].is_null() {
            continue;
        }
        with_reasons += 1;
        let names = |key: &str| -> Vec<String> {
            let names = facts["btf"][key].as_object();
            let names = names.into_iter().flat_map(|names| names.values());
            names
                .map(|name| name.as_str().unwrap().to_owned())
                .collect()
        };
        assert!(names("drop_reasons").len() > 60, "{kernel}");
        assert_reasons(&names("drop_reasons"), &names("reset_reasons"));
        for subsystem in names("drop_subsystems")
            .iter()
            .filter(|name| *name != "NUM")
        {
            assert_eq!(
                kinds(&format!("{subsystem}:3")),
                [Kind::DropReason],
                "{subsystem}"
            );
        }
    }
    assert!(with_reasons >= 9, "{with_reasons}");
}

fn assert_reasons(drops: &[String], resets: &[String]) {
    assert_explained(Kind::DropReason, drops);
    let resets = resets.iter().filter(|name| *name != "MAX");
    assert_explained(Kind::ResetReason, resets);
}

#[test]
fn no_word_is_explained_twice_in_one_kind() {
    let mut seen = BTreeSet::new();
    for entry in all() {
        let key = (entry.kind, entry.word.to_ascii_uppercase());
        assert!(seen.insert(key), "{:?} {} twice", entry.kind, entry.word);
    }
}

#[test]
fn every_entry_says_something() {
    for entry in all() {
        let Entry {
            means,
            from,
            not_layer,
            next,
            worse,
            ..
        } = &entry;
        for text in [
            Some(means),
            from.as_ref(),
            not_layer.as_ref(),
            next.as_ref(),
            worse.as_ref(),
        ] {
            assert!(text.is_none_or(|text| text.len() > 5), "{entry:?}");
        }
        if entry.kind != Kind::Diagnosis {
            assert!(
                entry.means.ends_with(['.', ')']),
                "{}: {}",
                entry.word,
                entry.means
            );
        }
    }
}

#[test]
fn an_errno_says_where_it_comes_from_what_it_does_not_point_to_and_what_is_next() {
    for entry in errno::entries() {
        let whole = entry.from.is_some() && entry.not_layer.is_some() && entry.next.is_some();
        assert!(whole, "{}", entry.word);
        assert!(
            tracer_model::errno::parse(&entry.word).is_ok(),
            "{}",
            entry.word
        );
    }
}

#[test]
fn case_spelling_and_numbers_lead_to_the_same_entry() {
    let ecomm = of("ECOMM");
    assert_eq!(
        (ecomm[0].kind, ecomm[0].word.as_ref()),
        (Kind::Errno, "ECOMM")
    );
    assert_eq!(ecomm[0].number, Some(linux::ECOMM.unsigned_abs()));
    assert_eq!(of("ecomm"), ecomm);
    assert_eq!(of(&linux::ECOMM.to_string()), ecomm[..1]);
    assert_eq!(of("EWOULDBLOCK")[0].word, "EAGAIN");
    assert_eq!(of("at-send"), of("AT_SEND"));
    assert_eq!(of("SKB_DROP_REASON_QDISC_DROP"), of("qdisc_drop"));
    assert_eq!(of("SKB_CSUM"), of("CSUM"));
    assert_eq!(of("SK_RST_REASON_TCP_STATE"), of("TCP_STATE"));
    assert_eq!(of("TCP_SYN_SENT"), of("syn_sent"));
}

#[test]
fn an_ambiguous_word_has_all_its_meanings() {
    assert_eq!(
        kinds("unknown"),
        [Kind::Diagnosis, Kind::RetransmitCause, Kind::Attribution]
    );
    assert_eq!(kinds("drop"), [Kind::Symptom, Kind::Event]);
    assert_eq!(kinds("kernel"), [Kind::Layer, Kind::Attribution]);
    assert_eq!(kinds("EBUSY"), [Kind::Errno, Kind::RetransmitOutcome]);
    assert_eq!(kinds("TCP_CLOSE"), [Kind::DropReason, Kind::TcpState]);
    assert_eq!(kinds("TCP_CSUM"), [Kind::DropReason]);
}

#[test]
fn an_errno_that_no_send_returns_is_said_to_be_so() {
    let entry = &of("EXDEV")[0];
    assert_eq!((entry.word.as_ref(), entry.number), ("EXDEV", Some(18)));
    assert!(
        entry.means.starts_with("No send is known to return it"),
        "{}",
        entry.means
    );
    assert_eq!(of("300")[0].word, "errno 300");
    assert!(of("ERESTARTNOHAND")[0].means.contains("ERESTARTSYS"));
    assert!(of("0").is_empty() && of("99999").is_empty());
}

#[test]
fn reasons_without_an_entry_get_a_general_answer() {
    assert_eq!(of("QDISC:3")[0].word, "QDISC:3");
    assert_eq!(of("MAC80211_UNUSABLE:7")[0].kind, Kind::DropReason);
    assert_eq!(of("reason_77")[0].word, "reason_77");
    assert!(
        of("TCP_QUITE_NEW_THING")[0]
            .means
            .starts_with("Not known here")
    );
    assert!(
        of("SKB_DROP_REASON_SEG6_MOBILE_NOMEM")[0]
            .means
            .contains("segment routing")
    );
    assert!(of("QDISC:x").is_empty());
    assert!(of("TCP_\x1b[2J").is_empty());
}

#[test]
fn a_misspelt_word_has_close_ones() {
    assert!(of("ECOM").is_empty());
    assert!(close("ECOM").contains(&"ECOMM".to_owned()));
    assert!(of("TCP_RESETT").is_empty());
    assert_eq!(close("qdisc_drp"), ["QDISC_DROP"]);
    assert_eq!(close("retransmitt")[0], "retransmit");
    assert!(close("").is_empty() && close("夜夜夜夜").is_empty());
    assert!(of("").is_empty());
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
