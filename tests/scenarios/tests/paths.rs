//! Every way into the send of a socket, each in a process of its own, under one tracer: one event per send,
//! with the right result, size, owner and flow.

use std::time::Duration;

use scenarios::paths::{self, Losses, PATHS, Report, Sender};
use scenarios::{Outcome, Tracer, World, check_line, requires};

const GROUP: &str = "send path";
/// Sends per path, except where the kernel decides.
const COUNT: usize = 7;
/// Smallest size, bytes; each path has its own range, and all stay below a page.
const SIZE: usize = 1000;
const STEP: usize = 16;
/// How many paths run at a time.
const AT_ONCE: usize = 8;
/// For all the sends of a path, on an emulated machine.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn root_every_send_path_is_counted_exactly_once() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let netns = world.a.netns();
    let tracer = Tracer::start(&[
        "--signal",
        "send,send_error",
        "--would-block",
        "--netns",
        &world.a.name,
        "--rate",
        "1000000",
    ]);
    let mut senders: Vec<(Sender, Result<Report, String>)> = Vec::new();
    for (batch, paths) in PATHS.chunks(AT_ONCE).enumerate() {
        let mut running: Vec<Sender> = paths
            .iter()
            .enumerate()
            .map(|(index, path)| {
                let number = batch * AT_ONCE + index;
                let comm = format!("sx-path-{number}");
                let size = SIZE + STEP * number;
                Sender::start(*path, &comm, &world.a.path(), COUNT, size)
            })
            .collect();
        running.iter_mut().for_each(Sender::go);
        senders.extend(running.into_iter().map(|mut sender| {
            let report = sender.report(DEADLINE);
            (sender, report)
        }));
    }
    // The end of a run delivers what is still on its way; the senders live until then.
    let run = tracer.stop();

    let losses = Losses::of_doctor();
    let mut failed = Vec::new();
    let mut line = |check: &str, (outcome, detail): (Outcome, String)| {
        check_line(GROUP, check, outcome, &detail);
        if outcome == Outcome::Fail {
            failed.push(format!("{check}: {detail}"));
        }
    };
    let mut unclaimed = run.events.clone();
    for (sender, report) in &senders {
        let name = sender.path.name;
        let none = Report::default();
        let known = report.as_ref().unwrap_or(&none);
        let (ours, others): (Vec<_>, Vec<_>) = unclaimed
            .into_iter()
            .partition(|event| paths::is_of(event, &sender.id, known));
        unclaimed = others;
        let judged = match report {
            Err(error) => (Outcome::Fail, format!("the sender failed: {error}")),
            Ok(report) => {
                let comparison = paths::compare(&sender.id, netns, report, &ours);
                paths::judge(
                    sender.path,
                    report,
                    &comparison,
                    losses.about(name).as_deref(),
                )
            }
        };
        line(name, judged);
    }
    line(
        "no event without a send",
        match unclaimed.first() {
            None => (Outcome::Pass, format!("{} events", run.events.len())),
            Some(event) => (
                Outcome::Fail,
                format!("{} that nobody sent, such as {event}", unclaimed.len()),
            ),
        },
    );
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    run.assert_complete();
}
