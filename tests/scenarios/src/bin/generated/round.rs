//! One seed: played, recorded, reported and judged.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use scenarios::generated::{Impossible, Plan, Truth, Verdict, judge};
use scenarios::run_sendtrace;
use serde::{Deserialize, Serialize};

/// What all scenarios of a run have in common.
pub struct Round<'a> {
    pub names: &'a [String],
    pub out: &'a Path,
    pub recorded: bool,
    pub commit: &'a str,
}

/// What became of one seed, as it stands in a line of JSON.
#[derive(Serialize, Deserialize)]
pub struct Line {
    pub seed: u64,
    pub kind: String,
    pub told: String,
    pub wanted: String,
    /// Of which sources sendtrace was built.
    pub commit: String,
    /// Second of the wall clock at which it was judged.
    pub time: i64,
    pub truth: Truth,
    pub verdict: Option<Verdict>,
    /// A healthy host that was alarmed was played once more: whether it was alarmed again.
    pub again: bool,
    /// Why there is no verdict.
    pub not_played: Option<String>,
}

impl Round<'_> {
    fn trace(&self, seed: u64) -> PathBuf {
        self.out.join(format!("{seed}.trace"))
    }

    fn truth(&self, seed: u64) -> PathBuf {
        self.out.join(format!("{seed}.json"))
    }

    /// Seeds of which a recording is there.
    pub fn there(&self) -> Result<Vec<u64>> {
        let mut seeds = Vec::new();
        for entry in fs::read_dir(self.out)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let seed: Option<u64> = name
                .strip_suffix(".json")
                .and_then(|seed| seed.parse().ok());
            seeds.extend(seed.filter(|seed| self.trace(*seed).exists()));
        }
        seeds.sort_unstable();
        Ok(seeds)
    }

    fn planned(&self, seed: u64) -> Result<Plan> {
        Plan::new(seed, self.names).context("no kind has such a name")
    }

    /// What a seed stands for, in one line.
    pub fn plan(&self, seed: u64) -> Result<String> {
        let plan = self.planned(seed)?;
        Ok(format!("{seed:<12} {:<34} {}", plan.kind.name, plan.told()))
    }

    /// Plays and judges one seed.
    pub fn line(&self, seed: u64) -> Result<Line> {
        let plan = self.planned(seed)?;
        let mut line = Line {
            seed,
            kind: plan.kind.name.to_owned(),
            told: plan.told(),
            wanted: plan.kind.wanted(),
            commit: self.commit.to_owned(),
            time: 0,
            truth: Truth::default(),
            verdict: None,
            again: false,
            not_played: None,
        };
        let judged = self.judged(&plan);
        line.time = jiff::Timestamp::now().as_second();
        match judged {
            Ok((truth, verdict)) => {
                if verdict.is_alarm(&truth) && !self.recorded {
                    let second = self.judged(&plan);
                    line.again = second.is_ok_and(|(truth, verdict)| verdict.is_alarm(&truth));
                }
                (line.truth, line.verdict) = (truth, Some(verdict));
            }
            Err(why) => line.not_played = Some(why),
        }
        Ok(line)
    }

    fn judged(&self, plan: &Plan) -> Result<(Truth, Verdict), String> {
        if let Some(program) = plan.kind.needs.iter().find(|program| !has(program)) {
            return Err(format!("needs the program `{program}`"));
        }
        let trace = self.trace(plan.seed);
        let truth = match self.recorded {
            true => {
                let truth = fs::read_to_string(self.truth(plan.seed)).map_err(|e| e.to_string())?;
                plan.truth_of(serde_json::from_str(&truth).map_err(|e| e.to_string())?)
            }
            false => {
                // A recorder overwrites nothing.
                let _ = fs::remove_file(&trace);
                let truth =
                    catch_unwind(AssertUnwindSafe(|| plan.play(&trace))).map_err(|panic| {
                        let _ = fs::remove_file(&trace);
                        said(panic.as_ref())
                    })?;
                let text = serde_json::to_string(&truth).map_err(|e| e.to_string())?;
                fs::write(self.truth(plan.seed), text).map_err(|e| e.to_string())?;
                truth
            }
        };
        let run = run_sendtrace(&["report", "--format", "json", &trace.to_string_lossy()]);
        let verdict = judge(&String::from_utf8_lossy(&run.stdout), &truth);
        Ok((truth, verdict))
    }
}

/// The words of a panic.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(impossible) = panic.downcast_ref::<Impossible>() {
        return impossible.0.clone();
    }
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_default()
}

fn has(program: &str) -> bool {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}
