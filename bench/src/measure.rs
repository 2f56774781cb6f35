//! Rounds: load and attach as `live` does, an empty twin and a second one beside each program, run the traffic,
//! read what the kernel measured.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tracer_capture::kernel::facts::Facts;
use tracer_capture::kernel::load::{self, Build, Loaded};
use tracer_capture::kernel::plan::{Kind, NEEDED_FILES, Plan, Purpose, Wanted};
use tracer_capture::names::KernelNames;
use tracer_common::{Config, Counters, event_kind};
use tracer_model::filter::FilterSpec;

use crate::scene::{Does, Rate, Row, SCENES, Scene};
use crate::statistics::median;
use crate::sys::{self, Cost, Empty};
use crate::worker::Worker;

/// Memory of all rings together: what `live` takes when nothing is said.
const RING_BYTES: u64 = 8 << 20;
/// How often `live` looks at the rings when nobody wakes it.
const POLL_MS: u16 = 50;
/// How far the counters may be from what the traffic must give, as a share of the runs: beyond it, somebody
/// else's traffic ran too, and the round is repeated.
const TOLERANCE: f64 = 0.03;
/// How often a round of a scene is repeated before the scene goes without.
const TRIES: usize = 4;

/// Orders of attaching: 0 and 1 are the twins, 2 is the program.
const ORDERS: [[usize; 3]; 6] = [
    [0, 2, 1],
    [1, 0, 2],
    [2, 1, 0],
    [1, 2, 0],
    [2, 0, 1],
    [0, 1, 2],
];

/// What one row cost in one round, nanoseconds per run.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The program, less the mean of its two empty twins.
    pub above_empty: f64,
    /// The second empty twin, less the first: what the method itself is off by, and more, as the program is
    /// compared with both.
    pub noise: f64,
    pub runs: u64,
}

/// Samples of each row, by its words; and how many rounds had to be thrown away.
#[derive(Debug, Default)]
pub struct Samples {
    pub rows: HashMap<&'static str, Vec<Sample>>,
    pub discarded: usize,
}

impl Samples {
    /// Those of a row.
    pub fn of(&self, row: &Row) -> &[Sample] {
        self.of_name(row.what)
    }

    /// Those of the row with these words.
    pub fn of_name(&self, what: &str) -> &[Sample] {
        self.rows.get(what).map_or(&[], Vec::as_slice)
    }
}

/// The host, and what to load on it.
pub struct Bench {
    facts: Facts,
    plan: Plan,
    benign: Vec<u32>,
    /// Hooks by the name of the program.
    hooks: HashMap<String, u32>,
}

impl Bench {
    /// Finds out what this host allows.
    pub fn new() -> Result<Self> {
        let root = Path::new("/");
        let facts = Facts::probe(root);
        let benign = KernelNames::open(root, &facts).benign_reasons();
        tracer_capture::sys::raise_nofile(NEEDED_FILES.max(4096))?;
        tracer_capture::sys::raise_memlock();
        let loaded = load(&facts, Rate::One, &benign)?;
        let hooks = own_programs()?
            .into_iter()
            .map(|(name, (hook, _))| (name, hook))
            .collect();
        Ok(Self {
            facts,
            plan: loaded.plan.clone(),
            benign,
            hooks,
        })
    }

    /// The programs that serve a row here, as the kernel names them.
    pub fn program(&self, row: &Row) -> Option<String> {
        let choice = self
            .plan
            .choices
            .iter()
            .find(|choice| choice.group.name == row.purpose)?;
        let hook = choice.hook.filter(|hook| hook.kind == Kind::TpBtf)?;
        let name = cut(hook.program);
        self.hooks.contains_key(&name).then_some(name)
    }

    fn event_kind(&self, row: &Row) -> Option<usize> {
        let choice = self
            .plan
            .choices
            .iter()
            .find(|choice| choice.group.name == row.purpose)?;
        choice.group.serves.iter().find_map(|serves| match serves {
            Purpose::Event(event_kind) => Some(*event_kind as usize),
            _ => None,
        })
    }

    fn load(&self, rate: Rate) -> Result<Loaded> {
        load(&self.facts, rate, &self.benign)
    }

    /// Loads and attaches all that this host allows.
    pub fn load_all(&self) -> Result<Loaded> {
        self.load(Rate::One)
    }

    /// One round of every scene.
    pub fn round(&self, number: usize, worker: &Worker, samples: &mut Samples) -> Result<()> {
        for rate in [Rate::Unlimited, Rate::One] {
            let mut stage = Stage::set(self, number, rate)?;
            for scene in SCENES.iter().filter(|scene| scene.rate == rate) {
                let mut takes = Vec::new();
                for _ in 0..scene.takes {
                    takes.extend(stage.play_undisturbed(
                        self,
                        scene,
                        worker,
                        &mut samples.discarded,
                    )?);
                }
                for (index, row) in scene.rows.iter().enumerate() {
                    let takes: Vec<_> = takes.iter().filter_map(|take| take[index]).collect();
                    if let Some(sample) = middle(&takes) {
                        samples.rows.entry(row.what).or_default().push(sample);
                    }
                }
            }
        }
        Ok(())
    }
}

fn load(facts: &Facts, rate: Rate, benign: &[u32]) -> Result<Loaded> {
    let config = Config {
        event_kinds: event_kind::FAILURES,
        rate: rate.per_second(),
        ..Config::default()
    };
    let resolved = FilterSpec {
        config,
        ..FilterSpec::default()
    };
    load::load(
        Build::Default,
        &mut facts.clone(),
        Wanted::ALL,
        &resolved,
        RING_BYTES,
        benign,
    )
}

/// One value from several takes of a round: their medians, so that an interrupt in one take does not count.
fn middle(takes: &[Sample]) -> Option<Sample> {
    let median = |value: fn(&Sample) -> f64| median(&takes.iter().map(value).collect::<Vec<_>>());
    Some(Sample {
        above_empty: median(|take| take.above_empty)?.value,
        noise: median(|take| take.noise)?.value,
        runs: takes.iter().map(|take| take.runs).sum(),
    })
}

/// Everything attached, in the order of one round.
struct Stage {
    loaded: Loaded,
    /// An empty program and a second one per hook.
    twins: HashMap<u32, [Empty; 2]>,
    /// The first program on a hook pays for cold caches, whatever it does: one more that does nothing.
    _opening: Vec<Empty>,
}

impl Stage {
    /// Attaches; who is first, second and third on a hook changes from round to round.
    fn set(bench: &Bench, number: usize, rate: Rate) -> Result<Self> {
        let mut loaded = None;
        let mut made: [HashMap<u32, Empty>; 2] = Default::default();
        let opening = bench
            .hooks
            .values()
            .filter_map(|hook| Empty::attach(*hook).ok())
            .collect();
        for place in ORDERS[number % ORDERS.len()] {
            match place {
                2 => loaded = Some(bench.load(rate)?),
                which => {
                    for hook in bench.hooks.values().filter(|hook| **hook != 0) {
                        // Iterators and functions have no empty twin: the kernel refuses it.
                        if let Ok(empty) = Empty::attach(*hook) {
                            made[which].insert(*hook, empty);
                        }
                    }
                }
            }
        }
        let mut loaded = loaded.context("a round loads the programs")?;
        loaded.walk()?;
        let [first, mut second] = made;
        let twins = first
            .into_iter()
            .filter_map(|(hook, empty)| Some((hook, [empty, second.remove(&hook)?])))
            .collect();
        Ok(Self {
            loaded,
            twins,
            _opening: opening,
        })
    }

    /// Plays a scene until nobody else's traffic ran into it.
    fn play_undisturbed(
        &mut self,
        bench: &Bench,
        scene: &Scene,
        worker: &Worker,
        discarded: &mut usize,
    ) -> Result<Option<Vec<Option<Sample>>>> {
        for _ in 0..TRIES {
            worker.prepare(scene.prepare)?;
            // What the preparation set off (delayed ACKs, work in softirqs) should be over.
            sleep(Duration::from_millis(2));
            let before = self.look()?;
            self.play(worker)?;
            let after = self.look()?;
            worker.clean_up()?;
            self.loaded.take_aggregates()?;
            self.loaded.rings.drain(usize::MAX, |_, _| {});
            let pure = scene
                .rows
                .iter()
                .all(|row| is_pure(bench, row, &before, &after));
            if pure {
                return Ok(Some(
                    scene
                        .rows
                        .iter()
                        .map(|row| sample(bench, row, &before, &after))
                        .collect(),
                ));
            }
            *discarded += 1;
        }
        Ok(None)
    }

    /// Runs the traffic and reads the rings meanwhile, as `live` does.
    fn play(&mut self, worker: &Worker) -> Result<()> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(worker.bell(), EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        for fd in self.loaded.rings.fds() {
            epoll.add(
                fd,
                EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0),
            )?;
        }
        worker.act()?;
        loop {
            epoll.wait(&mut [EpollEvent::empty(); 8], EpollTimeout::from(POLL_MS))?;
            self.loaded.rings.drain(usize::MAX, |_, _| {});
            if let Some(end) = worker.ended() {
                return end;
            }
        }
    }

    fn look(&self) -> Result<Look> {
        let mut twins = HashMap::new();
        for (hook, [first, second]) in &self.twins {
            twins.insert(*hook, [first.cost()?, second.cost()?]);
        }
        Ok(Look {
            counters: self.loaded.counters()?,
            programs: own_programs()?,
            twins,
        })
    }
}

/// All numbers at one moment.
struct Look {
    counters: [Counters; event_kind::COUNT],
    programs: HashMap<String, (u32, Cost)>,
    twins: HashMap<u32, [Cost; 2]>,
}

/// Did this row's program do what it had to do, and nothing else?
fn is_pure(bench: &Bench, row: &Row, before: &Look, after: &Look) -> bool {
    let (Some(name), Some(event_kind)) = (bench.program(row), bench.event_kind(row)) else {
        return true;
    };
    let runs = runs(&name, before, after);
    if runs == 0 {
        return false;
    }
    let (old, new) = (&before.counters[event_kind], &after.counters[event_kind]);
    let events = match row.does {
        Does::Ignores => new.seen - old.seen,
        Does::Lists => new.emitted - old.emitted,
        Does::Counts => new.aggregated - old.aggregated,
    };
    new.lost == old.lost && (events as f64 / runs as f64 - row.events_per_run).abs() <= TOLERANCE
}

fn runs(name: &str, before: &Look, after: &Look) -> u64 {
    match (before.programs.get(name), after.programs.get(name)) {
        (Some((_, old)), Some((_, new))) => new.runs - old.runs,
        _ => 0,
    }
}

fn sample(bench: &Bench, row: &Row, before: &Look, after: &Look) -> Option<Sample> {
    let name = bench.program(row)?;
    let ((hook, old), (_, new)) = (before.programs.get(&name)?, after.programs.get(&name)?);
    let (old_twins, new_twins) = (before.twins.get(hook)?, after.twins.get(hook)?);
    let (first, second) = (
        per_run(&old_twins[0], &new_twins[0])?,
        per_run(&old_twins[1], &new_twins[1])?,
    );
    Some(Sample {
        above_empty: per_run(old, new)? - f64::midpoint(first, second),
        noise: second - first,
        runs: new.runs - old.runs,
    })
}

fn per_run(old: &Cost, new: &Cost) -> Option<f64> {
    let runs = new.runs - old.runs;
    (runs > 0).then(|| (new.time_ns - old.time_ns) as f64 / runs as f64)
}

/// The tracer's programs in this process, by name: hook and cost.
fn own_programs() -> Result<HashMap<String, (u32, Cost)>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        let is_program =
            fs::read_link(&path).is_ok_and(|target| target.ends_with("anon_inode:bpf-prog"));
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.parse().ok());
        let (true, Some(number)) = (is_program, number) else {
            continue;
        };
        let program = sys::info(number).context("cannot ask the kernel about a program")?;
        if program.name != sys::EMPTY_NAME {
            found.insert(program.name, (program.hook, program.cost));
        }
    }
    if found.is_empty() {
        bail!("the kernel refused every program: run `sendtrace doctor` to see why");
    }
    Ok(found)
}

/// A name as the kernel keeps it.
fn cut(name: &str) -> String {
    name.chars().take(15).collect()
}
