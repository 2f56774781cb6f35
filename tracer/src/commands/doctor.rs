//! `sendtrace doctor`: what this host offers, which hook serves each signal, and what is missing.
//!
//! Its job is to say so, and that needs no root: it ends with 0 whatever it finds.

mod json;
mod limits;
mod text;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use tracer_common::signal;

use super::Failure;
use crate::cli::{Color, Doctor, Format};
use tracer_capture::kernel::facts::{Facts, ProgramVerdict, recorded};
use tracer_capture::kernel::load;
use tracer_capture::kernel::plan::{self, Hook, Plan, PlanError, Privileges, Serves, Wanted};
use tracer_capture::sys;

/// All that doctor knows; both renderers are pure functions of it.
#[derive(Clone, Copy, Debug)]
pub struct Examination<'a> {
    pub facts: &'a Facts,
    pub plan: &'a Result<Plan, PlanError>,
    /// What the kernel said to each program; empty when nothing was tried.
    pub verdicts: &'a [(String, ProgramVerdict)],
    /// Why not even the maps could be made.
    pub load_error: Option<&'a str>,
}

/// The answer to the first question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summary {
    /// Every signal is seen.
    Yes,
    /// These signals are not seen.
    Partly(Vec<&'static str>),
    /// The host would do, this user may not; the text says what to do.
    NeedsPrivileges(String),
    /// And why.
    No(String),
}

impl Examination<'_> {
    /// Whether `live` works here.
    pub fn summary(&self) -> Summary {
        let plan = match self.plan {
            Err(error) => return Summary::No(error.to_string()),
            Ok(plan) => plan,
        };
        if let Some(problem) = self.privileges().problem() {
            return Summary::NeedsPrivileges(problem);
        }
        if let Some(error) = self.load_error {
            return Summary::No(error.to_owned());
        }
        let blind: Vec<_> = (0..signal::COUNT as u32)
            .filter(|&signal| !plan.sees(signal, self.verdicts))
            .map(|signal| Serves::Signal(signal).name())
            .collect();
        match blind.len() {
            0 => Summary::Yes,
            signal::COUNT => Summary::No("the kernel refuses the hooks of every signal".to_owned()),
            _ => Summary::Partly(blind),
        }
    }

    pub fn privileges(&self) -> Privileges {
        plan::privileges(self.facts)
    }

    /// What the kernel said to the program of a hook.
    pub fn verdict(&self, hook: &Hook) -> &ProgramVerdict {
        let found = self
            .verdicts
            .iter()
            .find(|(program, _)| program == hook.program);
        found.map_or(&ProgramVerdict::Untried, |(_, verdict)| verdict)
    }
}

/// Runs the command; as root it really loads every program and lets go of it again.
pub fn run(args: &Doctor) -> Result<(), Failure> {
    let colour = match args.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    };
    let root = Path::new("/");
    let report = if args.facts {
        format!("{:#}\n", recorded::to_json(&Facts::probe(root)))
    } else {
        examine(root, try_load, |examination| {
            written(examination, args.format, colour)
        })
    };
    match io::stdout().write_all(report.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Probes, plans, tries where that is allowed, and hands all of it to `render`.
fn examine(
    root: &Path,
    try_load: impl FnOnce(&Plan) -> anyhow::Result<Vec<(String, ProgramVerdict)>>,
    render: impl FnOnce(&Examination) -> String,
) -> String {
    let facts = Facts::probe(root);
    render(&Tried::with(&facts, try_load).examination(&facts))
}

/// The plan for everything, and what the kernel said to it.
pub(super) struct Tried {
    pub plan: Result<Plan, PlanError>,
    pub verdicts: Vec<(String, ProgramVerdict)>,
    pub load_error: Option<String>,
}

impl Tried {
    /// Plans, and tries where that is allowed.
    pub fn on(facts: &Facts) -> Self {
        Self::with(facts, try_load)
    }

    fn with(
        facts: &Facts,
        try_load: impl FnOnce(&Plan) -> anyhow::Result<Vec<(String, ProgramVerdict)>>,
    ) -> Self {
        let everything = Wanted {
            follow: true,
            ..Wanted::ALL
        };
        let plan = plan::plan(facts, everything);
        let tried = match &plan {
            Ok(plan) if plan::privileges(facts).sufficient() => try_load(plan),
            _ => Ok(Vec::new()),
        };
        let (verdicts, load_error) = match tried {
            Ok(verdicts) => (verdicts, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        Self {
            plan,
            verdicts,
            load_error,
        }
    }

    fn examination<'a>(&'a self, facts: &'a Facts) -> Examination<'a> {
        Examination {
            facts,
            plan: &self.plan,
            verdicts: &self.verdicts,
            load_error: self.load_error.as_deref(),
        }
    }

    /// What the command `doctor` prints.
    pub fn report(&self, facts: &Facts, format: Format, colour: bool) -> String {
        written(&self.examination(facts), format, colour)
    }
}

fn written(examination: &Examination, format: Format, colour: bool) -> String {
    match format {
        Format::Text => text::render(examination, colour),
        Format::Json => json::render(examination),
    }
}

fn try_load(plan: &Plan) -> anyhow::Result<Vec<(String, ProgramVerdict)>> {
    sys::raise_nofile(plan::NEEDED_FILES)?;
    sys::raise_memlock();
    load::try_load(plan)
}

#[cfg(test)]
mod tests;
