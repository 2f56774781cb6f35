//! The flight recorder: what was before the trigger is in the trace, and the next trigger makes the next one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use scenarios::recording::{Recorder, events, replay, wait_until};
use scenarios::{World, requires, sendtrace};

use crate::traffic::{fail, is_send};

/// No user of any program.
const USER: &str = "65533";

#[test]
#[ignore = "needs root"]
fn root_a_trigger_writes_what_was_before_it_and_the_recorder_arms_itself_again() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let dir = tempfile::tempdir().expect("a folder");
    let everybody = fs::Permissions::from_mode(0o777);
    fs::set_permissions(dir.path(), everybody).expect("our folder");
    let windows = dir.path().join("windows");
    let said = dir.path().join("said");
    let mut command = sendtrace();
    command
        .args(["record", "--print", "--format", "json", "--netns"])
        .arg(&world.a.name)
        .arg("-w")
        .arg(&windows)
        .args(["--trigger", "errno=EDESTADDRREQ"])
        .args(["--before", "60s", "--after", "1s"])
        .arg("--exec")
        .arg(format!(r#"echo "$(id -u) $1" >> {}"#, said.display()))
        .env("SUDO_UID", USER)
        .env("SUDO_GID", USER);
    let recorder = Recorder::spawn(&dir.path().join("printed"), command);
    let before = |bytes: u64| {
        fail(&world, "before", bytes);
        recorder.wait_printed("event before", |event| is_send(event, bytes));
        assert_eq!(
            traces(&windows).len() as u64,
            bytes - 70_001,
            "no trigger yet"
        );
    };
    let by_errno = || {
        let mut peer = world.a.peer("trigger");
        peer.ok("open u udp4");
        peer.fails("send u 20", libc::EDESTADDRREQ);
    };

    before(70_001);
    by_errno();
    wait_until("first trace", || traces(&windows).len() == 1);
    before(70_002);
    recorder.signal(Signal::SIGUSR1);
    wait_until("second trace", || traces(&windows).len() == 2);
    before(70_003);
    by_errno();
    wait_until("third trace", || traces(&windows).len() == 3);
    wait_until("three runs of the command", || {
        fs::read_to_string(&said).is_ok_and(|said| said.lines().count() == 3)
    });
    let ended = recorder.stop();
    assert!(ended.status.success(), "{}", ended.stderr);

    let traces = traces(&windows);
    assert_eq!(traces.len(), 3, "{traces:?}");
    let ran = fs::read_to_string(&said).expect("the commands ran");
    for (number, (trace, ran)) in traces.iter().zip(ran.lines()).enumerate() {
        assert_eq!(ran, format!("{USER} {}", trace.display()));
        let played = replay(&[trace.as_os_str(), "--format".as_ref(), "json".as_ref()]);
        assert!(played.status.success(), "{}", played.stderr);
        assert_eq!(played.stderr, "", "a window is a complete trace");
        // No run of its own, but a part of one: what is counted in it is what is listed.
        played.run("replay").assert_complete();
        let events = events(&played.stdout);
        let has = |bytes| events.iter().any(|event| is_send(event, bytes));
        assert!(has(70_001 + number as u64), "what was before: {events:?}");
        assert!(!has(70_002 + number as u64), "of the future: {events:?}");
        // The one in the middle was asked for by a signal.
        assert_eq!(has(20), number != 1 || has(70_001), "{events:?}");
        let samples = replay(&[trace.as_os_str(), "--samples".as_ref()]).stdout;
        let why = ["errno=EDESTADDRREQ", "SIGUSR1", "errno=EDESTADDRREQ"][number];
        assert!(samples.contains(why), "{samples}");
    }
}

/// The complete windows of a folder, oldest first.
fn traces(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut traces: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "trace"))
        .collect();
    traces.sort();
    traces
}
