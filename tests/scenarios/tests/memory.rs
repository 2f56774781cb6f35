//! A fault that takes something away from the whole host, in a machine of its own. The trace comes out as a line of
//! JSON: `cargo xtask vm --kernel 7.x --test memory --json FILE`, then `cargo xtask scenarios --import FILE`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use base64::Engine as _;
use scenarios::faults::{Impossible, Stage, all};
use scenarios::{Outcome, check_line, requires};

#[test]
#[ignore = "needs root"]
fn root_tcp_as_a_whole_runs_out_of_memory() {
    if !requires(&[]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let stage = Stage {
        trace: folder.path().join("tcp_memory.sendtrace"),
    };
    let scenario = all()
        .find(|scenario| scenario.name == "tcp_memory")
        .expect("it is in the table");
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (scenario.play)(&stage))) {
        let panic: Box<dyn Any + Send> = panic;
        match panic.downcast::<Impossible>() {
            Ok(impossible) => {
                check_line("fault", scenario.name, Outcome::Unsupported, &impossible.0)
            }
            Err(panic) => resume_unwind(panic),
        }
        return;
    }
    let trace = std::fs::read(&stage.trace).expect("a trace");
    assert!(!trace.is_empty(), "the recorder wrote nothing");
    let base64 = base64::engine::general_purpose::STANDARD.encode(trace);
    println!(
        "{}",
        serde_json::json!({"type": "trace", "name": scenario.name, "base64": base64})
    );
    check_line("fault", scenario.name, Outcome::Pass, "");
}
