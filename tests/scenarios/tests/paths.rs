//! Every way into the send of a socket, each in a process of its own, under one tracer: one event per send,
//! with the right result, size, owner and flow.

use std::time::Duration;

use scenarios::paths::{self, Comparison, FaultKind, Losses, PATHS, Path, SendReport, Sender};
use scenarios::{Outcome, Tracer, World, check_line, requires};

const GROUP: &str = "send path";
/// Sends per path, except where the kernel decides.
const COUNT: usize = 7;
/// Smallest size, bytes; each path has its own range, and all stay below a page.
const SIZE: usize = 1000;
const STEP: usize = 16;
/// How many senders start at a time: a start costs more than the sends.
const AT_ONCE: usize = 8;
/// Sends of each of many at once.
const MANY: usize = 200;
/// For all the sends of a path, on an emulated machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs of the test at most: the kernel skips a program while another is at work on its processor, says so, and
/// that is no word on how the path is counted.
const RUNS: usize = 3;

#[test]
#[ignore = "needs root"]
fn root_every_send_path_is_counted_exactly_once() {
    if !requires(&[]) {
        return;
    }
    let shown = (1..RUNS).any(|_| every_path(false));
    if !shown {
        every_path(true);
    }
}

/// All paths, once; `false` when the kernel skipped sends, which only the `last` run takes for what it is.
fn every_path(last: bool) -> bool {
    let world = World::pair();
    let netns = world.a.netns();
    let tracer = watch(&world);
    let mut senders: Vec<(Sender, Result<SendReport, String>)> = Vec::new();
    for (batch, paths) in PATHS.chunks(AT_ONCE).enumerate() {
        let started: Vec<Sender> = paths
            .iter()
            .enumerate()
            .map(|(index, path)| start(&world, *path, batch * AT_ONCE + index, COUNT))
            .collect();
        // One after the other: what many at once do to each other is the next test's question.
        for mut sender in started {
            sender.go();
            let report = sender.report(DEADLINE);
            senders.push((sender, report));
        }
    }
    // The end of a run delivers what is still on its way; the senders live until then.
    let run = tracer.stop();

    let losses = Losses::of_doctor();
    let mut lines = Vec::new();
    let (mut missed, mut faults) = (0, 0);
    let mut unclaimed = run.events.clone();
    for (sender, report) in &senders {
        let name = sender.path.name;
        let none = SendReport::default();
        let known = report.as_ref().unwrap_or(&none);
        let (ours, others): (Vec<_>, Vec<_>) = unclaimed
            .into_iter()
            .partition(|event| paths::is_of(event, &sender.id, known));
        unclaimed = others;
        let judged = match report {
            Err(error) => (Outcome::Fail, format!("the sender failed: {error}")),
            Ok(report) => {
                let comparison = paths::compare(&sender.id, netns, report, &ours);
                let is_missed = |kind: &FaultKind| matches!(kind, FaultKind::Missed { .. });
                let kinds = || comparison.faults.iter().map(|fault| &fault.kind);
                faults += kinds().count();
                missed += kinds().filter(|kind| is_missed(kind)).count();
                let not_seen = losses.about(name);
                paths::judge(sender.path, report, &comparison, not_seen.as_deref())
            }
        };
        lines.push((name, judged));
    }
    let skipped = run.totals["send"]["missed"].as_u64().unwrap_or(0);
    if !last && missed > 0 && missed == faults && missed as u64 <= skipped {
        println!("the kernel skipped {skipped} sends: once more");
        return false;
    }
    lines.push((
        "no event without a send",
        match unclaimed.first() {
            None => (Outcome::Pass, format!("{} events", run.events.len())),
            Some(event) => (
                Outcome::Fail,
                format!("{} that nobody sent, such as {event}", unclaimed.len()),
            ),
        },
    ));
    let mut failed = Vec::new();
    assert!(!lines.is_empty(), "no path was tried");
    for (check, (outcome, detail)) in lines {
        check_line(GROUP, check, outcome, &detail);
        if outcome == Outcome::Fail {
            failed.push(format!("{check}: {detail}"));
        }
    }
    let faults = failed.join("\n");
    assert!(failed.is_empty(), "totals {}\n{faults}", run.totals);
    run.assert_complete();
    true
}

/// Where programs can be preempted and the perf tracepoint is not to be had, the kernel skips the sends of others
/// meanwhile; the totals must say so.
#[test]
#[ignore = "needs root"]
fn root_sends_of_many_processes_at_once_are_counted_once_or_missed_by_the_kernel() {
    if !requires(&[]) {
        return;
    }
    let udp = PATHS.iter().find(|path| path.name == "UDP send");
    let udp = *udp.expect("one of the paths");
    let world = World::pair();
    let tracer = watch(&world);
    let mut senders: Vec<Sender> = (0..AT_ONCE)
        .map(|number| start(&world, udp, number, MANY))
        .collect();
    senders.iter_mut().for_each(Sender::go);
    let reports: Vec<SendReport> = senders
        .iter_mut()
        .map(|sender| sender.report(DEADLINE).expect("UDP works everywhere"))
        .collect();
    let run = tracer.stop();

    if let Some(why) = Losses::of_doctor().about(udp.name) {
        check_line(GROUP, "many at once", Outcome::Unsupported, &why);
        return;
    }
    let mut all = Comparison::default();
    for (sender, report) in senders.iter().zip(&reports) {
        let ours = run.events.iter();
        let ours: Vec<_> = ours
            .filter(|event| paths::is_of(event, &sender.id, report))
            .cloned()
            .collect();
        let one = paths::compare(&sender.id, world.a.netns(), report, &ours);
        all.right += one.right;
        all.faults.extend(one.faults);
    }
    let (not_seen, wrong): (Vec<_>, Vec<_>) = all
        .faults
        .iter()
        .partition(|fault| matches!(fault.kind, FaultKind::Missed { .. }));
    let sends = AT_ONCE * MANY;
    // Null where the kernel does not count what it skips.
    let skipped = run.totals["send"]["missed"].as_u64().unwrap_or(0);
    let (outcome, detail) = match wrong.first() {
        Some(fault) => (
            Outcome::Fail,
            format!("{} of {sends} wrong, such as {fault}", wrong.len()),
        ),
        None if not_seen.is_empty() => (Outcome::Pass, format!("{sends} of {sends}")),
        None if not_seen.len() as u64 <= skipped => (
            Outcome::Unsupported,
            format!(
                "{} of {sends}: this kernel lets programs be preempted and skips the others meanwhile; \
                 the totals say that {skipped} were missed",
                all.right
            ),
        ),
        None => (
            Outcome::Fail,
            format!(
                "{} of {sends}, but only {skipped} are missed in the totals",
                all.right
            ),
        ),
    };
    check_line(GROUP, "many at once", outcome, &detail);
    assert_ne!(outcome, Outcome::Fail, "totals {}\n{detail}", run.totals);
    run.assert_complete();
}

fn watch(world: &World) -> Tracer {
    Tracer::start(&[
        "--event",
        "send,send_error",
        "--would-block",
        "--netns",
        &world.a.name,
        // Thousands of sends at once: none may be lost for want of room.
        "--ring",
        "64M",
        "--rate",
        "1000000",
    ])
}

fn start(world: &World, path: Path, number: usize, count: usize) -> Sender {
    let comm = format!("sx-path-{number}");
    let size = SIZE + STEP * number;
    Sender::start(path, &comm, &world.a.path(), count, size)
}
