//! `repeat COMMAND…`: runs the tests, and what failed once more where the host may have withheld what they wait for.
//!
//! See [`trace_instance`]: some hosts run no BPF program while the task at hand is one of process 1. A timer that
//! fires then is an event that nobody can see. Only where that happened is a failed test run again, alone; it is said,
//! and a test that fails twice has failed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use trace_instance::{TRACEPOINTS, TraceInstance};

/// A test that failed, and the program that it is in.
#[derive(Debug, PartialEq)]
struct Failed {
    program: PathBuf,
    test: String,
}

fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().context("which command?")?;
    let trace_instance = TraceInstance::of_process_1(&TRACEPOINTS);
    let mut command = Command::new(program);
    let (succeeded, failed) = run(command.args(words))?;
    let withheld = trace_instance.map_or(0, |trace_instance| trace_instance.firings().1);
    if succeeded || failed.is_empty() || withheld == 0 {
        return Ok(code(succeeded));
    }
    println!(
        "repeat: {withheld} events fired while a task of process 1 was at hand: this host may have withheld them; once \
         more, alone:"
    );
    let mut all = true;
    for Failed { program, test } in &failed {
        let mut command = Command::new(program);
        // Where cargo starts them.
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        let (succeeded, _) =
            run(command.args(["--exact", test, "--include-ignored", "--test-threads=1"]))?;
        println!(
            "repeat: {test}: {}",
            if succeeded {
                "passes now"
            } else {
                "FAILED again"
            }
        );
        all &= succeeded;
    }
    Ok(code(all))
}

fn code(succeeded: bool) -> ExitCode {
    match succeeded {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Runs it, shows what it says as it comes, and finds what failed.
fn run(command: &mut Command) -> Result<(bool, Vec<Failed>)> {
    // One pipe: cargo names the program on one, the program its tests on the other.
    let (reader, writer) = std::io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("could not start {command:?}"))?;
    // The writing ends that are left are theirs.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut reader = BufReader::new(reader);
    let (mut line, mut said) = (Vec::new(), Vec::new());
    let mut out = std::io::stdout();
    while reader.read_until(b'\n', &mut line)? > 0 {
        out.write_all(&line)?;
        out.flush()?;
        said.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
    let status = child.wait()?;
    Ok((status.success(), failures(&said)))
}

/// What failed, as cargo and libtest say it.
fn failures(said: &[String]) -> Vec<Failed> {
    let (mut program, mut failed) = (PathBuf::new(), Vec::new());
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for line in said {
        if let Some((_, path)) = line
            .trim_start()
            .strip_prefix("Running ")
            .and_then(|rest| rest.strip_suffix(')')?.split_once(" ("))
        {
            program = PathBuf::from(root).join(path);
        } else if let Some(test) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            failed.push(Failed {
                program: program.clone(),
                test: test.to_owned(),
            });
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_found_with_their_programs() {
        let said = [
            "     Running tests/drop.rs (/x/target/debug/deps/drop-1)",
            "test root_a ... ok",
            "     Running tests/record/main.rs (/x/target/debug/deps/record-2)",
            "test folders::root_b ... FAILED",
            "test result: FAILED. 7 passed; 1 failed",
        ]
        .map(str::to_owned);
        let failed = Failed {
            program: PathBuf::from("/x/target/debug/deps/record-2"),
            test: "folders::root_b".to_owned(),
        };
        assert_eq!(failures(&said), [failed]);
    }
}
