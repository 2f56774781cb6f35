//! Applies a plan: loads the programs, fills the maps, attaches, and reads the maps back.
//!
//! Together with [`super::ring`] the only place that knows aya. Memory in the kernel is bounded: the rings
//! (`--ring`), two aggregation maps of 8192 flows (about 4 MiB), and one owner (48 bytes and the storage's
//! own head) per open IP socket, freed with the socket. Nothing is pinned: when the process ends, however it
//! ends, its descriptors are closed and the kernel detaches and frees everything.

use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::maps::lpm_trie::Key as PrefixKey;
use aya::maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, PerCpuHashMap};
use aya::programs::fexit::FExitLink;
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::{Iter, Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader, Pod};
use tracer_common::{
    AggregateKey, AggregateValue, CodeKey, Config, Counters, Holder, OFFSET_COUNT, START_TICK_NS,
    Wire, from_bytes, signal,
};

use super::facts::{self, ProgramVerdict};
use super::plan::{Hook, Kind, Plan, Serves};
use super::ring::{RINGS, Rings};
use crate::filter::Resolved;
use crate::sys;

/// The object that `build.rs` made.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);
static OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/sendtrace-ebpf")));

/// The smallest ring that holds a few records of any signal.
pub const MIN_RING_BYTES: u32 = 4096;

/// Deliveries after the last aggregated event until both maps are empty for sure.
const MAPS_TO_EMPTY: u32 = 2;

/// A wire type that aya may copy in and out of maps.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Plain<T>(T);

// SAFETY: `Wire` promises a plain type without padding for which every bit pattern is valid.
unsafe impl<T: Wire> Pod for Plain<T> {}

/// The loaded kernel half. Dropping it detaches and frees everything.
pub struct Loaded {
    ebpf: Ebpf,
    links: Vec<Link>,
    programs: Vec<(&'static str, Vec<u32>)>,
    /// What the kernel said to each program of the plan.
    pub verdicts: Vec<(String, ProgramVerdict)>,
    /// The rings.
    pub rings: Rings,
    counters: PerCpuArray<MapData, Plain<Counters>>,
    active: Array<MapData, u32>,
    aggregates: [HashMap<MapData, Plain<AggregateKey>, Plain<AggregateValue>>; 2],
    codes: PerCpuHashMap<MapData, Plain<CodeKey>, u64>,
    pids: HashMap<MapData, u32, u64>,
    /// Which aggregation map is written now.
    writing: u32,
    /// Sum of the aggregated counters at the last delivery.
    aggregated: u64,
    /// Deliveries since that sum last changed.
    quiet_turns: u32,
}

/// A link is kept only to be dropped.
enum Link {
    Tracepoint { _link: BtfTracePointLink },
    Exit { _link: FExitLink },
}

/// Loads and attaches every program of the plan; a refusal is a verdict, not an error.
///
/// # Errors
/// When the object or a map is refused, or a filter does not fit its map.
pub fn load(plan: &Plan, resolved: &Resolved, ring_bytes: u64, benign: &[u32]) -> Result<Loaded> {
    let btf = Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
    let mut ebpf = object(plan, resolved, ring_bytes, &btf)?;
    fill(&mut ebpf, resolved, benign)?;

    let mut verdicts = Vec::new();
    let mut links = Vec::new();
    let mut programs = Vec::new();
    for hook in plan.hooks() {
        let verdict = match start(&mut ebpf, hook, &btf) {
            Ok(link) => {
                links.extend(link);
                programs.push((hook.program, signals_of(hook)));
                ProgramVerdict::Allowed
            }
            Err(error) => refused(&error),
        };
        verdicts.push((hook.program.to_owned(), verdict));
    }

    let rings = Rings::take(&mut ebpf)?;
    let counters = PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?)?;
    let active = Array::try_from(take(&mut ebpf, "ACTIVE")?)?;
    let aggregates = [
        HashMap::try_from(take(&mut ebpf, "AGGREGATE_A")?)?,
        HashMap::try_from(take(&mut ebpf, "AGGREGATE_B")?)?,
    ];
    let codes = PerCpuHashMap::try_from(take(&mut ebpf, "CODES")?)?;
    let pids = HashMap::try_from(take(&mut ebpf, "PIDS")?)?;
    Ok(Loaded {
        ebpf,
        links,
        programs,
        verdicts,
        rings,
        counters,
        active,
        aggregates,
        codes,
        pids,
        writing: 0,
        aggregated: 0,
        quiet_turns: 0,
    })
}

/// Tries every program of the plan and lets go of it again, for `doctor`.
pub fn try_load(plan: &Plan) -> Result<Vec<(String, ProgramVerdict)>> {
    let smallest = u64::from(MIN_RING_BYTES) * 16;
    load(plan, &Resolved::default(), smallest, &[]).map(|loaded| loaded.verdicts)
}

fn object(plan: &Plan, resolved: &Resolved, ring_bytes: u64, btf: &Btf) -> Result<Ebpf> {
    let sizes = ring_sizes(ring_bytes);
    let smallest = sizes
        .iter()
        .map(|(_, bytes)| *bytes)
        .min()
        .unwrap_or(MIN_RING_BYTES);
    let config = Plain(Config {
        wake_bytes: u64::from(smallest / 4),
        file_refs_bias: plan.file_refs_bias,
        ..resolved.config
    });
    let offsets: &[u32; OFFSET_COUNT] = &plan.offsets;
    let mut loader = EbpfLoader::new();
    loader
        .btf(Some(btf))
        .override_global("CONFIG", &config, true)
        .override_global("OFFSETS", &offsets[..], true);
    for (name, bytes) in sizes {
        loader.map_max_entries(name, bytes);
    }
    loader.load(&OBJECT.0).map_err(|error| {
        anyhow!(error).context(
            "the kernel did not create the maps: more locked memory may be needed \
             (`ulimit -l unlimited`, or a smaller --ring)",
        )
    })
}

/// Size of each ring: its share of the total, rounded down to a power of two, at least a page.
fn ring_sizes(total: u64) -> [(&'static str, u32); signal::COUNT] {
    RINGS.map(|(name, _, sixteenths)| {
        let share = (total / 16)
            .saturating_mul(u64::from(sixteenths))
            .max(u64::from(MIN_RING_BYTES));
        let power = 1u32 << share.ilog2().min(30);
        (name, power)
    })
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    ebpf.take_map(name)
        .with_context(|| format!("the kernel half has no map {name}"))
}

fn fill(ebpf: &mut Ebpf, resolved: &Resolved, benign: &[u32]) -> Result<()> {
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
        .with_context(|| format!("the kernel half has no map {name}"))
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
        (Kind::Fexit, Program::FExit(program)) => {
            program.load(hook.attach, btf)?;
            let id = program.attach()?;
            Some(Link::Exit {
                _link: program.take_link(id)?,
            })
        }
        (Kind::Iter, Program::Iter(program)) => {
            program.load(hook.attach, btf)?;
            None
        }
        _ => return Err(ProgramError::UnexpectedProgramType),
    })
}

fn signals_of(hook: &Hook) -> Vec<u32> {
    let signal = |serves: &Serves| match serves {
        Serves::Signal(signal) => Some(*signal),
        _ => None,
    };
    hook.serves.iter().filter_map(signal).collect()
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
    let mut text = io_error.map_or_else(|| error.to_string(), ToString::to_string);
    if let Some(last) = last {
        text = format!("{text}: {last}");
    }
    ProgramVerdict::Refused {
        errno: io_error.and_then(std::io::Error::raw_os_error),
        text,
    }
}

impl Loaded {
    /// Walks the open files of all tasks: stores an owner with sockets that have none, and gives every
    /// descriptor that is a socket.
    pub fn walk(&mut self) -> Result<Vec<Holder>> {
        walk(iterator(&mut self.ebpf)?)
    }

    /// The counters of all CPUs together.
    pub fn counters(&self) -> Result<[Counters; signal::COUNT]> {
        let mut totals = [Counters::default(); signal::COUNT];
        for (index, total) in totals.iter_mut().enumerate() {
            for cpu in self.counters.get(&(index as u32), 0)?.iter() {
                total.seen += cpu.0.seen;
                total.filtered += cpu.0.filtered;
                total.emitted += cpu.0.emitted;
                total.aggregated += cpu.0.aggregated;
                total.lost += cpu.0.lost;
            }
        }
        Ok(totals)
    }

    /// What was aggregated per flow and has not been taken yet.
    ///
    /// The programs are first turned to the other map; once none can still hold the old one, it is read and
    /// emptied, so that no count is lost or taken twice. An event that was being counted at the turn is found
    /// in the other map by the next call.
    pub fn take_aggregates(&mut self) -> Result<Vec<(AggregateKey, AggregateValue)>> {
        let aggregated: u64 = self
            .counters()?
            .iter()
            .map(|counters| counters.aggregated)
            .sum();
        self.quiet_turns = if aggregated == self.aggregated {
            self.quiet_turns + 1
        } else {
            0
        };
        self.aggregated = aggregated;
        if self.quiet_turns > MAPS_TO_EMPTY {
            return Ok(Vec::new());
        }
        let full = self.writing;
        self.writing = 1 - full;
        self.active.set(0, self.writing, 0)?;
        sys::grace_period();
        empty(&mut self.aggregates[full as usize])
    }

    /// What is left in both maps once nothing writes any more, see [`Self::detach`].
    pub fn take_last_aggregates(&mut self) -> Result<Vec<(AggregateKey, AggregateValue)>> {
        let [a, b] = &mut self.aggregates;
        let mut taken = empty(a)?;
        taken.extend(empty(b)?);
        Ok(taken)
    }

    /// What was counted without a flow, since the start.
    pub fn codes(&self) -> Result<Vec<(CodeKey, u64)>> {
        let mut found = Vec::new();
        for entry in self.codes.iter() {
            let (key, values) = entry?;
            found.push((key.0, values.iter().sum()));
        }
        Ok(found)
    }

    /// Runs that the kernel skipped because the program was already running on that CPU, with the signals of
    /// the program.
    pub fn misses(&self) -> Vec<(Vec<u32>, Option<u64>)> {
        self.programs
            .iter()
            .map(|(name, signals)| {
                let fd = self
                    .ebpf
                    .program(name)
                    .and_then(|program| program.fd().ok());
                (
                    signals.clone(),
                    fd.and_then(|fd| facts::recursion_misses(fd.as_fd().as_raw_fd())),
                )
            })
            .collect()
    }

    /// More wanted processes: (pid, start in nanoseconds of CLOCK_BOOTTIME).
    pub fn want(&mut self, pids: &[(u32, u64)]) -> Result<()> {
        for (pid, start_ns) in pids {
            self.pids
                .insert(pid, start_ns / START_TICK_NS, 0)
                .context("too many processes (4096 at most)")?;
        }
        Ok(())
    }

    /// The wanted processes, children under `--follow` included: (pid, start in nanoseconds, cut to ticks).
    pub fn pids(&self) -> Result<Vec<(u32, u64)>> {
        let entries = self
            .pids
            .iter()
            .map(|entry| entry.map(|(pid, ticks)| (pid, ticks * START_TICK_NS)));
        entries
            .collect::<Result<_, _>>()
            .context("cannot read the wanted processes")
    }

    /// Detaches every program and waits until none runs any more; the maps can still be read.
    pub fn detach(&mut self) {
        self.links.clear();
        sys::grace_period();
    }
}

fn empty(
    map: &mut HashMap<MapData, Plain<AggregateKey>, Plain<AggregateValue>>,
) -> Result<Vec<(AggregateKey, AggregateValue)>> {
    let keys: Vec<_> = map.keys().collect::<Result<_, _>>()?;
    let mut taken = Vec::with_capacity(keys.len());
    for key in keys {
        taken.push((key.0, map.get(&key, 0)?.0));
        map.remove(&key)?;
    }
    Ok(taken)
}

fn iterator(ebpf: &mut Ebpf) -> Result<std::fs::File> {
    let program: &mut Iter = ebpf
        .program_mut("open_sockets")
        .context("the kernel half has no program open_sockets")?
        .try_into()?;
    let id = program.attach()?;
    Ok(program.take_link(id)?.into_file()?)
}

fn walk(mut file: std::fs::File) -> Result<Vec<Holder>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .context("cannot walk the open files of all tasks")?;
    let chunks = bytes.chunks_exact(size_of::<Holder>());
    if !chunks.remainder().is_empty() {
        bail!("the walk over open files ended inside an entry");
    }
    Ok(chunks.filter_map(from_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_powers_of_two_and_together_no_larger_than_asked() {
        for total in [64 << 10, 1 << 20, 8 << 20, (8 << 20) + 12345] {
            let sizes = ring_sizes(total);
            assert!(
                sizes
                    .iter()
                    .all(|(_, bytes)| bytes.is_power_of_two() && *bytes >= MIN_RING_BYTES)
            );
            assert!(
                sizes
                    .iter()
                    .map(|(_, bytes)| u64::from(*bytes))
                    .sum::<u64>()
                    <= total
            );
        }
    }
}
