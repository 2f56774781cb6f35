//! Wrong input: one clear line that says what was needed and what to do, and the contract's exit status.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use scenarios::{requires, run_sendtrace, sendtrace_path};

/// Nothing on stdout, this status, and a first line on stderr with these words.
#[track_caller]
fn assert_refused(output: &Output, status: i32, words: &[&str]) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "stderr:\n{stderr}");
    assert!(
        output.stdout.is_empty(),
        "stdout:\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let first = stderr.lines().next().unwrap_or_default();
    for word in words {
        assert!(
            first.contains(word),
            "{word:?} is missing in the first line of:\n{stderr}"
        );
    }
    assert!(
        !stderr.contains("panicked") && !stderr.contains("backtrace"),
        "{stderr}"
    );
    stderr
}

#[track_caller]
fn assert_one_line(stderr: &str) {
    assert_eq!(stderr.lines().count(), 1, "one line, not:\n{stderr}");
}

#[test]
fn wrong_words_are_usage_errors() {
    let cases: &[&[&str]] = &[
        &["--errno", "EWHATEVER"],
        &["--event", "smoke"],
        &["--remote", "10.0.0.0/99"],
        &["--remote", "not-a-network"],
        &["--proto", "carrier-pigeon"],
        &["--port", "70000"],
        &["--pid", "many"],
        &["--duration", "soon"],
        &["--ring", "huge"],
        &["--rate", "0"],
    ];
    for case in cases {
        let mut arguments = vec!["live"];
        arguments.extend(*case);
        assert_refused(&run_sendtrace(&arguments), 2, case);
    }
    assert_eq!(run_sendtrace(&["lvie"]).status.code(), Some(2));
    assert_eq!(
        run_sendtrace(&["live", "--follow"]).status.code(),
        Some(2),
        "--follow needs --pid"
    );
}

#[test]
#[ignore = "needs root"]
fn root_what_the_host_does_not_have_is_a_failure() {
    if !requires(&[]) {
        return;
    }
    for (arguments, words) in [
        (["live", "--pid", "2147483646"], ["2147483646", "pid"]),
        (
            ["live", "--netns", "no-such-netns"],
            ["no-such-netns", "name"],
        ),
        (
            ["live", "--cgroup", "/no/such/cgroup"],
            ["/no/such/cgroup", "cgroup"],
        ),
    ] {
        assert_one_line(&assert_refused(&run_sendtrace(&arguments), 1, &words));
    }
}

/// A copy that everybody may run: the build directory may be root's alone.
fn public_copy(dir: &Path) -> PathBuf {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("own directory");
    let path = dir.join("sendtrace");
    fs::copy(sendtrace_path(), &path).expect("a copy");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("own file");
    path
}

#[test]
#[ignore = "needs root"]
fn root_without_root_live_says_what_to_do() {
    if !requires(&[]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = public_copy(dir.path());
    let nobody = |arguments: &[&str]| {
        Command::new(&program)
            .args(arguments)
            .uid(65534)
            .gid(65534)
            .output()
            .expect("the program starts")
    };
    let stderr = assert_refused(&nobody(&["live"]), 1, &["root"]);
    assert_one_line(&stderr);
    assert!(stderr.contains("sudo"), "it says what to do: {stderr}");

    for format in ["text", "json"] {
        let doctor = nobody(&["doctor", "--format", format]);
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert_eq!(
            doctor.status.code(),
            Some(0),
            "{said}\n{}",
            String::from_utf8_lossy(&doctor.stderr)
        );
        assert!(
            said.contains("root") || said.contains("CAP_"),
            "it says that root is missing:\n{said}"
        );
        if format == "json" {
            for line in said.lines() {
                let parsed: serde_json::Value =
                    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
                assert!(parsed["type"].is_string(), "{line}");
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn root_a_file_limit_too_low_is_said() {
    if !requires(&[]) {
        return;
    }
    let limited = Command::new("sh")
        .args(["-c", "ulimit -n 16 && exec \"$0\" live --duration 1s"])
        .arg(sendtrace_path())
        .output()
        .expect("the program starts");
    assert_one_line(&assert_refused(&limited, 1, &["file", "ulimit -n"]));
}

#[test]
#[ignore = "needs root"]
fn root_doctor_names_a_hook_for_each_event_kind() {
    if !requires(&[]) {
        return;
    }
    let doctor = run_sendtrace(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        doctor.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&doctor.stderr)
    );
    for word in [
        "retransmit",
        "send_error",
        "drop",
        "device",
        "reset",
        "connection",
    ] {
        assert!(said.contains(word), "{word} is missing in:\n{said}");
    }
}
