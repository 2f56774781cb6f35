//! What happened on one impaired path, and what must hold between the kernel's counters and the events.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use scenarios::{Counters, Outcome, Run, World, check_line, number, run_sendtrace, text};
use serde_json::Value;

/// What is done to packets on their way to host `b`.
#[derive(Clone, Copy)]
pub enum Impaired {
    /// A netem queue with these options.
    Netem(&'static str),
    /// A rule of nftables on what the router forwards from host `a`.
    Rule(&'static str),
}

impl Impaired {
    /// `Err`: this kernel cannot do it, in the words of `tc`.
    pub fn begin(self, world: &World) -> Result<(), String> {
        match self {
            Self::Netem(options) => {
                let router = &world.router().name;
                let mut words = vec!["-n", router, "qdisc", "add", "dev", "tob", "root", "netem"];
                words.extend(["limit", "10000"]);
                words.extend(options.split(' '));
                let output = Command::new("tc")
                    .args(&words)
                    .stdin(Stdio::null())
                    .output()
                    .expect("tc");
                if output.status.success() {
                    return Ok(());
                }
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.trim();
                if said.contains("qdisc kind is unknown") {
                    Err(format!("no netem: {said}"))
                } else {
                    panic!("tc {}: {said}", words.join(" "))
                }
            }
            Self::Rule(rule) => {
                world.on_the_path(&[&format!("iifname toa {rule}")]);
                Ok(())
            }
        }
    }

    pub fn end(self, world: &World) {
        match self {
            Self::Netem(_) => {
                world
                    .router()
                    .sh("tc qdisc del dev tob root 2>/dev/null || :");
            }
            Self::Rule(_) => world.on_the_path(&[]),
        }
    }
}

/// What this kernel's types say about it.
fn counts_timeouts_after_sending() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let output = run_sendtrace(&["doctor", "--facts"]);
        let facts: Value = serde_json::from_slice(&output.stdout).expect("facts");
        let after = &facts["btf"]["timeout_counted_after_sending"];
        after.as_bool().expect("a kernel whose order is known")
    })
}

/// How our count and the kernel's are related.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Exactly,
    /// Ours is at most the kernel's.
    AtMost,
}

/// One run on one path.
pub struct Story {
    pub check: String,
    /// Local ends of the connections, each with the other end (of a listener: its own alone). The kernel may give
    /// a local port to another connection of the run.
    pub ends: Vec<(String, Option<String>)>,
    pub netns: u64,
    /// What the namespace of the sender counted meanwhile.
    pub counters: Counters,
    /// How TCPLossProbes relates to our probes here.
    pub probes: Relation,
    /// So many segments are sent again at least, or nothing was shown.
    pub least: u64,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    events: u64,
    segments: u64,
    /// Events that are the first of their kind in a row (`attempt` 1).
    first: u64,
}

/// Sums of events by (cause, trigger, sent).
#[derive(Default)]
struct Sums(BTreeMap<(String, String, bool), Sum>);

impl Sums {
    /// Of what was sent, for which this is true.
    fn sent(&self, wanted: impl Fn(&str, &str) -> bool) -> Sum {
        self.of(|cause, trigger, sent| sent && wanted(cause, trigger))
    }

    fn of(&self, wanted: impl Fn(&str, &str, bool) -> bool) -> Sum {
        let mut total = Sum::default();
        for ((cause, trigger, sent), sum) in &self.0 {
            if wanted(cause, trigger, *sent) {
                total.events += sum.events;
                total.segments += sum.segments;
                total.first += sum.first;
            }
        }
        total
    }
}

impl Story {
    /// Whether all holds, and what the check line says.
    pub fn judge(&self, run: &Run) -> (Outcome, String) {
        let sums = self.sums(run);
        let mut said = Vec::new();
        let mut wrong = Vec::new();
        for (name, ours, relation, kernel) in self.relations(&sums) {
            let (holds, sign) = match relation {
                Relation::Exactly => (ours == kernel, "="),
                Relation::AtMost => (ours <= kernel, "<="),
            };
            let text = format!("{name}: ours {ours} {sign} {kernel}");
            if holds {
                said.push(text);
            } else {
                wrong.push(format!("{text} is not so"));
            }
        }
        let unknown = sums.of(|cause, _, _| cause == "unknown").events;
        let sent = sums.sent(|_, _| true).segments;
        if sent < self.least {
            wrong.push(format!("only {sent} segments were sent again"));
        }
        if unknown > 0 {
            wrong.push(format!("{unknown} of unknown cause"));
        }
        let outcome = if wrong.is_empty() {
            Outcome::Pass
        } else {
            Outcome::Fail
        };
        wrong.append(&mut said);
        (outcome, wrong.join("; "))
    }

    /// Prints the check line; true when all holds.
    pub fn tell(&self, run: &Run) -> bool {
        let (outcome, said) = self.judge(run);
        check_line("retransmit", &self.check, outcome, &said);
        outcome == Outcome::Pass
    }

    /// The events of this run, a line each: which of them the kernel counted, and we did not see, shows where a
    /// number of `attempt` is not there.
    pub fn list(&self, run: &Run) -> String {
        let events = self.events(run);
        let lines = events.iter().map(|event| {
            let (boot_ns, flow) = (&event["boot_ns"], &event["flow"]);
            let ends = format!("{} > {}", flow["local"], flow["remote"]);
            format!("  {boot_ns} {ends} {}\n", event["retransmit"])
        });
        format!("{}:\n{}", self.check, lines.collect::<String>())
    }

    fn events<'a>(&self, run: &'a Run) -> Vec<&'a Value> {
        run.events("retransmit", |event| {
            let flow = &event["flow"];
            flow["netns"] == self.netns
                && self.ends.iter().any(|(local, remote)| {
                    flow["local"] == local.as_str()
                        && remote
                            .as_ref()
                            .is_none_or(|end| flow["remote"] == end.as_str())
                })
        })
    }

    fn sums(&self, run: &Run) -> Sums {
        let mut sums = Sums::default();
        for event in self.events(run) {
            let key = (
                text(event, "retransmit.cause").to_owned(),
                text(event, "retransmit.trigger").to_owned(),
                text(event, "retransmit.outcome") == "sent",
            );
            let sum = sums.0.entry(key).or_default();
            sum.events += 1;
            sum.segments += number(event, "retransmit.segments") as u64;
            sum.first += u64::from(event["retransmit"]["attempt"] == 1);
        }
        sums
    }

    /// `tcp_retransmit_timer` counts when it fires; what it then sends is one event, of a SYN too.
    /// `tcp_syn_ack_timeout` counts for a listener. Kernels that count a time-out after sending have an older
    /// `tcp_retransmit_timer` in another way too: it counts only the first time-out in a row, and under one of
    /// six names, by what it interrupts.
    fn timeouts(&self, sums: &Sums) -> (&'static str, u64, Relation, u64) {
        let by_timer = |causes: &[&str]| {
            sums.of(|cause, trigger, _| trigger == "timer" && causes.contains(&cause))
        };
        let kernel = |name: &str| self.counters.get(name);
        if !counts_timeouts_after_sending() {
            let ours = by_timer(&["rto", "syn", "synack"]).events;
            return (
                "TCPTimeouts",
                ours,
                Relation::Exactly,
                kernel("TcpExtTCPTimeouts"),
            );
        }
        let names = [
            "TcpExtTCPTimeouts",
            "TcpExtTCPSackRecoveryFail",
            "TcpExtTCPRenoRecoveryFail",
            "TcpExtTCPLossFailures",
            "TcpExtTCPSackFailures",
            "TcpExtTCPRenoFailures",
        ];
        (
            "first of TCPTimeouts and its kind",
            by_timer(&["rto", "syn"]).first + by_timer(&["synack"]).events,
            Relation::Exactly,
            names.into_iter().map(kernel).sum(),
        )
    }

    /// (what, our count, how related, the kernel's count)
    fn relations(&self, sums: &Sums) -> Vec<(&'static str, u64, Relation, u64)> {
        use Relation::{AtMost, Exactly};
        let kernel = |name: &str| self.counters.get(name);
        vec![
            // `__tcp_retransmit_skb` counts segments before it sends, and those that a local queue then
            // refused a second time, as failed.
            (
                "RetransSegs - TCPRetransFail",
                sums.sent(|_, _| true).segments,
                Exactly,
                kernel("TcpRetransSegs") - kernel("TcpExtTCPRetransFail"),
            ),
            // The same place, for what carries a SYN; `tcp_rtx_synack` adds the listener's.
            (
                "TCPSynRetrans",
                sums.sent(|cause, _| cause == "syn" || cause == "synack")
                    .events,
                Exactly,
                kernel("TcpExtTCPSynRetrans"),
            ),
            // `tcp_xmit_retransmit_queue` adds the segments of what it sent to one of the two: in Loss to the
            // second, else to the first.
            (
                "TCPFastRetrans",
                sums.sent(|cause, _| cause == "fast").segments,
                Exactly,
                kernel("TcpExtTCPFastRetrans"),
            ),
            (
                "TCPSlowStartRetrans",
                sums.sent(|cause, trigger| cause == "rto" && trigger == "ack")
                    .segments,
                Exactly,
                kernel("TcpExtTCPSlowStartRetrans"),
            ),
            self.timeouts(sums),
            // `tcp_send_loss_probe` counts a probe of new data as well, which is no retransmit and has no
            // event: equal only when nothing new was left to send.
            (
                "TCPLossProbes",
                sums.sent(|cause, _| cause == "tlp").events,
                self.probes,
                kernel("TcpExtTCPLossProbes"),
            ),
            // `tcp_mark_skb_lost` counts the segments that were sent again and are lost again, when it learns
            // of it. An event tells what leaves, not what was lost: there is no count of ours that must be
            // equal. But each loss ends one retransmit that was no probe, so it cannot have more.
            (
                "TCPLostRetransmit (kernel's first)",
                kernel("TcpExtTCPLostRetransmit"),
                AtMost,
                sums.sent(|cause, _| cause != "tlp").segments,
            ),
        ]
    }
}
