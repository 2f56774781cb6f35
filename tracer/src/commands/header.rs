//! What a trace says of its recording: the note `header`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::commands::attach::Attached;
use tracer_capture::kernel::facts::ProgramVerdict;
use tracer_capture::kernel::plan::Choice;
use tracer_capture::samples::{self, About};
use tracer_capture::sys;

/// A number that no other recording has.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn trace_id() -> anyhow::Result<[u8; 16]> {
    let mut trace_id = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut trace_id))
        .context("/dev/urandom")?;
    Ok(trace_id)
}

/// The host, the tool, and what of the plan came true.
pub fn facts(attached: &Attached) -> Map<String, Value> {
    let arguments: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let boot_ns = sys::boot_clock_ns();
    let wall_ns = i128::from(boot_ns) + sys::wall_minus_boot_ns();
    let since_1970 = SignedDuration::from_nanos_i128(wall_ns);
    let tz = std::env::var("TZ").ok();
    let about = About {
        boot_ns,
        now: Timestamp::from_duration(since_1970).unwrap_or_default(),
        tool_version: env!("CARGO_PKG_VERSION"),
        arguments: &arguments,
        zone: &TimeZone::system(),
        tz: tz.as_deref(),
    };
    let mut facts = match serde_json::to_value(samples::once(Path::new("/"), &about)) {
        Ok(Value::Object(facts)) => facts,
        _ => Map::new(),
    };
    facts.insert("events".to_owned(), json!(attached.event_kinds));
    facts.insert("hooks".to_owned(), hooks(attached));
    facts.insert("not_seen".to_owned(), json!(attached.losses));
    facts
}

/// Each program, what it serves, where it is attached, what the kernel said, and why a better one does not run.
fn hooks(attached: &Attached) -> Value {
    let plan = &attached.loaded.plan;
    let hook = |choice: &Choice| {
        let (program, at, verdict) = match (&choice.hook, choice.refused()) {
            (Some(hook), _) => (hook.program, hook.attach, json!("attached")),
            (None, Some(refused)) => {
                let words = refused.refusal.as_ref().and_then(ProgramVerdict::words);
                (refused.program, refused.attach, json!({ "refused": words }))
            }
            (None, None) => return None,
        };
        let serves: Vec<_> = choice.group.serves.iter().map(|one| one.name()).collect();
        let others = choice.passed_over.iter();
        let passed_over: Vec<_> = others
            .filter(|other| other.program != program)
            .map(|other| json!({"program": other.program, "why": other.why}))
            .collect();
        Some(json!({
            "program": program, "serves": serves, "at": at, "verdict": verdict, "passed_over": passed_over,
        }))
    };
    plan.choices.iter().filter_map(hook).collect()
}
