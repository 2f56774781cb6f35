//! `generated --out FOLDER [--seed S] [--count N] [NAME…]`: plays scenarios that seeds stand for, and says how often a
//! report was right. `cargo xtask scenarios --seed S` builds what it needs and starts it.

mod page;
mod round;
mod table;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use clap::Parser;
use scenarios::generated::{MEASURED, kinds};

use self::round::{Line, Round};

/// Plays scenarios that seeds stand for, and says how often a report was right; needs root.
#[derive(Parser)]
struct Args {
    /// Only kinds whose name contains one of these
    names: Vec<String>,
    /// Where traces go: SEED.trace, and SEED.json with the truth
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// The first seed; below 1000 rules are tuned, from 1000 on they are measured (default: by chance, 1000 or above)
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 40)]
    count: u64,
    /// How many are played at the same time
    #[arg(long, value_name = "N", default_value_t = 6)]
    jobs: usize,
    /// Print what the seeds stand for, and play nothing
    #[arg(long)]
    plan: bool,
    /// Judge the traces that are in the folder already, and play nothing
    #[arg(long)]
    recorded: bool,
    /// Add a line of JSON for each scenario to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Play nothing, and write a page from lines that --json has collected
    #[arg(long, value_name = "FILE", requires = "json")]
    page: Option<PathBuf>,
    /// Of which sources sendtrace was built: a word for the lines of --json
    #[arg(long, value_name = "WORD", default_value = "unknown")]
    commit: String,
    /// Print all kinds
    #[arg(long)]
    kinds: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if args.kinds {
        for kind in kinds() {
            println!("{:<34} {}", kind.name, kind.wanted());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let (Some(page), Some(json)) = (&args.page, &args.json) {
        let lines = read(json)?;
        fs::write(page, page::page(&lines)).with_context(|| page.display().to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    // What a panic says stands in the table.
    std::panic::set_hook(Box::new(|_| ()));
    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let round = Round {
        names: &args.names,
        out: &args.out,
        recorded: args.recorded,
        commit: &args.commit,
    };
    let seeds = match (args.recorded, args.seed) {
        (true, None) => round.there()?,
        (_, seed) => {
            let first = seed.unwrap_or_else(by_chance);
            (first..first + args.count).collect()
        }
    };
    let (Some(first), Some(last)) = (seeds.first(), seeds.last()) else {
        bail!("{}: no seed", args.out.display());
    };
    println!("seeds {first} to {last}, {} at once", args.jobs);
    if args.plan {
        for seed in seeds {
            println!("{}", round.plan(seed)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let lines = play(&round, &seeds, args.jobs, args.json.as_deref())?;
    print!("{}", table::table(&lines));
    let failures = table::failures(&lines);
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    Ok(if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A seed that nobody has tuned on.
fn by_chance() -> u64 {
    let mut bytes = [0; 4];
    let random = fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    random.map_or(MEASURED, |()| {
        MEASURED + u64::from(u32::from_le_bytes(bytes))
    })
}

/// Plays several at a time: each is mostly waiting, in namespaces of its own.
fn play(round: &Round<'_>, seeds: &[u64], jobs: usize, json: Option<&Path>) -> Result<Vec<Line>> {
    let next = std::sync::Mutex::new(seeds.iter());
    let (sender, lines) = std::sync::mpsc::channel();
    let mut file = match json {
        Some(file) => Some(
            fs::File::options()
                .create(true)
                .append(true)
                .open(file)
                .with_context(|| file.display().to_string())?,
        ),
        None => None,
    };
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(seed) = next.lock().ok().and_then(|mut next| next.next()) {
                    if sender.send(round.line(*seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut all = Vec::new();
        for line in lines {
            let line = line?;
            println!("{}", table::tell(&line));
            if let Some(file) = &mut file {
                writeln!(file, "{}", serde_json::to_string(&line)?)?;
            }
            all.push(line);
        }
        Ok(all)
    })
}

fn read(json: &Path) -> Result<Vec<Line>> {
    let text = fs::read_to_string(json).with_context(|| json.display().to_string())?;
    let lines = text.lines().map(serde_json::from_str::<Line>);
    lines
        .collect::<Result<_, _>>()
        .with_context(|| json.display().to_string())
}
