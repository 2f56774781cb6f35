//! docs/rules.md is the table of rules, written out: a rule and its page never differ.

use std::fmt::Write as _;
use std::path::Path;

use tracer_diagnose::rule::{Layer, Rule};
use tracer_diagnose::rules::{ALL, UNKNOWN};

const HEAD: &str = "\
# Rules

What `sendtrace report` can find, why, and what would show that it is something else. This page is written by the \
test `rules_doc` from the table in `tracer-diagnose/src/rules/`; how well the rules do is measured in \
[diagnosis.md](diagnosis.md).

A rule judges what was recorded as a whole, and knows nothing of the other rules. Where one says more about a socket \
than another, the other steps back (\"instead of\"). What is missing for a judgement (an event kind that was not recorded, \
lost events, no samples) is said in the finding and lowers its confidence by one step.

Before a verdict on the network or the peer stands, this host itself must be excluded, the same way for every rule: loopback, \
packets that this host dropped when they had arrived, drops without a socket, accept queues, a full table of connections, \
addresses that were removed, links that were down, memory. What is refuted so is taken away; each finding lists what was \
excluded. A finding on them that rests on one socket is never sure. An interface is to blame only where the packets of \
these sockets leave or come by it, in the same network namespace.

Every sign of trouble is accounted for once: a finding explains it, it is left out on purpose (the report lists what, and \
how often), or it is unknown, which is a finding too. \"Nothing wrong\" is said when nothing remains.
";

#[test]
fn the_page_of_rules_says_what_the_rules_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    let page = page();
    if std::env::var_os("SENDTRACE_BLESS").is_some() {
        std::fs::write(&path, page).expect("docs/rules.md");
        return;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        known == page,
        "docs/rules.md is not what the rules say: SENDTRACE_BLESS=1 cargo test -p tracer --test rules_doc"
    );
}

fn page() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n| layer | symptom | cause | what is the matter |\n|---|---|---|---|\n");
    let layers = Layer::ALL.map(Some).into_iter().chain([None]);
    let mut rules: Vec<&Rule> = ALL.iter().copied().chain([&UNKNOWN]).collect();
    rules.sort_by_key(|rule| rule.cause);
    let sorted: Vec<_> = layers
        .flat_map(|layer| rules.iter().filter(move |rule| rule.layer == layer))
        .collect();
    for rule in &sorted {
        let layer = rule.layer.map_or("unknown", |layer| layer.name());
        let cause = rule.cause;
        _ = writeln!(
            text,
            "| {layer} | {} | [{cause}](#{cause}) | {} |",
            rule.symptom, rule.title
        );
    }
    for rule in &sorted {
        one(rule, &mut text);
    }
    text
}

fn one(rule: &Rule, text: &mut String) {
    let needs: Vec<_> = rule
        .needs
        .iter()
        .map(|event_kind| format!("`{event_kind}`"))
        .collect();
    let samples = if rule.needs_samples {
        ", and the counters of the host"
    } else {
        ""
    };
    let supersedes: Vec<_> = rule
        .supersedes
        .iter()
        .map(|cause| format!("[{cause}](#{cause})"))
        .collect();
    _ = writeln!(
        text,
        "\n## {}\n\n**{}.** {}\n",
        rule.cause, rule.title, rule.reason
    );
    let rows = [
        ("Rests on", rule.rests_on.to_owned()),
        (
            "Must be able to see",
            format!("{}{samples}.", needs.join(", ")),
        ),
        ("Refuted by", rule.refuted_by.to_owned()),
        ("Next step", rule.next_step.to_owned()),
        ("Do not", rule.do_not.to_owned()),
        ("Instead of", supersedes.join(", ")),
    ];
    for (name, words) in rows.iter().filter(|(_, words)| !words.is_empty()) {
        _ = writeln!(text, "- *{name}:* {words}");
    }
}
