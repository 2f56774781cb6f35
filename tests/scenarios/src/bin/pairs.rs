//! `pairs --out FOLDER [NAME…]`: records what `sendtrace diff` is tested with, before and after one change.
//!
//! The traces in `tests/traces/diff` are recorded by this, and `tests/traces/applog` with the log of the application
//! that failed there; it needs root, `ip` and `nft`.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use scenarios::faults::Stage;
use scenarios::{Host, Peer, World};

/// Records pairs of traces for `sendtrace diff`; needs root.
#[derive(Parser)]
struct Args {
    /// Only these
    names: Vec<String>,
    /// Where the traces go: NAME.trace
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// What is played between the beginning and the end of a recording.
type Play = fn(&Stage);

/// Name, and how it is made.
const ALL: [(&str, Play); 7] = [
    ("loss_10", |stage| loss(stage, 100, 12, "")),
    ("loss_1", |stage| loss(stage, 10, 12, "")),
    // The same loss; somebody has changed two settings at once.
    ("loss_1_two_settings", |stage| {
        loss(
            stage,
            10,
            12,
            "cd /proc/sys/net/ipv4; echo 7 > tcp_retries2; echo 0 > tcp_slow_start_after_idle",
        )
    }),
    ("loss_10_short", |stage| loss(stage, 100, 1, "")),
    ("syn_retries_1", |stage| outages(stage, 1)),
    ("syn_retries_6", |stage| outages(stage, 6)),
    ("retries", retries),
];

fn main() -> Result<()> {
    let args = Args::parse();
    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    for (name, play) in ALL {
        if args.names.is_empty() || args.names.iter().any(|wanted| wanted == name) {
            let trace = args.out.join(format!("{name}.trace"));
            let _ = fs::remove_file(&trace);
            play(&Stage {
                trace: trace.clone(),
            });
            println!("{}: {} bytes", trace.display(), fs::metadata(&trace)?.len());
        }
    }
    Ok(())
}

/// Eight connections send steadily; of a thousand packets that leave, so many are lost.
fn loss(stage: &Stage, per_mille: u32, seconds: u64, settings: &str) {
    let world = World::routed();
    world.a.sh(&format!("true; {settings}"));
    world.on_the_path(&[&format!(
        "ip saddr 10.99.1.1 numgen random mod 1000 < {per_mille} drop"
    )]);
    let mut server = world.b.peer("server");
    server.ok("open l tcp4");
    server.ok("bind l 10.99.2.2:873");
    server.ok("listen l");
    server.ok("serve l drain");
    let recording = stage.record(&world.a);
    let sends = seconds * 1000 / 25;
    let trickle = format!("trickle c {sends} 1000 25");
    let children: Vec<Child> = (0..8)
        .map(|_| {
            one_shot(
                &world.a,
                &[
                    "comm feeder",
                    "open c tcp4",
                    "connect c 10.99.2.2:873",
                    &trickle,
                ],
            )
        })
        .collect();
    for mut child in children {
        child.wait().expect("our child");
    }
    recording.end();
}

/// The path is gone for 5 s and there for 1 s, again and again; ten clients connect all the time.
fn outages(stage: &Stage, syn_retries: u32) {
    let world = World::routed();
    world.a.sh(&format!(
        "echo {syn_retries} > /proc/sys/net/ipv4/tcp_syn_retries"
    ));
    let mut server = world.b.peer("server");
    server.ok("open l tcp4");
    server.ok("bind l 10.99.2.2:443");
    server.ok("listen l");
    server.ok("serve l drain");
    let recording = stage.record(&world.a);
    let mut script = vec!["comm client"];
    for _ in 0..60 {
        script.extend([
            "open c tcp4",
            "connect c 10.99.2.2:443",
            "close c",
            "pause 700",
        ]);
    }
    let mut children = Vec::new();
    for outage in 0..7 {
        world.on_the_path(&["ip saddr 10.99.1.1 drop"]);
        for _ in 0..10 {
            if outage == 0 {
                children.push(one_shot(&world.a, &script));
            }
            sleep(Duration::from_millis(500));
        }
        world.on_the_path(&[]);
        sleep(Duration::from_millis(1000));
    }
    recording.end();
    for child in &mut children {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// An upload dies in a black hole, its first retry too, and its second is refused. What the application logs when
/// each comes back with its error stands in a file beside the trace.
fn retries(stage: &Stage) {
    let world = World::routed();
    world.a.sh("echo 3 > /proc/sys/net/ipv4/tcp_retries2");
    let recording = stage.record(&world.a);
    let mut log = String::new();
    let mut pair = scenarios::Connection::at(&world, "uploader", "server", "10.99.2.2:443");
    pair.warm_up();
    let pid = pair.client.id.pid;
    let now = || {
        jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
            .to_string()
    };
    log.push_str(&format!(
        "{{\"ts\":\"{}\",\"req_id\":\"8f3\",\"msg\":\"begins\",\"pid\":{pid}}}\n",
        now()
    ));
    world.on_the_path(&["drop"]);
    pair.client.ok("send c 20000");
    pair.client.fails("recv c", libc::ETIMEDOUT);
    log.push_str(&format!(
        "{{\"ts\":\"{}\",\"req_id\":\"8f3\",\"dest\":\"10.99.2.2:443\",\"error\":\"recv: Connection timed out (os error 110)\",\"pid\":{pid}}}\n",
        now()
    ));
    pair.client.ok("open d tcp4");
    pair.client.ok("syn-retries d 1");
    pair.client
        .fails("connect d 10.99.2.2:443", libc::ETIMEDOUT);
    log.push_str(&format!(
        "{{\"ts\":\"{}\",\"req_id\":\"8f3\",\"dest\":\"10.99.2.2:443\",\"errno\":110,\"retry\":1,\"max_retries\":3,\"pid\":{pid}}}\n",
        now()
    ));
    world.on_the_path(&[]);
    pair.client.ok("open e tcp4");
    pair.client
        .fails("connect e 10.99.2.2:81", libc::ECONNREFUSED);
    log.push_str(&format!(
        "ts={} level=error req_id=8f3 dest=10.99.2.2:81 err=ECONNREFUSED retry=2/3 pid={pid}\n",
        now()
    ));
    recording.end();
    fs::write(stage.trace.with_extension("log"), log).expect("room");
}

fn one_shot(host: &Host, commands: &[&str]) -> Child {
    Peer::one_shot(&host.path(), commands)
}
