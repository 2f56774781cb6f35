//! `restrict WHAT… -- COMMAND`: runs a command with abilities taken away, and at its end prints a line
//! `{"type":"refused",…}` for each program that was not allowed.
//!
//! WHAT is the kind of program to refuse (`fexit`, `tp_btf`, `iter`, `lsm`, `kprobe`, …), one program
//! (`program:NAME`), `module-btf`, `btf`, or `capabilities` (all but CAP_BPF and CAP_PERFMON). `traced` looks at
//! what is asked for by ptrace(2), as is done anyway where seccomp cannot notify.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use vm_guest::restrict::{Refusals, supervise};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("restrict: {error:#}");
            ExitCode::from(125)
        }
    }
}

fn run() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let split = words.iter().position(|word| word == "--");
    let split = split.context("usage: restrict WHAT… -- COMMAND")?;
    let refusals = Refusals::parse(words[..split].iter().map(String::as_str))
        .map_err(|word| anyhow!("{word} is nothing that can be taken away"))?;
    let outcome = supervise::run(&refusals, &words[split + 1..])?;
    for load in &outcome.refused {
        let line = serde_json::json!({
            "type": "refused", "kind": load.kind.name(), "program": load.name,
        });
        println!("{line}");
    }
    Ok(ExitCode::from(u8::try_from(outcome.status).unwrap_or(255)))
}
