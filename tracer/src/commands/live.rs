//! `sendtrace live`: attach, attribute every failure to send, print it.

mod session;

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use jiff::tz::TimeZone;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tracer_common::{filter as bit, signal as number};

use super::Failure;
use crate::cli::{Color, Format, Live, Printed};
use crate::event::Signal;
use crate::filter::{self, Resolved, Settings};
use crate::host::ThisHost;
use crate::kernel::facts::{self, Facts, ProgramVerdict};
use crate::kernel::load::{self, Loaded};
use crate::kernel::plan::{self, NEEDED_FILES, Need, Plan, Wanted};
use crate::names::KernelNames;
use crate::output::{FinishOutcome, Output};
use crate::owner::{Cgroups, Holders, Owners, Processes};
use crate::render::{Clock, Renderer};
use crate::sys;
use session::{Session, Step};

/// How often the rings are looked at when nobody wakes us: while there are events, and after a while without.
const POLL: Duration = Duration::from_millis(50);
const IDLE_POLL: Duration = Duration::from_millis(200);
/// How often aggregated events are delivered.
const DELIVERY: Duration = Duration::from_secs(1);
/// How long the end waits for a reader that does not read.
const FLUSH: Duration = Duration::from_millis(500);

/// Runs the command.
pub fn run(args: &Live) -> Result<(), Failure> {
    let root = Path::new("/");
    let facts = Facts::probe(root);
    if let Some(problem) = plan::privileges(&facts).problem() {
        return Err(anyhow!(problem).into());
    }
    let filters = &args.filters.filters;
    if !filters.pid.is_empty() && facts::in_pid_namespace(root) {
        let problem = "--pid cannot be used inside a pid namespace, whose pids the kernel does not see: \
                       run on the host, or filter by --cgroup, --netns or --comm";
        return Err(anyhow!(problem).into());
    }
    let settings = Settings {
        rate: args.capture.rate,
        would_block: args.capture.would_block,
        follow: args.filters.follow,
    };
    let host = ThisHost::new(root, facts.cgroup2.clone());
    let resolved = filter::resolve(filters, settings, &host).map_err(|error| match error {
        filter::Error::Usage(message) => Failure::Usage(message),
        filter::Error::Host(error) => Failure::Failed(error),
    })?;
    sys::raise_nofile(NEEDED_FILES)?;
    sys::raise_memlock();
    let wanted = Wanted {
        signals: resolved.config.signals,
        follow: resolved.config.filters & bit::FOLLOW != 0,
    };
    let plan = plan::plan(&facts, wanted)?;
    let names = KernelNames::open(root, &facts);
    let mut loaded = load::load(&plan, &resolved, args.capture.ring, &names.benign_reasons())?;
    let signals = report_losses(&plan, &loaded, &resolved)?;
    if wanted.follow {
        // Children that are older than we are; later ones are found by the program `fork`.
        loaded.want(&Processes::new(root).descendants(&filters.pid))?;
    }
    // The walk seeds the owners of sockets that are older than we are, and shows what it needs later.
    let mut seeded = Ok(());
    let keep = sys::needed_for(|| {
        seeded = loaded.walk().map(drop);
        seeded.is_ok() && loaded.counters().is_ok()
    });
    if let Err(error) = seeded {
        warn(&format!(
            "owners of sockets opened before now are not known: {error:#}"
        ));
    }
    sys::drop_privileges(&keep)?;

    let output = Output::stdout().context("cannot write to stdout")?;
    let renderer = renderer(args.printed);
    let clock = Clock {
        wall_minus_boot_ns: sys::wall_minus_boot_ns(),
        zone: if args.printed.utc {
            TimeZone::UTC
        } else {
            TimeZone::system()
        },
    };
    let owners = Owners::new(
        Holders::new(),
        Processes::new(root),
        Cgroups::new(facts.cgroup2.clone()),
    );
    let session = Session::new(
        loaded,
        owners,
        names,
        resolved,
        renderer,
        clock,
        output,
        args.capture.count,
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    runtime.block_on(follow(session, args.capture.duration, &signals))
}

/// Warns about every signal that this host does not give; fails when nothing is left.
fn report_losses(
    plan: &Plan,
    loaded: &Loaded,
    resolved: &Resolved,
) -> anyhow::Result<Vec<&'static str>> {
    let optional = |program: &str| {
        plan.hooks()
            .any(|hook| hook.program == program && hook.need == Need::Optional)
    };
    let refused: Vec<_> = loaded
        .verdicts
        .iter()
        .filter(|(program, verdict)| {
            matches!(verdict, ProgramVerdict::Refused { .. }) && !optional(program)
        })
        .cloned()
        .collect();
    for loss in plan.losses_after(&refused) {
        warn(&format!(
            "{}: {} ({}); {}",
            loss.serves.name(),
            loss.lost,
            loss.why,
            loss.remedy
        ));
    }
    let seen: Vec<_> = (0..number::COUNT as u32)
        .filter(|&signal| {
            resolved.config.signals >> signal & 1 != 0 && plan.sees(signal, &loaded.verdicts)
        })
        .filter_map(Signal::from_number)
        .map(Signal::name)
        .collect();
    if seen.is_empty() {
        let why = loaded
            .verdicts
            .iter()
            .find_map(|(program, verdict)| match verdict {
                ProgramVerdict::Refused { text, .. } => Some(format!("{program}: {text}")),
                _ => None,
            });
        bail!(
            "the kernel refused every hook ({}): run `sendtrace doctor` to see what this host allows",
            why.unwrap_or_else(|| "no reason given".to_owned())
        );
    }
    Ok(seen)
}

fn warn(message: &str) {
    // A vanished terminal must not turn into a panic.
    let _ = writeln!(io::stderr(), "sendtrace: warning: {message}");
}

fn renderer(printed: Printed) -> Renderer {
    let colour = match printed.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        }
    };
    match printed.format {
        Format::Text => Renderer::Text { colour },
        Format::Json => Renderer::Json,
    }
}

/// One descriptor that is readable when any ring asks for its reader.
fn wake_up(session: &Session) -> anyhow::Result<AsyncFd<OwnedFd>> {
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("cannot create an epoll descriptor")?;
    for fd in session.ring_fds() {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
        epoll.add(fd, event).context("cannot poll a ring")?;
    }
    sys::readiness(epoll.0).context("cannot poll the rings")
}

/// The loop: rings, clock and signals, until something ends it.
async fn follow(
    mut session: Session,
    duration: Option<Duration>,
    signals: &[&str],
) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot catch SIGHUP")?;
    let rings = wake_up(&session)?;
    let mut delivery = interval(DELIVERY);
    delivery.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let deadline = duration.map(|duration| Instant::now() + duration);
    let mut interrupted = false;

    session.start();
    let how_to_end = if duration.is_some() {
        ""
    } else {
        " Hit Ctrl-C to end."
    };
    // In one piece: the output thread writes to the same terminal.
    let ready = format!("Ready: {}.{how_to_end}\n", signals.join(", "));
    let _ = io::stderr().write_all(ready.as_bytes());
    loop {
        let step = tokio::select! {
            _ = interrupt.recv() => { interrupted = true; Step::End }
            _ = terminate.recv() => { interrupted = true; Step::End }
            _ = hang_up.recv() => { interrupted = true; Step::End }
            () = async { sleep_until(deadline.unwrap_or_else(Instant::now)).await }, if deadline.is_some() => Step::End,
            _ = delivery.tick() => session.deliver_aggregates()?,
            () = sleep(if session.is_idle() { IDLE_POLL } else { POLL }) => session.pump()?,
            ready = rings.readable() => {
                ready.context("cannot poll the rings")?.clear_ready();
                session.pump()?
            }
        };
        if step == Step::End {
            break;
        }
    }
    match session.finish(FLUSH)? {
        FinishOutcome::Complete | FinishOutcome::ReaderGone => Ok(()),
        FinishOutcome::Incomplete { unwritten_bytes } => {
            warn(&format!(
                "{unwritten_bytes} bytes of output were not read in time and are gone"
            ));
            if interrupted {
                Ok(())
            } else {
                Err(anyhow!(
                    "stdout does not take the rest of the output: read it, or write to a file"
                )
                .into())
            }
        }
    }
}
