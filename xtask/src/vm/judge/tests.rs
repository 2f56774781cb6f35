use std::time::Duration;

use super::super::doctor::Loss;
use super::super::record::End;
use super::*;

fn hook(purpose: &str, program: &str, status: &str) -> Hook {
    Hook {
        purpose: purpose.into(),
        serves: vec!["owner".into()],
        attach: format!("fexit/{purpose}"),
        program: Some(program.into()),
        status: status.into(),
        errno: (status == "refused").then_some(1),
        error: (status == "refused").then(|| "not permitted".into()),
        passed_over: Vec::new(),
    }
}

fn doctor(hooks: &[Hook]) -> Doctor {
    let refused = hooks.iter().filter(|hook| !hook.allowed());
    let losses = refused.map(|hook| Loss {
        serves: "owner".into(),
        lost: format!("what {} sees", hook.purpose),
        why: "refused".into(),
    });
    Doctor {
        can_trace: true,
        losses: losses.collect(),
        hooks: hooks.to_vec(),
        ..Doctor::default()
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn step(stdout: &[&str], stderr: &[&str], code: i32) -> Step {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    Step {
        name: "x".into(),
        stdout: lines(stdout),
        stderr: lines(stderr),
        withheld: 0,
        end: Some(End {
            code: Some(code),
            signal: None,
            timed_out: false,
            took: Duration::ZERO,
        }),
    }
}

#[test]
fn what_was_refused_and_nothing_else_may_be_lost() {
    let whole = doctor(&[
        hook("accept", "accept2", "allowed"),
        hook("drop", "drop", "allowed"),
    ]);
    let left = doctor(&[
        hook("accept", "accept2", "refused"),
        hook("drop", "drop", "allowed"),
    ]);
    let fair = compare(&whole, &left, Some(&set(&["accept2"])), false);
    assert_eq!(fair.as_deref(), Ok("lost: accept"));
    assert!(
        compare(&whole, &left, Some(&set(&[])), false).is_err(),
        "lost without need"
    );
    let both = compare(&whole, &left, Some(&set(&["accept2", "drop"])), false);
    assert!(both.is_err(), "drop was refused and is called allowed");
    assert!(
        compare(&whole, &doctor(&[]), Some(&set(&[])), false).is_err(),
        "silence"
    );
}

#[test]
fn what_others_do_instead_is_not_lost() {
    let mut stand_in = hook("send: IPv4", "inet_send", "allowed");
    let whole = doctor(&[hook("send", "send_length", "allowed")]);
    let mut left = doctor(&[hook("send", "send_length", "refused"), stand_in.clone()]);
    left.losses.clear();
    let refused = set(&["send_length"]);
    let fair = compare(&whole, &left, Some(&refused), false);
    assert_eq!(fair.as_deref(), Ok("nothing is lost"));
    // It need not even be mentioned, but nothing else stands in for it.
    left.hooks.remove(0);
    assert!(compare(&whole, &left, Some(&refused), false).is_ok());
    stand_in.serves = vec!["drop".into()];
    left.hooks = vec![stand_in];
    assert!(compare(&whole, &left, Some(&refused), false).is_err());
}

#[test]
fn what_needs_the_verifiers_answer_goes_with_the_question() {
    let whole = doctor(&[hook("reset", "reset_sent", "allowed")]);
    let left = doctor(&[hook("reset", "reset_sent", "missing")]);
    let without = |names: &[&str]| compare(&whole, &left, Some(&set(names)), false);
    assert_eq!(without(&["null_test"]).as_deref(), Ok("lost: reset"));
    assert!(without(&["drop_rx_sk"]).is_err());
}

#[test]
fn only_without_btf_may_nothing_work_any_more() {
    let whole = doctor(&[hook("accept", "accept2", "allowed")]);
    let nothing = Doctor {
        problem: Some("no BTF".into()),
        ..Doctor::default()
    };
    assert_eq!(
        compare(&whole, &nothing, Some(&set(&[])), true).as_deref(),
        Ok("no BTF")
    );
    assert!(compare(&whole, &nothing, Some(&set(&[])), false).is_err());
    assert!(
        compare(&whole, &Doctor::default(), Some(&set(&[])), true).is_err(),
        "says not why"
    );
}

#[test]
fn a_long_name_is_compared_as_the_kernel_cuts_it() {
    let whole = doctor(&[hook("reset", "reset_sent_reason", "allowed")]);
    let left = doctor(&[hook("reset", "reset_sent_reason", "refused")]);
    assert!(compare(&whole, &left, Some(&set(&["reset_sent_reas"])), false).is_ok());
}

#[test]
fn a_lost_hook_that_is_no_loss_to_the_user_is_silence() {
    let whole = doctor(&[hook("accept", "accept2", "allowed")]);
    let mut left = doctor(&[hook("accept", "accept2", "refused")]);
    left.losses.clear();
    assert!(compare(&whole, &left, Some(&set(&["accept2"])), false).is_err());
}

#[test]
fn live_starts_when_doctor_says_so_and_else_fails_with_one_line() {
    let totals = r#"{"type":"totals"}"#;
    let can = doctor(&[]);
    assert!(live_fits(&can, &step(&[totals], &["Ready: drop."], 0)).is_ok());
    assert!(live_fits(&can, &step(&[], &["sendtrace: no"], 1)).is_err());
    let cannot = Doctor::default();
    let warning = "sendtrace: warning: retransmit";
    assert!(live_fits(&cannot, &step(&[], &[warning, "sendtrace: no hook"], 1)).is_ok());
    assert!(live_fits(&cannot, &step(&[], &["sendtrace: a", "b"], 1)).is_err());
    assert!(live_fits(&cannot, &step(&[totals], &[], 0)).is_err());
}

#[test]
fn the_selftest_may_lose_only_what_doctor_has_lost() {
    let whole = doctor(&[hook("accept", "accept2", "allowed")]);
    let left = doctor(&[hook("accept", "accept2", "refused")]);
    let line = |outcome: &str, detail: &str| {
        format!(
            r#"{{"type":"check","group":"event","check":"c","outcome":"{outcome}","detail":"{detail}"}}"#
        )
    };
    let base = step(&[&line("pass", "")], &[], 0);
    let fits = |now: &str| selftest_fits(&whole, &left, &base, &step(&[now], &[], 0));
    assert!(fits(&line("pass", "")).is_ok());
    assert!(fits(&line("unsupported", "what accept sees: refused")).is_ok());
    assert!(fits(&line("unsupported", "no idea")).is_err());
    assert!(fits(&line("fail", "")).is_err());
    assert!(fits("").is_err(), "it has disappeared");
}

#[test]
fn a_refusal_without_a_policy_is_the_verifiers() {
    let refused = doctor(&[hook("accept", "accept2", "refused")]);
    assert_eq!(hooks(&refused, false)[0].outcome, Outcome::Fail);
    assert_eq!(hooks(&refused, true)[0].outcome, Outcome::Unsupported);
}

#[test]
fn doctor_may_speak_in_the_step_of_the_selftest() {
    let said = |status: &str| {
        serde_json::json!({
            "type": "doctor", "can_trace": true, "losses": [],
            "hooks": [{"purpose": "accept", "attach": "fexit/accept", "program": "accept2", "status": status}],
        })
        .to_string()
    };
    let named = |name: &str, lines: &[&str]| Step {
        name: name.into(),
        ..step(lines, &[], 0)
    };
    let variant = VARIANTS[1].name;
    let of = |status: &str| {
        let record = Record {
            steps: vec![
                named("doctor", &[&said("allowed")]),
                named(&format!("{variant}: selftest"), &[&said(status)]),
            ],
            ..Record::default()
        };
        variants(&record)
    };
    let outcome = |status: &str| of(status).first().map(|check| check.outcome);
    assert_eq!(outcome("allowed"), Some(Outcome::Pass));
    assert_eq!(outcome("refused"), Some(Outcome::Fail), "nobody refused it");
}

#[test]
fn when_all_that_stand_in_for_a_tracepoint_are_refused_doctor_may_speak_of_the_tracepoint_alone() {
    let whole = doctor(&[hook("send: IPv4", "inet_send", "allowed")]);
    let mut left = doctor(&[hook("result of a send", "send_length", "missing")]);
    let compared = |left: &Doctor, names: &[&str]| compare(&whole, left, Some(&set(names)), false);
    assert_eq!(
        compared(&left, &["inet_send"]).as_deref(),
        Ok("lost: send: IPv4")
    );
    assert!(compared(&left, &[]).is_err(), "nobody refused it");
    left.losses.clear();
    assert!(
        compared(&left, &["inet_send"]).is_err(),
        "and nobody was told"
    );
}
