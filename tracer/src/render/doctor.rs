//! What doctor found, for people and for programs.

mod json;
mod limits;
mod text;

pub use text::COLUMNS;

use tracer_common::event_kind;

use super::Renderer;
use tracer_capture::kernel::facts::{Facts, ProgramVerdict};
use tracer_capture::kernel::plan::{self, Choice, Hook, Plan, PlanError, Privileges, Purpose};

/// All that doctor knows; what is printed is a pure function of it.
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

/// The whole report.
pub fn doctor(examination: &Examination, renderer: Renderer) -> String {
    match renderer {
        Renderer::Text { colour } => text::render(examination, colour),
        Renderer::Json => json::render(examination),
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
