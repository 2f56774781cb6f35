//! Whom an event must name.

use jiff::Timestamp;
use serde_json::{Value, json};
use tracer_common::START_TICK_NS;

use super::holds;
use tracer_capture::owner::{NOT_IN_TIME, NOT_POSSIBLE};

/// A process, as events must describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub pid: u32,
    pub comm: String,
    pub uid: u32,
    /// Start, nanoseconds of CLOCK_BOOTTIME, cut to whole ticks as procfs shows it.
    pub start_ns: u64,
    /// Path of the cgroup (v2) below the mount; `None` where it is not compared.
    pub cgroup: Option<String>,
    /// Whether the tracer can look up who holds a socket; else it may only say who was last known.
    pub found_among_files: bool,
}

/// Whom an event must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This process, known in one of these ways.
    Process {
        who: Who,
        grades: &'static [&'static str],
    },
    /// Nobody, with a reason.
    Nobody,
    /// This process where another event of the same call tells it in time, else nobody.
    ProcessOrNobody(Box<Owner>),
}

impl Owner {
    pub(super) fn compare(&self, line: &Value, wall_minus_boot_ns: i128) -> Result<(), String> {
        let (who, grades) = match self {
            Self::Nobody => {
                return holds(
                    line,
                    &[
                        ("/owner/pid", Value::Null),
                        ("/owner/grade", json!("unknown")),
                    ],
                );
            }
            Self::ProcessOrNobody(_) if line["owner"]["pid"].is_null() => {
                return Self::Nobody.compare(line, wall_minus_boot_ns);
            }
            Self::ProcessOrNobody(process) => return process.compare(line, wall_minus_boot_ns),
            Self::Process { who, grades } => (who, grades),
        };
        holds(
            line,
            &[
                ("/owner/pid", json!(who.pid)),
                ("/owner/tid", json!(who.pid)),
                ("/owner/comm", json!(who.comm)),
                ("/owner/uid", json!(who.uid)),
            ],
        )?;
        if let Some(cgroup) = &who.cgroup {
            holds(line, &[("/owner/cgroup", json!(cgroup))])?;
        }
        let grade = line["owner"]["grade"].as_str().unwrap_or_default();
        // Right, and said to be unconfirmed: nobody looked whether others hold the socket.
        let why = &line["owner"]["why"];
        let unconfirmed = grade == "last_known"
            && (why == NOT_IN_TIME || (why == NOT_POSSIBLE && !who.found_among_files));
        if !grades.contains(&grade) && !unconfirmed {
            let grades = grades.join(" or ");
            return Err(format!("owner.grade is {grade}, expected {grades}"));
        }
        let started = line["owner"]["started"].as_str().unwrap_or_default();
        if !who.started_at(started, wall_minus_boot_ns) {
            return Err(format!(
                "owner.started is {started:?}, which is not the start of pid {}",
                who.pid
            ));
        }
        Ok(())
    }
}

impl Who {
    /// procfs counts in ticks, the event in nanoseconds of the wall clock: they may differ by a tick and by how the
    /// clocks were read.
    fn started_at(&self, started: &str, wall_minus_boot_ns: i128) -> bool {
        let Ok(started) = started.parse::<Timestamp>() else {
            return false;
        };
        let tick = i128::from(START_TICK_NS);
        let boot = started.as_nanosecond() - wall_minus_boot_ns;
        let earliest = i128::from(self.start_ns);
        (earliest - tick..=earliest + 2 * tick).contains(&boot)
    }
}
