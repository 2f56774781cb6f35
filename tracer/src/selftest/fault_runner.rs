//! The faults of the self-test, one after the other. None is waited for: timers of the kernel run side by side, and
//! what the tracer says is compared later.

mod connections;
mod packets;
mod segments;
mod sends;

use std::fmt;

use anyhow::Result;

use super::check::{Check, Outcome, Watch};
use super::expected_hooks::ExpectedHooks;
use super::sandbox::Sandbox;

/// Makes the faults and collects a check for each.
pub struct FaultRunner<'a> {
    pub sandbox: &'a mut Sandbox,
    pub expected_hooks: &'a ExpectedHooks,
    pub checks: Vec<Check>,
}

/// What keeps a check from being done.
type Obstacle = Result<(), String>;

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

/// The host cannot make this fault, as was found by trying.
#[derive(Debug)]
struct Impossible {
    why: String,
    /// What the attempt may have left to be seen.
    watch: Option<Watch>,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Impossible {}

impl FaultRunner<'_> {
    /// Everything but the flood, which must come last.
    pub fn all(&mut self) {
        for family in 0..FAMILIES.len() {
            self.connections(family);
        }
        for family in 0..FAMILIES.len() {
            self.packets(family);
        }
        for family in 0..FAMILIES.len() {
            self.sends(family);
        }
        // Their timers are waited for last.
        for family in 0..FAMILIES.len() {
            self.segments(family);
        }
        self.unix();
    }

    /// One check of one family.
    fn check(
        &mut self,
        name: &str,
        family: usize,
        promised: Obstacle,
        act: impl FnOnce(&mut Sandbox) -> Result<Watch>,
    ) {
        self.checks(family, [(name, promised)], |sandbox| Ok([act(sandbox)?]));
    }

    /// Several checks of one fault, which is made when one of them is possible.
    fn checks<const N: usize>(
        &mut self,
        family: usize,
        names: [(&str, Obstacle); N],
        act: impl FnOnce(&mut Sandbox) -> Result<[Watch; N]>,
    ) {
        let host = self.sandbox.family(family);
        let obstacles = names.map(|(name, promised)| {
            let name = format!("{name} {}", FAMILIES[family]);
            (name, host.clone().and(promised))
        });
        let possible = obstacles.iter().any(|(_, obstacle)| obstacle.is_ok());
        let acted = if possible {
            act(self.sandbox).map(|watches| watches.map(Some))
        } else {
            Ok([const { None }; N])
        };
        let (watches, failed) = match acted {
            Ok(watches) => (watches, None),
            Err(error) => {
                let (watch, outcome) = failure(error);
                let mut watches = [const { None }; N];
                watches[0] = watch;
                (watches, Some(outcome))
            }
        };
        for ((name, obstacle), watch) in obstacles.into_iter().zip(watches) {
            let outcome = match obstacle {
                Err(why) => Some(Outcome::Unsupported(why)),
                Ok(()) => failed.clone(),
            };
            // Also of what is not promised, so that it surprises nobody.
            self.checks.push(Check {
                name,
                watch,
                outcome,
            });
        }
    }

    /// One check that knows no family.
    fn single(
        &mut self,
        name: String,
        promised: Obstacle,
        act: impl FnOnce(&mut Sandbox) -> Result<Watch>,
    ) {
        self.check("", 0, promised, act);
        if let Some(check) = self.checks.last_mut() {
            check.name = name;
        }
    }
}

fn failure(error: anyhow::Error) -> (Option<Watch>, Outcome) {
    match error.downcast::<Impossible>() {
        Ok(impossible) => (impossible.watch, Outcome::Unsupported(impossible.why)),
        Err(error) => (
            None,
            Outcome::Fail(format!("the fault could not be made: {error:#}")),
        ),
    }
}
