//! Playing scenarios, several at a time.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use scenarios::faults::{Impossible, Scenario, Stage};

/// How playing a scenario ended.
pub enum Played {
    Recorded,
    /// This host cannot play it.
    Skipped(String),
    /// The fault could not be made.
    Failed(String),
}

/// Plays several at a time: each is mostly waiting, in namespaces of its own.
pub fn all(chosen: &[&Scenario], out: &Path, at_once: usize) -> BTreeMap<&'static str, Played> {
    let (next, played) = (Mutex::new(chosen.iter()), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..at_once.max(1) {
            scope.spawn(|| {
                loop {
                    let scenario = next.lock().map(|mut next| next.next());
                    let Ok(Some(scenario)) = scenario else { return };
                    let trace = out.join(format!("{}.sendtrace", scenario.name));
                    let ended = play(scenario, &trace);
                    if let Ok(mut played) = played.lock() {
                        played.insert(scenario.name, ended);
                    }
                }
            });
        }
    });
    played.into_inner().unwrap_or_default()
}

/// Records one scenario. Only a fault that was made leaves a trace behind.
fn play(scenario: &Scenario, trace: &Path) -> Played {
    if let Some(tool) = scenario.needs.iter().find(|tool| !has(tool)) {
        return Played::Skipped(format!("needs the program `{tool}`"));
    }
    let fresh = trace.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let stage = Stage {
        trace: fresh.clone(),
    };
    let panic = match catch_unwind(AssertUnwindSafe(|| (scenario.play)(&stage))) {
        Ok(()) => {
            return match fs::rename(&fresh, trace) {
                Ok(()) => Played::Recorded,
                Err(error) => Played::Failed(format!("{}: {error}", fresh.display())),
            };
        }
        Err(panic) => panic,
    };
    let _ = fs::remove_file(&fresh);
    let panic = match panic.downcast::<Impossible>() {
        Ok(impossible) => return Played::Skipped(impossible.0),
        Err(panic) => panic,
    };
    let text = panic.downcast_ref::<String>().cloned();
    Played::Failed(
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_default(),
    )
}

fn has(tool: &str) -> bool {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .any(|dir| Path::new(dir).join(tool).exists())
}
