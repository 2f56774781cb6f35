//! Doctor's findings as one JSON object.

use serde_json::{Value, json};
use tracer_common::OFFSET_COUNT;

use super::limits::{limits, serves};
use super::{Examination, Summary};
use tracer_capture::kernel::facts::{Facts, Limit, ProgramVerdict};
use tracer_capture::kernel::plan::{Choice, Loss, Need, Plan};
use tracer_model::escape;

/// One line: `{"type":"doctor",...}`.
pub fn render(examination: &Examination) -> String {
    let plan = examination.plan.as_ref().ok();
    let losses = plan.map_or_else(Vec::new, |plan| plan.losses_after(examination.verdicts));
    let (can_trace, problem, blind) = match examination.summary() {
        Summary::Yes => (true, None, Vec::new()),
        Summary::Partly(blind) => (true, None, blind),
        Summary::NeedsPrivileges(problem) | Summary::No(problem) => {
            (false, Some(problem), Vec::new())
        }
    };
    let known_limits: Vec<_> = limits(examination)
        .iter()
        .map(|limit| json!({"about": limit.about, "text": limit.text}))
        .collect();
    let value = json!({
        "type": "doctor",
        "can_trace": can_trace,
        "problem": problem,
        "tried": !examination.verdicts.is_empty(),
        "signals_not_seen": blind,
        "host": host(examination.facts),
        "privileges": privileges(examination),
        "hooks": plan.map_or_else(Vec::new, |plan| plan.choices_after(examination.verdicts).map(|choice| hook(examination, choice)).collect()),
        "fields": plan.map(fields),
        "losses": losses.iter().map(loss).collect::<Vec<_>>(),
        "limits": known_limits,
    });
    escape::json(format!("{value}\n"))
}

fn host(facts: &Facts) -> Value {
    let limit = |limit: Option<Limit>| {
        // "No limit" has no number.
        let number = |value: u64| (value != u64::MAX).then_some(value);
        limit.map(|limit| json!({"soft": number(limit.soft), "hard": number(limit.hard)}))
    };
    json!({
        "kernel": facts.kernel_release,
        "btf": facts.btf.is_ok(),
        "btf_error": facts.btf.as_ref().err(),
        "features": facts.btf.as_ref().map_or_else(
            |_| Vec::new(),
            |btf| btf.features.iter().map(|feature| feature.name()).collect::<Vec<_>>(),
        ),
        "jit": facts.jit,
        "lockdown": facts.lockdown,
        "unprivileged_bpf_disabled": facts.unprivileged_bpf_disabled,
        "kptr_restrict": facts.kptr_restrict,
        "cgroup2": facts.cgroup2.as_ref().map(|path| path.to_string_lossy()),
        "hz": facts.hz(),
        "cpus_possible": facts.cpus_possible,
        "open_files": limit(facts.open_files),
        "locked_memory_bytes": limit(facts.locked_memory),
    })
}

fn privileges(examination: &Examination) -> Value {
    let privileges = examination.privileges();
    let missing: Vec<_> = privileges
        .missing
        .iter()
        .map(|missing| {
            json!({
                "capability": missing.capability.name(),
                "needed_for": missing.needed_for,
                "fatal": missing.fatal,
            })
        })
        .collect();
    json!({
        "euid": examination.facts.euid,
        "sufficient": privileges.sufficient(),
        "initial_user_namespace": privileges.initial_user_namespace,
        "missing": missing,
    })
}

fn hook(examination: &Examination, choice: &Choice) -> Value {
    let (status, errno, error) = match choice.hook.map(|hook| examination.verdict(&hook).clone()) {
        None => ("missing", None, None),
        Some(ProgramVerdict::Allowed) => ("allowed", None, None),
        Some(ProgramVerdict::Untried) => ("untried", None, None),
        Some(ProgramVerdict::Refused { errno, text }) => ("refused", errno, Some(text)),
    };
    let attach = format!("{}/{}", choice.group.kind.name(), choice.group.attach);
    let arguments = examination
        .facts
        .btf
        .as_ref()
        .ok()
        .and_then(|btf| btf.tracepoint_types.get(choice.group.attach));
    let passed_over: Vec<_> = choice
        .passed_over
        .iter()
        .map(|other| json!({"program": other.program, "why": other.why}))
        .collect();
    json!({
        "purpose": choice.group.name,
        "serves": serves(choice.group.serves),
        "attach": attach,
        "program": choice.hook.map(|hook| hook.program),
        "optional": choice.group.need == Need::Optional,
        "status": status,
        "errno": errno,
        "error": error,
        "arguments": arguments,
        "passed_over": passed_over,
    })
}

fn fields(plan: &Plan) -> Value {
    let unresolved: Vec<_> = plan
        .fields
        .iter()
        .map(|loss| {
            json!({
                "name": loss.field.name,
                "container": loss.field.container,
                "paths": loss.field.paths,
                "becomes_null": loss.becomes_null,
                "needed_by": loss.needed_by,
            })
        })
        .collect();
    json!({"total": OFFSET_COUNT, "resolved": OFFSET_COUNT - plan.fields.len(), "unresolved": unresolved})
}

fn loss(loss: &Loss) -> Value {
    json!({"serves": loss.serves.name(), "lost": loss.lost, "why": loss.why, "remedy": loss.remedy})
}
