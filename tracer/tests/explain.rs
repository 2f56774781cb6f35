//! `sendtrace explain` as users run it, byte for byte; `SENDTRACE_BLESS=1` writes what is expected anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tracer_diagnose::explain::{Kind, of};

/// File in `tests/expected`, arguments. Causes of reports are left out (so 70, not ECOMM): their text is that of
/// their rules.
const RUNS: &[(&str, &[&str])] = &[
    ("explain.ecomm.text.txt", &["70"]),
    ("explain.ecomm.json.txt", &["70", "--format", "json"]),
    ("explain.rto-drop.text.txt", &["rto", "QDISC_DROP", "drop"]),
    (
        "explain.none.text.txt",
        &["EXDEV", "QDISC:3", "TCP_NEW_REASON"],
    ),
];

fn explain(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .arg("explain")
        .args(arguments)
        .env_clear()
        .output()
        .expect("the program starts")
}

#[test]
fn explanations_are_what_they_always_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/expected");
    for (name, arguments) in RUNS {
        let output = explain(arguments);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        let path = folder.join(name);
        if std::env::var_os("SENDTRACE_BLESS").is_some() {
            fs::write(&path, said).expect("room");
            continue;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            said == expected,
            "{name}: not as expected; if that is right, write it anew with SENDTRACE_BLESS=1:\n{said}"
        );
    }
}

#[test]
fn a_misspelt_word_ends_with_status_1_and_one_line() {
    let output = explain(&["ECOM"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("did you mean ECOMM"), "{said}");
}

#[test]
fn without_a_word_everything_is_listed() {
    let output = explain(&[]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    for word in [
        "ECOMM",
        "rto",
        "QDISC_DROP",
        "at_send",
        "path_blackhole",
        "stall",
    ] {
        assert!(said.split_whitespace().any(|one| one == word), "{word}");
    }
    assert!(!said.contains('\x1b'));
}

#[test]
fn every_reason_of_this_kernel_is_explained() {
    match tracer_capture::kernel::facts::Facts::probe(Path::new("/")).btf {
        Ok(btf) => {
            let values = |names: Option<BTreeMap<u32, String>>| -> Vec<String> {
                names.into_iter().flat_map(BTreeMap::into_values).collect()
            };
            for name in values(btf.drop_reasons) {
                let known = of(&name).iter().any(|entry| entry.kind == Kind::DropReason);
                assert!(known, "{name}");
            }
        }
        Err(why) => println!("skipped: this host has no type information: {why}"),
    }
}
