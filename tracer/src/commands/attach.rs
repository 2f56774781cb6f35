//! From arguments to hooks that are attached: what `live` and `record` begin with.
//!
//! In two steps, because what needs privileges (files of a trace, sockets) is opened between them.

use std::path::Path;

use anyhow::{anyhow, bail};
use caps::Capability;
use tracer_common::{event_kind as number, filter as bit};

use super::{Failure, warn};
use crate::cli::{CaptureArgs, LiveFilters};
use tracer_capture::host::ThisHost;
use tracer_capture::kernel::facts::{self, Facts};
use tracer_capture::kernel::load::{self, Build, Loaded};
use tracer_capture::kernel::plan::{self, NEEDED_FILES, Plan, Wanted};
use tracer_capture::names::KernelNames;
use tracer_capture::owner::{Cgroups, Holders, Names, Owners, Processes, SystemdCgroups};
use tracer_capture::sys;
use tracer_model::event::EventKind;
use tracer_model::filter::{self, FilterSpec, Settings};

/// Hooks that are attached, with all privileges still there.
pub struct Attached {
    pub loaded: Loaded,
    pub names: KernelNames,
    pub filter: FilterSpec,
    pub facts: Facts,
    /// Names of the event kinds that are seen.
    pub event_kinds: Vec<&'static str>,
    /// What this host does not give, one line each.
    pub losses: Vec<String>,
}

/// Attaches what the arguments ask for.
///
/// # Errors
/// When arguments contradict each other or the host, or nothing can be attached; the text says what to do.
pub fn attach(capture: &CaptureArgs, filters: &LiveFilters) -> Result<Attached, Failure> {
    crate::interrupt::check()?;
    let root = Path::new("/");
    let mut facts = Facts::probe(root);
    facts.verdicts.withhold(&capture.without_program);
    if let Some(problem) = plan::privileges(&facts).problem() {
        return Err(anyhow!(problem).into());
    }
    let follow = filters.follow;
    let filters = &filters.filters;
    if !filters.pid.is_empty() && facts::in_pid_namespace(root) {
        let problem = "--pid cannot be used inside a pid namespace, whose pids the kernel does not see: \
                       run on the host, or filter by --cgroup, --netns or --comm";
        return Err(anyhow!(problem).into());
    }
    let settings = Settings {
        rate: capture.rate,
        would_block: capture.would_block,
        blocked_ns: u64::try_from(capture.blocked.as_nanos()).unwrap_or(u64::MAX),
        follow,
    };
    let host = ThisHost::new(root, &facts);
    let filter =
        filter::resolve(&filters.into(), settings, &host).map_err(|error| match error {
            filter::Error::Usage(message) => Failure::Usage(message),
            filter::Error::Host(error) => Failure::Failed(error),
        })?;
    sys::raise_nofile(NEEDED_FILES)?;
    sys::raise_memlock();
    let wanted = Wanted {
        event_kinds: filter.config.event_kinds,
        follow: filter.config.filters & bit::FOLLOW != 0,
        connect_errors: capture.connect_errors,
    };
    let names = KernelNames::open(root, &facts);
    let benign = names.benign_reasons();
    let build = match capture.debug_bpf {
        true => Build::Debug,
        false => Build::Default,
    };
    let mut loaded = load::load(build, &mut facts, wanted, &filter, capture.ring, &benign)?;
    let losses = losses(&loaded.plan);
    losses.iter().for_each(|loss| warn(loss));
    let event_kinds = seen(&loaded.plan, &facts, &filter)?;
    if wanted.follow {
        // Children that are older than we are; later ones are found by the program `fork`.
        loaded.want(&Processes::new(root).descendants(&filters.pid))?;
    }
    Ok(Attached {
        loaded,
        names,
        filter,
        facts,
        event_kinds,
        losses,
    })
}

/// Learns the owners of sockets that are older than we are, and drops every privilege that is not needed later;
/// `also` stays.
///
/// # Errors
/// When privileges cannot be dropped.
pub fn settle(
    attached: &mut Attached,
    also: &[Capability],
    args: &CaptureArgs,
) -> anyhow::Result<Owners> {
    // The walk seeds the owners, and shows what it needs later.
    let mut seeded = Ok(());
    let mut holders = Holders::new(args.look_ups);
    let loaded = &mut attached.loaded;
    let mut keep = sys::needed_for(|| {
        let found = loaded.walk();
        seeded = found.map(|found| holders.learn(found, sys::boot_clock_ns()));
        seeded.is_ok() && loaded.counters().is_ok()
    });
    if let Err(error) = seeded {
        // What fails with every capability says nothing about those that all else needs.
        keep = sys::needed_for(|| loaded.counters().is_ok());
        warn(&format!(
            "owners of sockets opened before now are not known: {error:#}"
        ));
    }
    keep.extend_from_slice(also);
    sys::drop_privileges(&keep)?;
    let root = Path::new("/");
    let owners = Owners::new(
        holders,
        Processes::new(root),
        Cgroups::new(attached.facts.cgroup2.clone()),
        Names::new(root, !args.no_cmdline),
    );
    Ok(match attached.facts.systemd_cgroups {
        Some(_) => owners.with_cgroups_of_systemd(SystemdCgroups::new(root)),
        None => owners,
    })
}

/// What this host does not give of what was wanted.
fn losses(plan: &Plan) -> Vec<String> {
    let told = plan.losses.iter().filter(|loss| !loss.quiet);
    told.map(|loss| {
        format!(
            "{}: {} ({}); {}",
            loss.serves.name(),
            loss.lost,
            loss.why,
            loss.remedy
        )
    })
    .collect()
}

/// The event kinds that are seen; fails when there is none.
fn seen(plan: &Plan, facts: &Facts, filter: &FilterSpec) -> anyhow::Result<Vec<&'static str>> {
    let seen: Vec<_> = (0..number::COUNT as u32)
        .filter(|&event_kind| {
            filter.config.event_kinds >> event_kind & 1 != 0 && plan.sees(event_kind)
        })
        .filter_map(EventKind::from_number)
        .map(EventKind::name)
        .collect();
    if seen.is_empty() {
        let why = facts.verdicts.refusals().next();
        let why = why.map(|(program, words)| format!("{program}: {words}"));
        bail!(
            "the kernel refused every hook ({}): run `sendtrace doctor` to see what this host allows",
            why.unwrap_or_else(|| "no reason given".to_owned())
        );
    }
    Ok(seen)
}
