//! `sendtrace doctor`: what this host offers, which hook serves each event kind, and what is missing.
//!
//! Its job is to say so, and that needs no root: it ends with 0 whatever it finds.

use std::path::Path;

use super::{Failure, print, renderer};
use crate::cli::{Doctor, Printed};
use crate::render::Renderer;
use crate::render::doctor::{Examination, doctor};
use tracer_capture::kernel::facts::{Facts, recorded};
use tracer_capture::kernel::load;
use tracer_capture::kernel::plan::{self, Plan, PlanError, Wanted};
use tracer_capture::sys;
use tracer_capture::withholding::Withholding;

/// Runs the command; as root it really loads every program and lets go of it again.
pub fn run(args: &Doctor) -> Result<(), Failure> {
    let root = Path::new("/");
    let report = if args.facts {
        format!("{:#}\n", recorded::to_json(&Facts::probe(root)))
    } else {
        let mut facts = Facts::probe(root);
        facts.verdicts.withhold(&args.without_program);
        let renderer = renderer(Printed {
            format: args.format,
            color: args.color,
            ..Printed::default()
        });
        Tried::on(&mut facts).report(&facts, renderer)
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
            connect_errors: true,
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
    pub fn report(&self, facts: &Facts, renderer: Renderer) -> String {
        doctor(&self.examination(facts), renderer)
    }
}

fn try_load(facts: &mut Facts, wanted: Wanted) -> anyhow::Result<Plan> {
    sys::raise_nofile(plan::NEEDED_FILES)?;
    sys::raise_memlock();
    load::try_load(facts, wanted)
}

#[cfg(test)]
mod tests;
