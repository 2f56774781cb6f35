use std::cell::Cell;

use serde_json::Value;

use super::*;
use crate::render::doctor::{COLUMNS, Summary};
use tracer_capture::kernel::facts::fixture::{host, with_btf};
use tracer_capture::kernel::facts::{Capabilities, ProgramVerdict};
use tracer_capture::kernel::plan::Purpose;
use tracer_model::escape;

fn everything(facts: &Facts) -> Result<Plan, PlanError> {
    plan::plan(
        facts,
        Wanted {
            follow: true,
            connect_errors: true,
            ..Wanted::ALL
        },
    )
}

/// A kernel that allows all but these programs.
fn refusing(refused: &[(&str, &str)]) -> impl FnOnce(&mut Facts, Wanted) -> anyhow::Result<Plan> {
    let refusals = refused.iter().map(|(program, text)| {
        let (errno, text) = (Some(1), (*text).to_owned());
        (
            (*program).to_owned(),
            ProgramVerdict::Refused { errno, text },
        )
    });
    let refusals: Vec<_> = refusals.collect();
    move |facts, wanted| {
        for (program, refusal) in refusals {
            facts.verdicts.note(&program, refusal);
        }
        let plan = plan::plan(facts, wanted)?;
        for hook in plan.hooks() {
            facts.verdicts.note(hook.program, ProgramVerdict::Allowed);
        }
        Ok(plan)
    }
}

/// Text and JSON of a host that refuses these programs.
fn reports(facts: &Facts, refused: &[(&str, &str)]) -> (String, Value) {
    let mut facts = facts.clone();
    let tried = Tried::with(&mut facts, refusing(refused));
    let examination = tried.examination(&facts);
    let (text, json) = (
        doctor(&examination, Renderer::Text { colour: false }),
        doctor(&examination, Renderer::Json),
    );
    for line in text.lines() {
        assert!(escape::width(line) <= COLUMNS, "too wide: {line}");
        assert!(!line.contains('\x1b'));
    }
    assert_eq!(json.lines().count(), 1);
    (text, serde_json::from_str(&json).unwrap())
}

/// What JSON says of a place.
fn hook_at<'a>(json: &'a Value, attach: &str) -> &'a Value {
    let mut hooks = json["hooks"].as_array().unwrap().iter();
    hooks.find(|hook| hook["attach"] == attach).unwrap()
}

#[test]
fn a_perfect_host_sees_everything_and_still_names_its_limits() {
    let (text, json) = reports(&host(), &[]);
    assert!(
        text.starts_with("Can sendtrace trace here?\n  yes "),
        "{text}"
    );
    assert!(text.contains("every event kind is seen\n"));
    assert!(text.contains(
        "retransmit              ok       tp_btf/tcp_retransmit_skb, program retransmit_err\n"
    ));
    assert!(text.contains("Lost on this host\n  nothing\n"));
    assert!(!text.contains("blocked_us is null"));
    assert!(
        !text.contains("A send that a security module refuses"),
        "the optional hook sees it"
    );
    assert_eq!(json["type"], "doctor");
    assert_eq!(json["can_trace"], true);
    assert_eq!(json["problem"], Value::Null);
    assert_eq!(json["losses"], Value::Array(Vec::new()));
    assert_eq!(json["fields"]["resolved"], json["fields"]["total"]);
    // On a perfect host owners need no end, and the functions of connect(2) say what its system call would.
    let for_older = |group: &&plan::Group| {
        group.serves == [Purpose::OwnerEnd] || group.attach == "sys_exit_connect"
    };
    let groups = plan::GROUPS.iter().filter(|group| !for_older(group));
    let expected = groups.chain(plan::WAIT_ENDS).count();
    assert_eq!(json["hooks"].as_array().unwrap().len(), expected);
}

#[test]
fn a_host_that_withholds_events_is_named_and_no_other() {
    let words = "runs no BPF program while a task of process 1 is at hand";
    for (withholds, named) in [(Some(true), true), (Some(false), false), (None, false)] {
        let facts = Facts {
            withholds,
            ..host()
        };
        let (text, json) = reports(&facts, &[]);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(text.contains(words), named, "{text}");
        assert_eq!(
            json["host"]["withholds_events_of_process_1"],
            serde_json::json!(withholds)
        );
    }
}

#[test]
fn a_user_without_root_is_told_the_command_to_run() {
    let facts = Facts {
        euid: 1000,
        capabilities: Some(Capabilities(0)),
        ..host()
    };
    let (text, json) = reports(&facts, &[]);
    assert!(text.contains("not as this user"), "{text}");
    assert!(
        text.contains("live needs root (missing: CAP_BPF, CAP_PERFMON): run `sudo sendtrace live`"),
        "{text}"
    );
    assert!(text.contains("1000 (not root)"));
    assert!(text.contains("CAP_BPF                 missing  loading programs and maps\n"));
    assert!(text.contains("untried  tp_btf/kfree_skb"));
    assert_eq!(json["can_trace"], false);
    assert_eq!(json["tried"], false);
    assert_eq!(json["privileges"]["missing"][0]["capability"], "CAP_BPF");
    assert_eq!(json["privileges"]["missing"][0]["fatal"], true);
}

#[test]
fn a_hook_that_policy_refuses_shows_the_kernels_words_and_what_is_lost() {
    let (text, json) = reports(&host(), &[("lsm_refusal", "Operation not permitted")]);
    assert!(
        text.contains("  yes "),
        "an optional hook is no loss of an event kind"
    );
    assert!(
        text.contains("send refused by policy  refused  fexit/security_socket_sendmsg"),
        "{text}"
    );
    assert!(
        text.contains("A send that a security module refuses"),
        "the limit holds again"
    );
    let hook = json["hooks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|hook| hook["program"] == "lsm_refusal")
        .unwrap();
    assert_eq!(
        (&hook["status"], &hook["errno"], &hook["optional"]),
        (&"refused".into(), &1.into(), &true.into())
    );
    assert_eq!(
        json["losses"][0]["why"],
        "the kernel refuses fexit/security_socket_sendmsg: Operation not permitted"
    );
}

#[test]
fn an_event_kind_without_its_hook_is_named_at_the_top() {
    let all = ["drop_rx_sk", "drop_reason", "drop_location"];
    let (text, json) = reports(&host(), &all.map(|program| (program, "Permission denied")));
    assert!(text.contains("partly"), "{text}");
    assert!(
        text.contains("not seen: drop; see \"Lost on this host\""),
        "{text}"
    );
    assert_eq!(json["events_not_seen"], serde_json::json!(["drop"]));
    assert_eq!(json["can_trace"], true);
}

#[test]
fn why_a_better_hook_was_not_taken_is_said() {
    let facts = with_btf(|btf| {
        btf.tracepoints.insert("kfree_skb", 2);
    });
    let (text, json) = reports(&facts, &[]);
    assert!(
        text.contains("ok       tp_btf/kfree_skb, program drop_location\n"),
        "{text}"
    );
    assert!(
        text.contains("not      drop_rx_sk: kfree_skb has 2 arguments here, this form needs 4\n"),
        "{text}"
    );
    assert!(text.contains("drop.reason is null"), "{text}");
    let hook = json["hooks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|hook| hook["program"] == "drop_location")
        .unwrap();
    assert_eq!(hook["passed_over"].as_array().unwrap().len(), 2);
}

#[test]
fn a_field_that_is_missing_says_what_becomes_null() {
    let index = tracer_common::FIELDS
        .iter()
        .position(|field| field.name == "tcp_rto")
        .unwrap();
    let facts = with_btf(|btf| btf.offsets[index] = tracer_common::UNRESOLVED);
    let (text, json) = reports(&facts, &[]);
    assert!(
        text.contains("tcp_rto                 tcp.rto_us\n"),
        "{text}"
    );
    assert_eq!(
        json["fields"]["unresolved"][0]["becomes_null"][0],
        "tcp.rto_us"
    );
}

#[test]
fn a_host_without_btf_gets_one_clear_line() {
    let facts = Facts {
        btf: Err("vmlinux: No such file or directory".to_owned()),
        ..host()
    };
    let (text, json) = reports(&facts, &[]);
    assert!(text.contains("  no  "), "{text}");
    assert!(text.contains("CONFIG_DEBUG_INFO_BTF"), "{text}");
    assert!(!text.contains("\nHooks\n"));
    assert_eq!(json["can_trace"], false);
    assert_eq!(json["host"]["btf"], false);
    assert_eq!(json["fields"], Value::Null);
}

#[test]
fn maps_that_the_kernel_refuses_are_the_answer() {
    let (facts, plan) = (host(), everything(&host()));
    let examination = Examination {
        facts: &facts,
        plan: &plan,
        tried: false,
        load_error: Some("the kernel did not create the maps"),
    };
    assert_eq!(
        examination.summary(),
        Summary::No("the kernel did not create the maps".to_owned())
    );
}

#[test]
fn nothing_that_a_file_says_can_steer_the_terminal() {
    let facts = Facts {
        kernel_release: Some("6\x1b[2J\u{202e}x".to_owned()),
        cgroup2: Some("/\x1b]0;owned\x07".into()),
        systemd_cgroups: Some("/\x1b]0;owned\x07".into()),
        ..host()
    };
    let (text, _) = reports(&facts, &[("xmit", "bad\x1b[31m\nnext")]);
    assert!(text.contains("6\\x1b[2J\\u{202e}x"), "{text}");
}

#[test]
fn unknown_facts_are_unknown_and_not_zero() {
    let facts = Facts {
        kernel_release: None,
        jit: None,
        lockdown: None,
        unprivileged_bpf_disabled: None,
        kptr_restrict: None,
        cgroup2: None,
        tick_ns: None,
        cpus_possible: None,
        open_files: None,
        locked_memory: None,
        ..host()
    };
    let (text, json) = reports(&facts, &[]);
    assert!(text.contains("ticks per second (HZ)   unknown\n"), "{text}");
    for name in [
        "kernel",
        "jit",
        "lockdown",
        "kptr_restrict",
        "cgroup2",
        "hz",
        "cpus_possible",
        "open_files",
    ] {
        assert_eq!(json["host"][name], Value::Null, "{name}");
    }
}

#[test]
fn nothing_is_loaded_where_the_plan_failed() {
    let empty = tempfile::tempdir().unwrap();
    let mut facts = Facts::probe(empty.path());
    let loaded = Cell::new(false);
    let tried = Tried::with(&mut facts, |facts, wanted| {
        loaded.set(true);
        Ok(plan::plan(facts, wanted)?)
    });
    let report = tried.report(&facts, Renderer::Text { colour: false });
    assert!(!loaded.get());
    assert!(report.contains("cannot be read"), "{report}");
}

#[test]
fn which_form_runs_instead_of_a_refused_one_is_said_and_why() {
    let words = "Permission denied (os error 13): R3 type=scalar expected=ptr_";
    let (text, json) = reports(&host(), &[("drop_rx_sk", words)]);
    assert!(text.contains("  yes "), "{text}");
    assert!(
        text.contains("ok       tp_btf/kfree_skb, program drop_reason\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "not      drop_rx_sk: the kernel refuses tp_btf/kfree_skb: Permission denied"
        ),
        "{text}"
    );
    let hook = hook_at(&json, "tp_btf/kfree_skb");
    assert_eq!(hook["status"], "allowed");
    assert_eq!(hook["program"], "drop_reason");
    assert_eq!(hook["passed_over"][0]["program"], "drop_rx_sk");
}

#[test]
fn functions_that_stand_in_for_a_refused_tracepoint_are_shown_beside_it() {
    let (text, json) = reports(&host(), &[("send_length", "invalid read from stack")]);
    assert!(text.contains("every event kind is seen\n"), "{text}");
    assert!(
        text.contains(
            "refused  tp_btf/sock_send_length, program send_length: invalid read from stack\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("ok       fexit/inet_sendmsg, program inet_send\n"),
        "{text}"
    );
    assert!(text.contains("Lost on this host\n  nothing\n"), "{text}");
    let refused = hook_at(&json, "tp_btf/sock_send_length");
    assert_eq!(
        (&refused["status"], &refused["program"]),
        (&"refused".into(), &"send_length".into())
    );
    assert_eq!(hook_at(&json, "fexit/inet_sendmsg")["status"], "allowed");
}

#[test]
fn arguments_that_are_trusted_without_a_mark_are_named_and_what_is_done_about_it() {
    use tracer_capture::kernel::facts::{NULLABLE, NullTest};
    let with = |untyped| Facts {
        null_tests: Some(
            [NullTest {
                typed: Some(false),
                untyped: Some(untyped),
            }; NULLABLE.len()],
        ),
        ..host()
    };
    let part = |text: &str| {
        let lines = text
            .lines()
            .skip_while(|line| !line.starts_with("  dropped packet"));
        let lines = lines.take_while(|line| !line.starts_with("  transmit error"));
        lines
            .map(|line| format!("{}\n", line.trim_end()))
            .collect::<String>()
    };
    let (text, json) = reports(&with(true), &[]);
    assert_eq!(
        part(&text),
        "  dropped packet          ok       tp_btf/kfree_skb, program drop_rx_sk
                          null     kfree_skb: rx_sk may be null and this kernel does not say so
                                   (CVE-2025-21852); the programs test it on an untyped value, which this
                                   verifier keeps
"
    );
    let remarks = &hook_at(&json, "tp_btf/kfree_skb")["remarks"];
    assert!(remarks[0].as_str().unwrap().contains("CVE-2025-21852"));

    let (text, json) = reports(&with(false), &[]);
    assert_eq!(
        part(&text),
        "  dropped packet          ok       tp_btf/kfree_skb, program drop_reason
                          not      drop_rx_sk: rx_sk may be null, and this kernel's verifier deletes every
                                   test for that (CVE-2025-21852)
                          null     kfree_skb: rx_sk may be null and this kernel does not say so
                                   (CVE-2025-21852); the program drop_reason does not look at it
"
    );
    let reset = hook_at(&json, "tp_btf/tcp_send_reset");
    assert_eq!(
        (&reset["status"], &reset["program"]),
        (&"missing".into(), &Value::Null)
    );
}
