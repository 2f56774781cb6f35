//! Doctor's findings as one JSON object.

use serde_json::{Value, json};
use tracer_common::OFFSET_COUNT;

use super::limits::{limits, serves};
use super::{Examination, Summary, remarks};
use tracer_capture::kernel::facts::{Facts, Limit, ProgramVerdict};
use tracer_capture::kernel::plan::{Choice, Loss, Need, Plan};
use tracer_model::escape;

/// One line: `{"type":"doctor",...}`.
pub fn render(examination: &Examination) -> String {
    let plan = examination.plan.as_ref().ok();
    let losses = plan.map_or(&[][..], |plan| &plan.losses);
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
        "tried": examination.tried,
        "events_not_seen": blind,
        "host": host(examination.facts),
        "privileges": privileges(examination),
        "hooks": plan.map_or_else(Vec::new, |plan| hooks(examination, plan)),
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
        "systemd_cgroups": facts.systemd_cgroups.as_ref().map(|path| path.to_string_lossy()),
        "withholds_events_of_process_1": facts.withholds,
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

fn hooks(examination: &Examination, plan: &Plan) -> Vec<Value> {
    let choices = plan.choices.iter();
    choices
        .map(|choice| hook(examination, plan, choice))
        .collect()
}

fn hook(examination: &Examination, plan: &Plan, choice: &Choice) -> Value {
    let refused = choice.refused();
    let program = choice.hook.map(|hook| hook.program);
    let program = program.or(refused.map(|refused| refused.program));
    let verdict = refused.and_then(|refused| refused.refusal.as_ref());
    let errno = match verdict {
        Some(ProgramVerdict::Refused { errno, .. }) => *errno,
        _ => None,
    };
    let status = match choice.hook.map(|hook| examination.verdict(&hook)) {
        Some(ProgramVerdict::Allowed) => "allowed",
        Some(_) => "untried",
        None if refused.is_some() => "refused",
        None => "missing",
    };
    let remarks: Vec<_> = remarks(plan, choice).collect();
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
        .filter(|other| Some(other.program) != program)
        .map(|other| json!({"program": other.program, "why": other.why}))
        .collect();
    json!({
        "purpose": choice.group.name,
        "serves": serves(choice.group.serves),
        "attach": attach,
        "program": program,
        "optional": choice.group.need == Need::Optional,
        "status": status,
        "errno": errno,
        "error": verdict.and_then(ProgramVerdict::words),
        "arguments": arguments,
        "passed_over": passed_over,
        "remarks": remarks,
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
