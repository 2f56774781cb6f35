//! A few short faults, played now and diagnosed from their fresh recordings. `cargo xtask scenarios` plays all; what
//! the rules make of the kept recordings is tested without root.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use scenarios::faults::{Impossible, Stage, all, expectations, judge};
use scenarios::{requires, run_sendtrace, skip};

fn play(names: &[&str]) {
    if !requires(&["nft"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let expected = expectations().expect("expected.json");
    for name in names {
        let scenario = all().find(|scenario| scenario.name == *name);
        let scenario = scenario.expect("it is in the table");
        let trace = folder.path().join(format!("{name}.sendtrace"));
        let stage = Stage {
            trace: trace.clone(),
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (scenario.play)(&stage))) {
            match panic.downcast::<Impossible>() {
                Ok(impossible) => _ = skip(&impossible.0),
                Err(panic) => resume_unwind(panic),
            }
            continue;
        }
        let run = run_sendtrace(&["report", "--format", "json", &trace.to_string_lossy()]);
        let said = String::from_utf8_lossy(&run.stdout);
        let verdict = judge(&said, &expected[*name]);
        assert!(
            verdict.wrong.is_empty(),
            "{name}: {:?}\n{said}",
            verdict.wrong
        );
    }
}

#[test]
#[ignore = "needs root"]
fn root_faults_of_this_host_are_found() {
    play(&[
        "no_route_v6",
        "local_firewall_v6",
        "oversized_datagram",
        "ecomm",
    ]);
}

#[test]
#[ignore = "needs root"]
fn root_faults_of_the_peer_are_found_and_what_is_none_stays_unsaid() {
    play(&["peer_crashed", "ok_bulk_v6", "ok_event_loop"]);
}
