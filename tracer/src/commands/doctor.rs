//! `sendtrace doctor`: what this host offers, which hook serves each event kind, and what is missing.
//!
//! Its job is to say so, and that needs no root: it ends with 0 whatever it finds.

mod json;
mod limits;
mod text;

use std::path::Path;

use tracer_common::event_kind;

use super::{Failure, colour, print};
use crate::cli::{Doctor, Format};
use tracer_capture::kernel::facts::{Facts, ProgramVerdict, recorded};
use tracer_capture::kernel::load;
use tracer_capture::kernel::plan::{
    self, Choice, Hook, Plan, PlanError, Privileges, Purpose, Wanted,
};
use tracer_capture::sys;
use tracer_capture::withholding::Withholding;

/// All that doctor knows; both renderers are pure functions of it.
#[derive(Clone, Copy, Debug)]
pub struct Examination<'a> {
    pub facts: &'a Facts,
    /// With the facts that a try brought, the kernel's verdicts among them.
    pub plan: &'a Result<Plan, PlanError>,
    /// Whether the kernel was asked about the programs.
    pub tried: bool,
    /// Why not even the maps could be made.
    pub load_error: Option<&'a str>,
}

/// The answer to the first question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summary {
    /// Every event kind is seen.
    Yes,
    /// These event kinds are not seen.
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
        // Some kinds are seen only where the host allows more than is needed.
        let promised: Vec<_> = (0..event_kind::COUNT as u32)
            .filter(|&event_kind| plan::is_promised(event_kind))
            .collect();
        let blind: Vec<_> = promised
            .iter()
            .copied()
            .filter(|&event_kind| !plan.sees(event_kind))
            .map(|event_kind| Purpose::Event(event_kind).name())
            .collect();
        match blind.len() {
            0 => Summary::Yes,
            blind if blind == promised.len() => {
                Summary::No("the kernel refuses the hooks of every event kind".to_owned())
            }
            _ => Summary::Partly(blind),
        }
    }

    pub fn privileges(&self) -> Privileges {
        plan::privileges(self.facts)
    }

    /// What the kernel said to the program of a hook.
    pub fn verdict(&self, hook: &Hook) -> &ProgramVerdict {
        self.facts.verdicts.of(hook.program)
    }
}

/// Runs the command; as root it really loads every program and lets go of it again.
pub fn run(args: &Doctor) -> Result<(), Failure> {
    let root = Path::new("/");
    let report = if args.facts {
        format!("{:#}\n", recorded::to_json(&Facts::probe(root)))
    } else {
        let mut facts = Facts::probe(root);
        facts.verdicts.withhold(&args.without_program);
        Tried::on(&mut facts).report(&facts, args.format, colour(args.color))
    };
    Ok(print(&report)?)
}

/// The plan for everything, after the kernel has had its say.
pub(super) struct Tried {
    pub plan: Result<Plan, PlanError>,
    pub load_error: Option<String>,
    tried: bool,
}

impl Tried {
    /// Plans, and tries where that is allowed; what the kernel says is noted in the facts.
    pub fn on(facts: &mut Facts) -> Self {
        let may = plan::privileges(facts).sufficient();
        let withholding = may.then(Withholding::watch).flatten();
        let tried = Self::with(facts, try_load);
        facts.withholds = withholding.and_then(|watch| watch.found());
        tried
    }

    fn with(
        facts: &mut Facts,
        try_load: impl FnOnce(&mut Facts, Wanted) -> anyhow::Result<Plan>,
    ) -> Self {
        let everything = Wanted {
            follow: true,
            ..Wanted::ALL
        };
        let plan = plan::plan(facts, everything);
        let may = plan.is_ok() && plan::privileges(facts).sufficient();
        match may.then(|| try_load(facts, everything)) {
            Some(Ok(plan)) => Self {
                plan: Ok(plan),
                load_error: None,
                tried: true,
            },
            untried => Self {
                plan,
                load_error: untried
                    .and_then(Result::err)
                    .map(|error| format!("{error:#}")),
                tried: false,
            },
        }
    }

    fn examination<'a>(&'a self, facts: &'a Facts) -> Examination<'a> {
        Examination {
            facts,
            plan: &self.plan,
            tried: self.tried,
            load_error: self.load_error.as_deref(),
        }
    }

    /// What the command `doctor` prints.
    pub fn report(&self, facts: &Facts, format: Format, colour: bool) -> String {
        written(&self.examination(facts), format, colour)
    }
}

/// What is remarkable about the arguments of a hook.
fn remarks<'a>(plan: &'a Plan, choice: &'a Choice) -> impl Iterator<Item = &'a str> {
    let here = plan
        .remarks
        .iter()
        .filter(|(attach, _)| *attach == choice.group.attach);
    here.map(|(_, text)| text.as_str())
}

fn written(examination: &Examination, format: Format, colour: bool) -> String {
    match format {
        Format::Text => text::render(examination, colour),
        Format::Json => json::render(examination),
    }
}

fn try_load(facts: &mut Facts, wanted: Wanted) -> anyhow::Result<Plan> {
    sys::raise_nofile(plan::NEEDED_FILES)?;
    sys::raise_memlock();
    load::try_load(facts, wanted)
}

#[cfg(test)]
mod tests;
