//! Without libFuzzer: the kept corpus, and spoiled copies of it, as long as is asked for. Sees no coverage, so it
//! finds less.
//!
//! `plain TARGET SECONDS FOLDER…`

use std::time::{Duration, Instant};
use std::{env, fs};

fn main() {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().expect("a target");
    let seconds = arguments.next().and_then(|text| text.parse().ok());
    let (_, target) = fuzz::TARGETS
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect("a target that there is");
    let mut corpus = Vec::new();
    for folder in arguments {
        for entry in fs::read_dir(folder).expect("a folder of inputs") {
            corpus.push(fs::read(entry.expect("an entry").path()).expect("an input"));
        }
    }
    assert!(!corpus.is_empty(), "no inputs");
    corpus.iter().for_each(|input| target(input));
    let end = Instant::now() + Duration::from_secs(seconds.expect("seconds"));
    let mut dice = u64::from(std::process::id()) | 1;
    let mut runs = corpus.len();
    while Instant::now() < end {
        let input = spoiled(&corpus, &mut dice);
        // What spoils it is in the message of a panic.
        let hook = input.clone();
        if std::panic::catch_unwind(move || target(&hook)).is_err() {
            let path = env::temp_dir().join(format!("{name}-{}", std::process::id()));
            fs::write(&path, &input).expect("room");
            eprintln!("{name}: the input is in {}", path.display());
            std::process::exit(1);
        }
        runs += 1;
    }
    println!("{name}: {runs} inputs, {} of them kept ones", corpus.len());
}

fn spoiled(corpus: &[Vec<u8>], dice: &mut u64) -> Vec<u8> {
    let mut below = |end: usize| {
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        (*dice % end.max(1) as u64) as usize
    };
    let mut input = corpus[below(corpus.len())].clone();
    for _ in 0..=below(8) {
        let at = below(input.len());
        let length = (1 + below(16)).min(input.len() - at);
        match below(5) {
            0 if !input.is_empty() => input[at] ^= 1 << below(8),
            1 => input[at..at + length].fill([0, 0xff, 0x80, 0x7f][below(4)]),
            2 => drop(input.drain(at..at + length)),
            3 => {
                let copy = input[at..at + length].to_vec();
                let to = below(input.len());
                input.splice(to..to, copy);
            }
            _ => input[at..at + length]
                .iter_mut()
                .for_each(|byte| *byte = below(256) as u8),
        }
    }
    input
}
