//! The smallest set of capabilities that a run needs, on kernels that know them.

use scenarios::{
    SOON, Tracer, World, assert_owner, requires, sendtrace, skip, sys::with_capabilities_alone,
};

const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
const NOBODY: u32 = 65_534;

/// Does this kernel have CAP_BPF?
fn knows_cap_bpf() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|last| last.trim().parse::<u32>().ok())
        .is_some_and(|last| last >= CAP_BPF)
}

#[test]
#[ignore = "needs root"]
fn root_live_runs_with_cap_bpf_and_cap_perfmon_alone() {
    if !requires(&[]) {
        return;
    }
    if !knows_cap_bpf() {
        skip("this kernel has no CAP_BPF");
        return;
    }
    let world = World::pair();
    let mut old = world.a.peer("caps-old");
    old.ok("open c tcp4");
    let mut command = sendtrace();
    command.args(["live", "--format", "json", "--netns", &world.a.name]);
    with_capabilities_alone(&mut command, NOBODY, &[CAP_BPF, CAP_PERFMON]);
    let tracer = Tracer::spawn(command);
    tracer.wait_ready();

    // A socket that is older than the run, and one that is not: both have their owners.
    old.fails("connect c 10.99.1.2:7999", libc::ECONNREFUSED);
    let refused = tracer.wait_for("the refusal", SOON, |event| {
        event["event"] == "connection" && event["owner"]["pid"] == old.id.pid
    });
    assert_owner(&refused, &old.id, &["at_connect"]);
    let mut new = world.a.peer("caps-new");
    new.ok("open c tcp4");
    new.fails("connect c 10.99.1.2:7998", libc::ECONNREFUSED);
    let refused = tracer.wait_for("the refusal", SOON, |event| {
        event["event"] == "connection" && event["owner"]["pid"] == new.id.pid
    });
    // Two so close to each other: the second may come too early for the next look at the open files.
    assert_owner(&refused, &new.id, &["at_connect", "last_known"]);

    let run = tracer.stop();
    run.assert_complete();
    // What cannot be shown is said once, and the names of code locations are the only such thing here.
    // (And what this kernel does not give anybody.)
    let hidden = run
        .stderr
        .lines()
        .filter(|line| line.contains("drop.location"));
    assert_eq!(hidden.count(), 1, "{}", run.stderr);
}
