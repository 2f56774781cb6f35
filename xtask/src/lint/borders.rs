//! The borders of docs/decisions.md: who may know aya, read the host, use a clock, or be unsafe.

use super::Violation;
use super::source::{self, Line};

/// A module is its file or its folder, without `.rs`.
const AYA: [&str; 3] = [
    "tracer/src/kernel/load",
    "tracer/src/kernel/ring",
    // Faults of the self-test are made by programs of their own.
    "tracer/src/selftest/faults",
];
const HOST: [&str; 3] = [
    "tracer/src/owner",
    "tracer/src/kernel/facts",
    // Evidence of the host beside the events: counters and settings, through a root that tests replace.
    "tracer/src/samples",
];
const PURE: [&str; 11] = [
    "tracer/src/applog",
    "tracer/src/aggregate",
    "tracer/src/diagnose",
    "tracer/src/diff",
    "tracer/src/explain",
    "tracer/src/render",
    "tracer/src/event",
    "tracer/src/decode",
    "tracer/src/kernel/plan",
    "tracer/src/trigger",
    "tracer/src/when",
];
const UNSAFE: [&str; 9] = [
    // The one place that turns wire types into bytes and back.
    "tracer-common/src/lib",
    "tracer/src/kernel/load",
    "tracer/src/kernel/ring",
    "tracer/src/sys",
    // Sets one variable for the one call that builds the kernel half.
    "tracer/build",
    "tracer-ebpf",
    "tests/scenarios",
    // seccomp(2) and its questions.
    "tests/vm/src/sys",
    "bench/src/sys",
];

/// Words that give a module a clock or a way to the outside.
const IMPURE: [&str; 5] = [
    "SystemTime",
    "Instant",
    "TcpStream",
    "std::fs",
    "Timestamp::now",
];

pub fn check(file: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut lines = source::lines(text);
    if is_test_file(file) {
        lines.iter_mut().for_each(|line| line.in_tests = true);
    }
    for (index, line) in lines.iter().enumerate() {
        let rules = [
            aya(file, line),
            host(file, line),
            pure(file, line),
            safe(file, line),
            argument(file, line),
        ];
        for rule in rules.into_iter().flatten() {
            violations.push(Violation {
                file: file.to_owned(),
                line: index + 1,
                rule,
            });
        }
    }
    violations
}

fn aya(file: &str, line: &Line) -> Option<String> {
    let forbidden = file.starts_with("tracer/src/") && !is_in(file, &AYA);
    let word = ["aya", "aya_log", "aya_obj"]
        .into_iter()
        .find(|word| line.has_word(word))?;
    forbidden.then(|| {
        format!(
            "uses {word}, which only kernel/load and kernel/ring may: all other code must run, \
             and be tested, without a kernel"
        )
    })
}

fn host(file: &str, line: &Line) -> Option<String> {
    if !file.starts_with("tracer/src/") || is_in(file, &HOST) || line.in_tests {
        return None;
    }
    let path = line.strings.iter().find(|text| is_host_path(text))?;
    Some(format!(
        "names {path:?}, which only owner, kernel/facts and samples may: they read the host through a root \
         that tests replace"
    ))
}

/// `/proc` or `/sys` itself or below it; `/system.slice` is something else.
fn is_host_path(text: &str) -> bool {
    let below = |root: &str| text.strip_prefix(root);
    let rest = below("/proc").or_else(|| below("/sys"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn pure(file: &str, line: &Line) -> Option<String> {
    if !is_in(file, &PURE) || line.in_tests {
        return None;
    }
    let grouped_fs = line.code.contains("std::{") && line.has_word("fs");
    let word = IMPURE.into_iter().find(|word| line.has_word(word));
    let word = word.or(grouped_fs.then_some("std::fs"))?;
    Some(format!(
        "uses {word} in a pure module: time and data come as arguments, so that the same events \
         give the same bytes"
    ))
}

fn safe(file: &str, line: &Line) -> Option<String> {
    (line.has_word("unsafe") && !is_in(file, &UNSAFE)).then(|| {
        "has `unsafe`, which only the modules listed in xtask/src/lint/borders.rs may: put it \
         behind a safe function in tracer/src/sys.rs"
            .to_owned()
    })
}

fn argument(file: &str, line: &Line) -> Option<String> {
    // Those of the self-test's raw tracepoint carry no type.
    let may = is_in(
        file,
        &["tracer-ebpf/src/kernel", "tracer-ebpf/src/selftest"],
    );
    let takes = file.starts_with("tracer-ebpf/src/") && line.code.contains(".arg(");
    (takes && !may).then(|| {
        "takes an argument of a program by itself: `kernel::arg` gives a pointer as an `Arg`, of which null is \
         decided in a way that no verifier deletes"
            .to_owned()
    })
}

/// `#[cfg(test)] mod tests;` stands in the parent; here only the name shows it.
fn is_test_file(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

/// Is this file the module itself, or below it?
fn is_in(file: &str, modules: &[&str]) -> bool {
    modules.iter().any(|module| {
        let rest = file.strip_prefix(module);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [usize; 0] = [];

    /// The lines at which a file breaks a rule.
    fn broken(file: &str, text: &str) -> Vec<usize> {
        check(file, text)
            .into_iter()
            .map(|violation| violation.line)
            .collect()
    }

    #[test]
    fn only_the_loader_and_the_ring_know_aya() {
        let text = "use std::io;\nuse aya::Ebpf;\n";
        assert_eq!(broken("tracer/src/commands/live.rs", text), [2]);
        assert_eq!(broken("tracer/src/kernel/load.rs", text), NOTHING);
        assert_eq!(broken("tracer/src/kernel/load/maps.rs", text), NOTHING);
        assert_eq!(broken("tracer/src/kernel/loader.rs", text), [2]);
    }

    #[test]
    fn a_comment_about_aya_is_no_use_of_it() {
        assert_eq!(
            broken("tracer/src/decode.rs", "// aya gives bytes\n"),
            NOTHING
        );
    }

    #[test]
    fn only_owner_facts_and_samples_name_proc_and_sys() {
        let text = "let p = Path::new(\"/proc/self\");\nlet q = \"/sys\";\n";
        assert_eq!(broken("tracer/src/trace/writer.rs", text), [1, 2]);
        assert_eq!(broken("tracer/src/owner.rs", text), NOTHING);
        assert_eq!(broken("tracer/src/kernel/facts/probe.rs", text), NOTHING);
        assert_eq!(broken("tracer/src/samples/counters.rs", text), NOTHING);
    }

    #[test]
    fn a_cgroup_name_that_begins_like_sys_is_allowed() {
        assert_eq!(
            broken("tracer/src/event.rs", "let c = \"/system.slice/a\";"),
            NOTHING
        );
    }

    #[test]
    fn a_pure_module_has_no_clock_and_no_files() {
        let text =
            "use std::time::{Duration, Instant};\nuse std::{fs, io};\nlet t = Timestamp::now();\n";
        assert_eq!(broken("tracer/src/diagnose/rules.rs", text), [1, 2, 3]);
        assert_eq!(broken("tracer/src/trace/writer.rs", text), NOTHING);
    }

    #[test]
    fn a_test_in_a_pure_module_may_read_its_golden_file() {
        let text = "#[cfg(test)]\nmod tests {\n use std::fs;\n}\n";
        assert_eq!(broken("tracer/src/aggregate.rs", text), NOTHING);
    }

    #[test]
    fn a_test_module_in_its_own_file_is_a_test_too() {
        let text = "use std::fs;\nlet p = \"/proc/self\";\n";
        assert_eq!(broken("tracer/src/decode/tests.rs", text), NOTHING);
        assert_eq!(broken("tracer/src/decode/latest.rs", text), [1, 2]);
    }

    #[test]
    fn unsafe_is_only_where_it_is_expected() {
        let text = "unsafe { f() }";
        assert_eq!(broken("tracer/src/owner.rs", text), [1]);
        assert_eq!(broken("xtask/src/run.rs", text), [1]);
        assert_eq!(broken("tracer/src/sys.rs", text), NOTHING);
        assert_eq!(broken("tracer-ebpf/src/emit.rs", text), NOTHING);
    }

    #[test]
    fn only_the_reader_of_kernel_memory_takes_arguments_of_a_program() {
        let text = "let sk: Ptr = ctx.arg(0);\nlet sk: Arg = arg(&ctx, 0);\n";
        assert_eq!(broken("tracer-ebpf/src/hooks/drop.rs", text), [1]);
        assert_eq!(broken("tracer-ebpf/src/kernel.rs", text), NOTHING);
        assert_eq!(broken("tracer/src/commands/live.rs", text), NOTHING);
    }

    #[test]
    fn a_violation_names_the_file_the_line_and_the_reason() {
        let found = check("tracer/src/owner.rs", "\nunsafe {}")
            .remove(0)
            .to_string();
        assert!(
            found.starts_with("tracer/src/owner.rs:2: has `unsafe`"),
            "{found}"
        );
    }
}
