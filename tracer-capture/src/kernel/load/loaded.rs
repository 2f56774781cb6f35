//! The loaded BPF programs: reads their maps back, walks open files, and lets go.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result, bail};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuHashMap};
use aya::programs::Iter;
use aya::{Ebpf, Pod};
use aya_log::EbpfLogger;
use log::Log;
use tracer_common::{
    AggregateKey, AggregateValue, CodeKey, Counters, EXACT_START, EndRow, Holder, RowHead,
    START_TICK_NS, TrafficRow, WaitingRow, WalkState, Wire, event_kind, from_bytes, row,
};

use super::{Link, kinds_of, take};
use crate::kernel::facts;
use crate::kernel::plan::{Hook, Plan};
use crate::kernel::ring::Rings;
use crate::sys;
use crate::walk::Row;

mod peers;

use peers::Peers;

/// Deliveries after the last aggregated event until both maps are empty for sure.
const MAPS_TO_EMPTY: u32 = 2;

/// A wire type that aya may copy in and out of maps.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Plain<T>(pub(super) T);

// SAFETY: `Wire` promises a plain type without padding for which every bit pattern is valid.
unsafe impl<T: Wire> Pod for Plain<T> {}

/// The loaded BPF programs. Dropping this detaches and frees everything.
pub struct Loaded {
    ebpf: Ebpf,
    links: Vec<Link>,
    programs: Vec<(&'static str, Vec<u32>)>,
    /// The plan that all of it is.
    pub plan: Plan,
    /// The rings.
    pub rings: Rings,
    counters: PerCpuArray<MapData, Plain<Counters>>,
    active: Array<MapData, u32>,
    aggregates: [HashMap<MapData, Plain<AggregateKey>, Plain<AggregateValue>>; 2],
    codes: PerCpuHashMap<MapData, Plain<CodeKey>, u64>,
    pids: HashMap<MapData, u32, u64>,
    walk_state: Array<MapData, Plain<WalkState>>,
    /// What the programs say of themselves, where that object is loaded.
    logger: Option<EbpfLogger<&'static dyn Log>>,
    /// Walks over the open sockets so far.
    walks: u64,
    peers: Peers,
    /// Which aggregation map is written now.
    writing: u32,
    /// Sum of the aggregated counters at the last delivery.
    aggregated: u64,
    /// Deliveries since that sum last changed.
    quiet_turns: u32,
}

impl Loaded {
    /// Takes the maps out of the object.
    pub(super) fn new(
        mut ebpf: Ebpf,
        plan: Plan,
        running: Vec<(Hook, Option<Link>)>,
        logger: Option<EbpfLogger<&'static dyn Log>>,
    ) -> Result<Self> {
        let programs = running
            .iter()
            .map(|(hook, _)| (hook.program, kinds_of(hook)))
            .collect();
        let links = running.into_iter().filter_map(|(_, link)| link).collect();
        let rings = Rings::take(&mut ebpf)?;
        let counters = PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?)?;
        let active = Array::try_from(take(&mut ebpf, "ACTIVE")?)?;
        let aggregates = [
            HashMap::try_from(take(&mut ebpf, "AGGREGATE_A")?)?,
            HashMap::try_from(take(&mut ebpf, "AGGREGATE_B")?)?,
        ];
        let codes = PerCpuHashMap::try_from(take(&mut ebpf, "CODES")?)?;
        let pids = HashMap::try_from(take(&mut ebpf, "PIDS")?)?;
        let walk_state = Array::try_from(take(&mut ebpf, "WALK")?)?;
        let peers = Peers::take(&mut ebpf)?;
        Ok(Self {
            ebpf,
            links,
            programs,
            plan,
            rings,
            counters,
            active,
            aggregates,
            codes,
            pids,
            walk_state,
            logger,
            walks: 0,
            peers,
            writing: 0,
            aggregated: 0,
            quiet_turns: 0,
        })
    }

    /// Walks the open files of all tasks: stores an owner with sockets that have none, and gives every
    /// descriptor that is a socket.
    pub fn walk(&mut self) -> Result<Vec<Holder>> {
        walk(iterator(&mut self.ebpf, "open_sockets")?)
    }

    /// Walks the open sockets of all tasks: hands out which of them wait, and what each has sent since the walk
    /// before.
    pub fn walk_sockets(&mut self, each: &mut dyn FnMut(Row)) -> Result<WalkState> {
        self.walks += 1;
        let state = WalkState {
            number: self.walks,
            ..WalkState::default()
        };
        self.walk_state.set(0, Plain(state), 0)?;
        let state = rows(iterator(&mut self.ebpf, "walk_sockets")?, each)
            .context("cannot walk the open sockets of all tasks")?;
        self.peers.turn(each)?;
        Ok(state)
    }

    /// What connections have come to since the last walk, once nothing runs any more, see [`Self::detach`].
    pub fn last_peers(&mut self, each: &mut dyn FnMut(Row)) -> Result<()> {
        self.peers.drain(each)
    }

    /// Logs what the programs have said of themselves since, where the object that does is loaded.
    pub fn log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// The counters of all CPUs together.
    pub fn counters(&self) -> Result<[Counters; event_kind::COUNT]> {
        let mut totals = [Counters::default(); event_kind::COUNT];
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

    /// Runs that the kernel skipped because the program was already running on that CPU, with the event kinds of
    /// the program.
    pub fn misses(&self) -> Vec<(Vec<u32>, Option<u64>)> {
        self.programs
            .iter()
            .map(|(name, event_kinds)| {
                let fd = self
                    .ebpf
                    .program(name)
                    .and_then(|program| program.fd().ok());
                (
                    event_kinds.clone(),
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
                .context("too many processes (16384 at most)")?;
        }
        Ok(())
    }

    /// No longer wanted.
    pub fn forget(&mut self, pids: &[u32]) -> Result<()> {
        for pid in pids {
            self.pids
                .remove(pid)
                .context("cannot forget a process that has ended")?;
        }
        Ok(())
    }

    /// The wanted processes, children under `--follow` included: pid, and start in nanoseconds, cut to ticks or with
    /// the bit [`EXACT_START`].
    pub fn pids(&self) -> Result<Vec<(u32, u64)>> {
        let start_ns = |kept| match kept & EXACT_START {
            0 => kept * START_TICK_NS,
            _ => kept,
        };
        self.pids
            .iter()
            .map(|entry| entry.map(|(pid, kept)| (pid, start_ns(kept))))
            .collect::<Result<_, _>>()
            .context("cannot read the wanted processes")
    }

    /// Detaches every program and waits until none runs any more; the maps can still be read.
    pub fn detach(&mut self) {
        self.links.clear();
        sys::grace_period();
    }
}

fn empty<K: Wire, V: Wire>(map: &mut HashMap<MapData, Plain<K>, Plain<V>>) -> Result<Vec<(K, V)>> {
    let keys: Vec<_> = map.keys().collect::<Result<_, _>>()?;
    let mut taken = Vec::with_capacity(keys.len());
    for key in keys {
        taken.push((key.0, map.get(&key, 0)?.0));
        map.remove(&key)?;
    }
    Ok(taken)
}

fn iterator(ebpf: &mut Ebpf, name: &str) -> Result<File> {
    let program: &mut Iter = ebpf
        .program_mut(name)
        .with_context(|| format!("the BPF object has no program {name}"))?
        .try_into()?;
    let id = program.attach()?;
    Ok(program.take_link(id)?.into_file()?)
}

/// A walk that is read to its end. A read that has passed 10⁶ files and found nothing to say ends with EAGAIN
/// (`bpf_seq_read`); the next one goes on from there.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                end => return end,
            }
        }
    }
}

fn walk(file: File) -> Result<Vec<Holder>> {
    let mut bytes = Vec::new();
    Whole(file)
        .read_to_end(&mut bytes)
        .context("cannot walk the open files of all tasks")?;
    let chunks = bytes.chunks_exact(size_of::<Holder>());
    if !chunks.remainder().is_empty() {
        bail!("the walk over open files ended inside an entry");
    }
    Ok(chunks.filter_map(from_bytes).collect())
}

/// Reads the rows of a walk as they come; gives what the last of them says.
fn rows(file: File, each: &mut dyn FnMut(Row)) -> Result<WalkState> {
    let mut file = BufReader::with_capacity(WALK_BUFFER, Whole(file));
    let mut bytes = [0; size_of::<WaitingRow>()];
    const HEAD: usize = size_of::<RowHead>();
    loop {
        file.read_exact(&mut bytes[..HEAD])
            .context("the walk ended without its last row")?;
        let head: RowHead = from_bytes(&bytes).unwrap_or_default();
        let length = head.bytes as usize;
        let rest = bytes.get_mut(HEAD..length);
        file.read_exact(rest.context("a row of the walk is too long")?)
            .context("the walk ended inside a row")?;
        let row = &bytes[..length];
        match head.kind {
            row::WAITING => each(Row::Waiting(Box::new(whole::<WaitingRow>(row)?))),
            row::TRAFFIC => each(Row::Traffic(whole::<TrafficRow>(row)?)),
            row::END => return Ok(whole::<EndRow>(row)?.state),
            kind => bail!("the walk gave a row of an unknown kind, {kind}"),
        }
    }
}

/// Room for rows that were read and not yet handed out.
const WALK_BUFFER: usize = 128 << 10;

fn whole<T: Wire>(bytes: &[u8]) -> Result<T> {
    from_bytes(bytes).context("a row of the walk is too short")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each answer is one read(2).
    struct Iterator(Vec<io::Result<&'static [u8]>>);

    impl Read for Iterator {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.pop().unwrap_or(Ok(b""))?;
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn a_walk_goes_on_behind_a_million_files_that_are_no_sockets() {
        let passed = || Err(io::ErrorKind::WouldBlock.into());
        let reads = vec![Ok(&b"b"[..]), passed(), passed(), Ok(&b"a"[..]), passed()];
        let mut bytes = Vec::new();
        Whole(Iterator(reads)).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"ab");
        let refused = vec![Err(io::ErrorKind::PermissionDenied.into())];
        assert!(Whole(Iterator(refused)).read_to_end(&mut bytes).is_err());
    }
}
