//! Applies a plan: loads the programs, fills the maps, attaches; [`Loaded`] reads the maps back.
//!
//! Together with [`super::ring`] the only place that knows aya. Memory in the kernel is bounded: the rings
//! (`--ring`), two aggregation maps of 8192 flows (about 4 MiB), and one owner (48 bytes and the storage's
//! own head) per open IP socket, freed with the socket. Nothing is pinned: when the process ends, however it
//! ends, its descriptors are closed and the kernel detaches and frees everything.

mod bring_up;
#[allow(unsafe_code)]
mod loaded;
mod patch;
mod perf;

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, anyhow};
use aya::maps::lpm_trie::Key as PrefixKey;
use aya::maps::{Array, HashMap, LpmTrie};
use aya::programs::fentry::FEntryLink;
use aya::programs::fexit::FExitLink;
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader, VerifierLogLevel};
use aya_log::EbpfLogger;
use tracer_common::{Config, OFFSET_COUNT, START_TICK_NS, ability, connects_seen, event_kind};

use super::facts::{Facts, ProgramVerdict, Verdicts};
use super::plan::{Hook, Kind, OWNER_ENDS, OWNERS_BY_ADDRESS, Plan, Purpose, Wanted};
use super::ring::RINGS;
use tracer_model::filter::FilterSpec;

use bring_up::{Up, bring_up};
pub use loaded::Loaded;
use loaded::Plain;
use patch::Patched;

/// The object that `build.rs` made.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);
static OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/sendtrace-ebpf")));

/// The same with what the programs say of themselves.
static DEBUG_OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(
    env!("OUT_DIR"),
    "/sendtrace-debug-ebpf"
)));

/// Which object is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Programs that do their work and nothing else.
    Default,
    /// The same, which also say why they filter an event or know no owner, in log records of the target `bpf`.
    Debug,
}

impl Build {
    fn object(self) -> &'static [u8] {
        match self {
            Self::Default => &OBJECT.0,
            Self::Debug => &DEBUG_OBJECT.0,
        }
    }
}

/// The smallest ring that holds a few records of any event kind.
pub const MIN_RING_BYTES: u32 = 4096;

/// A link is kept only to be dropped.
enum Link {
    Tracepoint { _link: BtfTracePointLink },
    Entry { _link: FEntryLink },
    Exit { _link: FExitLink },
    Perf { _event: OwnedFd },
}

/// Plans for these facts, loads and attaches. A refusal is no error: it is noted in the facts, and the next best
/// that they allow takes the place of the refused program.
///
/// # Errors
/// When there is no plan, the object or a map is refused, or a filter does not fit its map.
pub fn load(
    build: Build,
    facts: &mut Facts,
    wanted: Wanted,
    resolved: &FilterSpec,
    ring_bytes: u64,
    benign: &[u32],
) -> Result<Loaded> {
    let btf = Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
    let make = |plan: &Plan| {
        let mut ebpf = object(build, plan, resolved, ring_bytes, &btf)?;
        fill(&mut ebpf, resolved, benign)?;
        Ok(ebpf)
    };
    let Up {
        plan,
        object: mut ebpf,
        running,
    } = bring_up(facts, wanted, make, |ebpf, hook| {
        start(ebpf, hook, &btf).map_err(|error| refused(&error))
    })?;
    keep_owners(&mut ebpf, &facts.verdicts)?;
    let mut seen: Array<_, u32> = Array::try_from(map(&mut ebpf, "CONNECTS_SEEN")?)?;
    seen.set(0, connects_seen(&facts.verdicts), 0)?;
    let mut waits: Array<_, u32> = Array::try_from(map(&mut ebpf, "WAITS_SEEN")?)?;
    waits.set(0, u32::from(waits_seen(&facts.verdicts)), 0)?;
    let logger = match build {
        Build::Default => None,
        Build::Debug => Some(EbpfLogger::init(&mut ebpf)?),
    };
    Loaded::new(ebpf, plan, running, logger)
}

/// Whether the programs that run see every wait of a TCP socket's send.
fn waits_seen(verdicts: &Verdicts) -> bool {
    // The end of a wait runs only with one of the forms of its begin.
    ["memory_waited", "connect_waited"]
        .iter()
        .all(|program| verdicts.is_allowed(program))
}

/// One of [`connects_seen`]: what the programs that run can see.
fn connects_seen(verdicts: &Verdicts) -> u32 {
    let functions = ["connect_tcp4", "connect_tcp6"];
    if functions.iter().all(|program| verdicts.is_allowed(program)) {
        connects_seen::AT_FUNCTION
    } else if verdicts.is_allowed("connect_call") {
        connects_seen::AT_CALL
    } else {
        connects_seen::NOWHERE
    }
}

/// Lets the programs keep owners by address of those sockets whose end is seen from now on.
fn keep_owners(ebpf: &mut Ebpf, verdicts: &Verdicts) -> Result<()> {
    let ends = OWNER_ENDS
        .iter()
        .filter(|(program, _)| verdicts.is_allowed(program))
        .fold(0, |ends, (_, bit)| ends | bit);
    let mut map: Array<_, u32> = Array::try_from(map(ebpf, "OWNER_ENDS")?)?;
    Ok(map.set(0, ends, 0)?)
}

/// Tries all that a plan for these facts needs and lets go of it again, for `doctor`. Gives the plan that came of it.
///
/// # Errors
/// As for [`load`].
pub fn try_load(facts: &mut Facts, wanted: Wanted) -> Result<Plan> {
    let smallest = u64::from(MIN_RING_BYTES) * 16;
    // All event kinds: the verifier would remove, unread, what serves only those that are not asked for.
    let everything = FilterSpec {
        config: Config {
            event_kinds: Wanted::ALL.event_kinds,
            ..Config::default()
        },
        ..FilterSpec::default()
    };
    let build = Build::Default;
    load(build, facts, wanted, &everything, smallest, &[]).map(|loaded| loaded.plan)
}

fn object(
    build: Build,
    plan: &Plan,
    resolved: &FilterSpec,
    ring_bytes: u64,
    btf: &Btf,
) -> Result<Ebpf> {
    let sizes = ring_sizes(ring_bytes, resolved.config.event_kinds);
    let used = sizes.iter().zip(RINGS);
    let smallest = used
        .filter(|(_, (_, event_kind, _))| has_share(*event_kind, resolved.config.event_kinds))
        .map(|((_, bytes), _)| *bytes)
        .min()
        .unwrap_or(MIN_RING_BYTES);
    let config = Plain(Config {
        wake_bytes: u64::from(smallest / 4),
        file_refs_bias: plan.file_refs_bias,
        abilities: plan.abilities,
        registers_offset: plan.registers_offset,
        calls: plan.calls,
        other_sends: u64::from(plan.sees_other_sends()),
        sock_type: plan.perf_tracepoint_sends.map_or(0, |ids| ids.sock.into()),
        tcp_sock_type: plan
            .perf_tracepoint_sends
            .map_or(0, |ids| ids.tcp_sock.into()),
        ..resolved.config
    });
    let offsets: &[u32; OFFSET_COUNT] = &plan.offsets;
    let mut loader = EbpfLoader::new();
    loader
        .btf(Some(btf))
        .verifier_log_level(verifier_log_level())
        .override_global("CONFIG", &config, true)
        .override_global("OFFSETS", &offsets[..], true);
    if plan.abilities & ability::SOCKET_STORAGE == 0 {
        loader.map_max_entries("OWNERS_BY_ADDRESS", OWNERS_BY_ADDRESS);
    }
    for (name, bytes) in sizes {
        loader.map_max_entries(name, bytes);
    }
    let patched = plan
        .perf_tracepoint_sends
        .map(|ids| Patched::with_cast(build.object(), ids.cast));
    let object = patched.as_ref().map_or(build.object(), Patched::bytes);
    loader.load(object).map_err(|error| {
        anyhow!(error).context(
            "the kernel did not create the maps: before 5.11 they count as locked memory, which root may \
             raise; others need `ulimit -l unlimited`, LimitMEMLOCK=infinity of the service, or CAP_SYS_RESOURCE",
        )
    })
}

/// What the verifier writes about a program that it refuses, which is verified once more for that. Every step
/// that it took is megabytes, for which it starts again and again with more room: only for who asks
/// (`RUST_LOG=debug`). Its last words come with either.
fn verifier_log_level() -> VerifierLogLevel {
    match log::log_enabled!(log::Level::Debug) {
        true => VerifierLogLevel::DEBUG | VerifierLogLevel::STATS,
        false => VerifierLogLevel::STATS,
    }
}

/// The ring of sends is a single page unless they are wanted; the others always have their share.
fn has_share(event_kind: u32, wanted: u64) -> bool {
    match event_kind {
        event_kind::SEND => wanted >> event_kind::SEND & 1 != 0,
        _ => true,
    }
}

/// Size of each ring: its share of the total, rounded down to a power of two, at least a page.
fn ring_sizes(total: u64, wanted: u64) -> [(&'static str, u32); RINGS.len()] {
    let weight = |event_kind, weight| {
        if has_share(event_kind, wanted) {
            u64::from(weight)
        } else {
            0
        }
    };
    let weights: u64 = RINGS
        .iter()
        .map(|(_, event_kind, own)| weight(*event_kind, *own))
        .sum();
    RINGS.map(|(name, event_kind, own)| {
        let share = (total / weights)
            .saturating_mul(weight(event_kind, own))
            .max(u64::from(MIN_RING_BYTES));
        let power = 1u32 << share.ilog2().min(30);
        (name, power)
    })
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    ebpf.take_map(name)
        .with_context(|| format!("the BPF object has no map {name}"))
}

fn fill(ebpf: &mut Ebpf, resolved: &FilterSpec, benign: &[u32]) -> Result<()> {
    let mut pids: HashMap<_, u32, u64> = HashMap::try_from(map(ebpf, "PIDS")?)?;
    for (pid, start_ns) in &resolved.pids {
        pids.insert(pid, start_ns / START_TICK_NS, 0)
            .context("too many processes in --pid (4096 at most)")?;
    }
    let mut comms: HashMap<_, [u8; 16], u8> = HashMap::try_from(map(ebpf, "COMMS")?)?;
    for comm in &resolved.comms {
        comms
            .insert(comm, 1, 0)
            .context("too many names in --comm (64 at most)")?;
    }
    let mut ports: HashMap<_, u16, u8> = HashMap::try_from(map(ebpf, "PORTS")?)?;
    for port in &resolved.ports {
        ports
            .insert(port, 1, 0)
            .context("too many ports in --port (1024 at most)")?;
    }
    let mut remotes: LpmTrie<_, [u8; 16], u8> = LpmTrie::try_from(map(ebpf, "REMOTES")?)?;
    for (bits, address) in &resolved.remotes {
        let key = PrefixKey::new(*bits, *address);
        remotes
            .insert(&key, 1, 0)
            .context("too many prefixes in --remote (1024 at most)")?;
    }
    let mut reasons: HashMap<_, u32, u8> = HashMap::try_from(map(ebpf, "BENIGN_REASONS")?)?;
    for reason in benign {
        reasons.insert(reason, 1, 0)?;
    }
    Ok(())
}

fn map<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::maps::Map> {
    ebpf.map_mut(name)
        .with_context(|| format!("the BPF object has no map {name}"))
}

fn start(ebpf: &mut Ebpf, hook: &Hook, btf: &Btf) -> Result<Option<Link>, ProgramError> {
    let program = ebpf
        .program_mut(hook.program)
        .ok_or_else(|| ProgramError::InvalidName {
            name: hook.program.to_owned(),
        })?;
    Ok(match (hook.kind, program) {
        (Kind::TpBtf, Program::BtfTracePoint(program)) => {
            program.load(hook.attach, btf)?;
            let id = program.attach()?;
            Some(Link::Tracepoint {
                _link: program.take_link(id)?,
            })
        }
        (Kind::Fentry, Program::FEntry(program)) => {
            program.load(hook.attach, btf)?;
            let id = program.attach()?;
            Some(Link::Entry {
                _link: program.take_link(id)?,
            })
        }
        (Kind::Fexit, Program::FExit(program)) => {
            program.load(hook.attach, btf)?;
            let id = program.attach()?;
            Some(Link::Exit {
                _link: program.take_link(id)?,
            })
        }
        (Kind::Tracepoint, Program::TracePoint(program)) => {
            program.load()?;
            Some(Link::Perf {
                _event: perf::attach(program, "sock", hook.attach)?,
            })
        }
        (Kind::CallExit, Program::TracePoint(program)) => {
            program.load()?;
            Some(Link::Perf {
                _event: perf::attach(program, "syscalls", hook.attach)?,
            })
        }
        (Kind::Iter, Program::Iter(program)) => {
            program.load(hook.attach, btf)?;
            None
        }
        _ => return Err(ProgramError::UnexpectedProgramType),
    })
}

fn kinds_of(hook: &Hook) -> Vec<u32> {
    let event_kind = |serves: &Purpose| match serves {
        Purpose::Event(event_kind) => Some(*event_kind),
        _ => None,
    };
    hook.serves.iter().filter_map(event_kind).collect()
}

/// What an error of the kernel means; one is known inside of it alone, so that libraries call it unknown.
fn words(error: &std::io::Error) -> String {
    const ENOTSUPP: i32 = 524;
    match error.raw_os_error() {
        Some(ENOTSUPP) => {
            "this kernel does not support it on this processor (ENOTSUPP, os error 524)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// One line out of aya's error: the kernel's errno, and the verifier's last words when there are any.
fn refused(error: &ProgramError) -> ProgramVerdict {
    let (io_error, log) = match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
            ..
        } => (Some(io_error), verifier_log.to_string()),
        ProgramError::SyscallError(call) => (Some(&call.io_error), String::new()),
        _ => (None, String::new()),
    };
    if !log.is_empty() {
        log::debug!("verifier log:\n{log}");
    }
    let statistics = ["processed ", "verification time ", "stack depth "];
    let last = log
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !statistics.iter().any(|start| line.starts_with(start)));
    let mut text = io_error.map_or_else(|| error.to_string(), words);
    if let Some(last) = last {
        text = format!("{text}: {last}");
    }
    ProgramVerdict::Refused {
        errno: io_error.and_then(std::io::Error::raw_os_error),
        text,
    }
}

#[cfg(test)]
mod tests;
