//! What is run on each kernel, in which order, and for how long at most.

use vm_guest::protocol::{Manifest, Step};

use super::catalog::ENTRIES;
use super::initramfs::PROGRAMS;

/// Which steps are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Names of the test programs to run.
    pub tests: Vec<String>,
    /// Those that run on [`WHOLE_ON`] alone.
    pub whole: Vec<String>,
    /// `sendtrace selftest` exists.
    pub selftest: bool,
    /// The user has chosen the tests: no kernel has others.
    pub chosen: bool,
}

/// Tests of the default run; the others need `--suite`.
pub const TESTS: [&str; 6] = [
    "paths",
    "errno",
    "netem",
    "drops_counted",
    "transmit",
    "nulls",
];

/// Tests of what belongs to a machine as a whole, not to a kernel: they are run on one.
pub const WHOLE: [&str; 2] = ["clock", "memory"];
pub const WHOLE_ON: &str = "6.12";

/// The kernel with something taken away.
pub struct Variant {
    pub name: &'static str,
    /// For `restrict`.
    pub takes: &'static [&'static str],
    /// Whether the selftest has anything left to show there.
    selftest: bool,
}

/// What other hosts lack or refuse. Where trampolines are refused, all that need them are.
pub const VARIANTS: [Variant; 6] = [
    // All three are a help and no more; so what passes without all passes without each. Looked at as on kernels
    // without notifications of seccomp, so that this way is tried on every kernel.
    Variant {
        name: "no kprobe, iter, module BTF",
        takes: &["kprobe", "iter", "module-btf", "traced"],
        selftest: true,
    },
    Variant {
        name: "no fexit",
        takes: &["fexit", "fentry", "fmod_ret", "lsm"],
        selftest: true,
    },
    // A verifier that refuses single programs: each has another that takes its place.
    Variant {
        name: "no best forms",
        takes: &[
            "program:send_perf",
            "program:send_length",
            "program:drop_rx_sk",
            "program:retransmit_err",
            "program:reset_sent_reason",
        ],
        selftest: true,
    },
    // A policy that refuses one type of program: the one that is the most.
    Variant {
        name: "no tp_btf",
        takes: &["tp_btf"],
        selftest: false,
    },
    Variant {
        name: "no BTF",
        takes: &["btf"],
        selftest: false,
    },
    // The selftest makes a network, which these do not allow.
    Variant {
        name: "few capabilities",
        takes: &["capabilities"],
        selftest: false,
    },
];

/// The last variant, for it cannot be taken back.
pub const LOCKDOWN: &str = "lockdown";

/// What a step is about, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Doctor,
    Facts,
    Live,
    Selftest,
    /// A test program.
    Test(String),
    Lockdown,
}

/// All steps for one kernel; `dir` is where the programs lie. Lockdown is only for a machine that ends
/// afterwards.
pub fn manifest(wanted: &Wanted, kernel: &str, dir: &str, lockdown: bool) -> Manifest {
    let mut steps = abilities(None, &[], wanted.selftest, dir);
    let said = format!("{dir}/doctor.json");
    keep_output(&mut steps[0], &said);
    steps.push(step("facts", &sendtrace(dir, "doctor --facts"), 60));
    let part = part(kernel);
    let whole = wanted.whole.iter().filter(|_| kernel == WHOLE_ON);
    let tests = wanted.tests.iter().chain(whole);
    let of_part = |test: &String| wanted.chosen || is_of_part(kernel, test);
    for test in tests.filter(|test| of_part(test)) {
        let command = [
            &format!("{dir}/{test}"),
            "--nocapture",
            "--include-ignored",
            "--test-threads=1",
        ];
        let mut test = step(&format!("test {test}"), &command.map(str::to_owned), 240);
        if lockdown && test.name == "test transmit" {
            allow_warnings(&mut test);
        }
        steps.push(test);
    }
    // What refuses every hook takes its time in a machine, and is decided the same on every kernel.
    let variants = VARIANTS
        .iter()
        .filter(|variant| !lockdown || !variant.takes.contains(&"tp_btf"))
        .filter(|_| part.is_none());
    for variant in variants {
        let selftest = wanted.selftest && variant.selftest;
        steps.extend(abilities(Some(variant.name), variant.takes, selftest, dir));
    }
    if lockdown && part.is_none() {
        let raise = [
            "sh",
            "-c",
            "echo confidentiality > /sys/kernel/security/lockdown",
        ];
        steps.push(step(
            &format!("{LOCKDOWN}: raise"),
            &raise.map(str::to_owned),
            10,
        ));
        steps.extend(abilities(Some(LOCKDOWN), &[], wanted.selftest, dir));
    }
    Manifest {
        modules: Vec::new(),
        environment: vec![
            ("SENDTRACE_BIN".into(), format!("{dir}/sendtrace")),
            // Tests that compare with what doctor says need not ask again.
            ("SENDTRACE_DOCTOR".into(), said),
            ("NO_COLOR".into(), "1".into()),
            ("RUST_BACKTRACE".into(), "0".into()),
            ("HOME".into(), "/root".into()),
            ("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into()),
        ],
        steps,
    }
}

/// The only tests of the default run on this kernel, where it has few.
fn part(kernel: &str) -> Option<&'static [&'static str]> {
    let mut entries = ENTRIES.iter();
    entries.find(|entry| entry.id == kernel)?.part
}

/// Whether the default run has this test on this kernel.
pub fn is_of_part(kernel: &str, test: &str) -> bool {
    part(kernel).is_none_or(|part| part.contains(&test))
}

/// What shows what the tool can do, whole or with something taken away.
fn abilities(variant: Option<&str>, takes: &[&str], selftest: bool, dir: &str) -> Vec<Step> {
    let named = |name: &str| match variant {
        None => name.to_owned(),
        Some(variant) => format!("{variant}: {name}"),
    };
    let doctor = ("doctor", "doctor --format json", 60);
    let live = ("live", "live --format json --duration 200ms", 60);
    let whole = ("selftest", "selftest --format json", 120);
    // Trying all programs takes longest on an emulated kernel: a variant tries them once for both commands.
    let both = ("selftest", "selftest --format json --with-doctor", 120);
    // The selftest runs `live` itself, but says less of how it ends where it cannot: in lockdown.
    let commands = match (selftest, variant) {
        (false, _) => vec![doctor, live],
        (true, None) => vec![doctor, whole],
        (true, Some(LOCKDOWN)) => vec![doctor, live, whole],
        (true, Some(_)) => vec![both],
    };
    let commands = commands.into_iter();
    commands
        .map(|(name, line, seconds)| {
            let mut command = Vec::new();
            if !takes.is_empty() {
                command.push(format!("{dir}/restrict"));
                command.extend(takes.iter().map(|word| (*word).to_owned()));
                command.push("--".to_owned());
            }
            command.extend(sendtrace(dir, line));
            step(&named(name), &command, seconds)
        })
        .collect()
}

/// Makes a step leave what it prints in a file as well.
fn keep_output(step: &mut Step, file: &str) {
    let script = r#"file=$1; shift; "$@" > "$file"; code=$?; cat "$file"; exit $code"#;
    let shell = ["sh", "-c", script, "sh", file];
    step.command
        .splice(0..0, shell.iter().map(|word| (*word).to_owned()));
}

/// Lets the kernel live on after a warning: it warns of a card that hangs, which this step is about, until 6.6.
fn allow_warnings(step: &mut Step) {
    let script = r#"file=/proc/sys/kernel/panic_on_warn; old=$(cat $file); echo 0 > $file
        "$@"; code=$?; echo "$old" > $file; exit $code"#;
    let shell = ["sh", "-c", script, "sh"];
    step.command
        .splice(0..0, shell.iter().map(|word| (*word).to_owned()));
}

fn sendtrace(dir: &str, arguments: &str) -> Vec<String> {
    let mut command = vec![format!("{dir}/sendtrace")];
    command.extend(arguments.split(' ').map(str::to_owned));
    command
}

fn step(name: &str, command: &[String], timeout_s: u64) -> Step {
    Step {
        name: name.to_owned(),
        command: command.to_vec(),
        timeout_s,
    }
}

/// The variant and the kind of a step.
pub fn kind(name: &str) -> Option<(Option<&str>, Kind)> {
    let (variant, name) = match name.split_once(": ") {
        Some((variant, name)) => (Some(variant), name),
        None => (None, name),
    };
    let kind = match name {
        "doctor" => Kind::Doctor,
        "facts" => Kind::Facts,
        "live" => Kind::Live,
        "selftest" => Kind::Selftest,
        "raise" => Kind::Lockdown,
        _ => Kind::Test(name.strip_prefix("test ")?.to_owned()),
    };
    Some((variant, kind))
}

/// In the initramfs.
pub fn in_machine(wanted: &Wanted, kernel: &str) -> Manifest {
    manifest(wanted, kernel, PROGRAMS, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_known_by_its_name() {
        let wanted = Wanted {
            tests: vec!["owner".into()],
            whole: vec!["clock".into()],
            selftest: true,
            chosen: true,
        };
        let steps = manifest(&wanted, WHOLE_ON, "/t", true).steps;
        assert!(steps.iter().all(|step| kind(&step.name).is_some()));
        let owner = steps.iter().find(|step| step.name == "test owner");
        assert_eq!(owner.expect("asked for").command[0], "/t/owner");
        let has_clock = |steps: &[Step]| steps.iter().any(|step| step.name == "test clock");
        assert!(has_clock(&steps));
        assert!(!has_clock(&manifest(&wanted, "5.10", "/t", true).steps));
        assert_eq!(kind("no fexit: live"), Some((Some("no fexit"), Kind::Live)));
    }

    #[test]
    fn a_part_is_run_where_the_rest_is_as_on_a_sister() {
        let wanted = |chosen| Wanted {
            tests: TESTS.map(str::to_owned).to_vec(),
            whole: Vec::new(),
            selftest: true,
            chosen,
        };
        for entry in &ENTRIES {
            let names = |chosen| -> Vec<String> {
                let steps = manifest(&wanted(chosen), entry.id, "/t", true).steps;
                steps.into_iter().map(|step| step.name).collect()
            };
            let tests = |names: &[String]| -> Vec<String> {
                let tests = names.iter().filter_map(|name| name.strip_prefix("test "));
                tests.map(str::to_owned).collect()
            };
            assert!(names(false).contains(&"selftest".to_owned()));
            let of_part = TESTS.map(|test| is_of_part(entry.id, test));
            assert_eq!(
                tests(&names(false)).len(),
                of_part.iter().filter(|is| **is).count()
            );
            assert_eq!(tests(&names(true)), TESTS, "{}", entry.id);
            match entry.part {
                None => assert_eq!(tests(&names(false)), TESTS),
                Some(part) => {
                    assert_eq!(tests(&names(false)), part);
                    assert!(!names(false).iter().any(|name| name.contains(": ")));
                }
            }
        }
    }

    #[test]
    fn lockdown_comes_last_and_never_on_this_host() {
        let wanted = Wanted {
            tests: Vec::new(),
            whole: Vec::new(),
            selftest: false,
            chosen: false,
        };
        let here = manifest(&wanted, "host", "/t", false).steps;
        assert!(!here.iter().any(|step| step.name.starts_with(LOCKDOWN)));
        let inside = manifest(&wanted, "5.10", "/t", true).steps;
        let raised = inside
            .iter()
            .position(|step| step.name == "lockdown: raise");
        let after = &inside[raised.expect("is run")..];
        assert!(after.iter().all(|step| step.name.starts_with(LOCKDOWN)));
    }

    #[test]
    fn every_variant_takes_something_that_exists() {
        for variant in &VARIANTS {
            let words = variant.takes.iter().copied();
            assert!(
                vm_guest::restrict::Refusals::parse(words).is_ok(),
                "{}",
                variant.name
            );
        }
    }
}
