//! How often a difference is seen where there is none, and where there is one: over many made pairs.

use crate::diff::statistics::{Counts, dispersion};
use crate::diff::{Verdict, judge_rate, judge_times};

/// The same numbers each time (xorshift64*).
struct Rng(u64);

impl Rng {
    /// Evenly from 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A recording of 20 pieces with bursts at random, each of 1 to `burst` events; `all` events are expected.
    fn recording(&mut self, all: f64, burst: f64) -> Vec<(f64, f64)> {
        let mut pieces = vec![(0.0, 1.0); 20];
        let (mut time, rate) = (0.0, all / ((burst + 1.0) / 2.0));
        loop {
            time -= self.next().ln() / rate;
            if time >= 1.0 {
                return pieces;
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let piece = ((time * 20.0) as usize).min(19);
            pieces[piece].0 += (self.next() * burst).floor() + 1.0;
        }
    }
}

const PAIRS: u32 = 2000;

/// Of 2000 pairs, the parts that are called different, unchanged and too little.
fn judged(all: f64, times: f64, burst: f64) -> [f64; 3] {
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
    let mut found = [0.0; 3];
    for _ in 0..PAIRS {
        let (one, other) = (rng.recording(all, burst), rng.recording(all * times, burst));
        let sum = |pieces: &[(f64, f64)]| pieces.iter().map(|piece| piece.0).sum();
        let counts = Counts {
            before: sum(&one),
            after: sum(&other),
            exposure_before: 1.0,
            exposure_after: 1.0,
        };
        let (verdict, ..) = judge_rate(counts, dispersion(&[&one, &other]).unwrap_or(1.0));
        let index = match verdict {
            Verdict::Better | Verdict::Worse => 0,
            Verdict::Unchanged => 1,
            Verdict::TooLittleData => 2,
        };
        found[index] += 1.0 / f64::from(PAIRS);
    }
    found
}

#[test]
fn a_difference_is_rarely_seen_where_there_is_none() {
    for all in [5.0, 30.0, 200.0, 2000.0] {
        for burst in [1.0, 10.0, 40.0] {
            let [different, unchanged, little] = judged(all, 1.0, burst);
            println!("{all} in bursts of up to {burst}: {different:.4} {unchanged:.4} {little:.4}");
            assert!(
                different <= 0.015,
                "{all} in bursts of up to {burst}: {different}"
            );
        }
    }
}

#[test]
fn a_doubling_is_seen_where_there_are_enough() {
    let mut seen = Vec::new();
    for (all, burst) in [(50.0, 1.0), (100.0, 1.0), (200.0, 10.0), (1000.0, 10.0)] {
        let [different, ..] = judged(all, 2.0, burst);
        println!("{all} in bursts of up to {burst}: {different:.4}");
        seen.push(different);
    }
    assert!(seen[1] > 0.95 && seen[3] > 0.99, "{seen:?}");
    // What is called unchanged has not doubled.
    for (all, burst) in [(20.0, 1.0), (50.0, 1.0), (300.0, 10.0)] {
        let [_, unchanged, _] = judged(all, 2.0, burst);
        assert!(unchanged < 0.15, "{all}: {unchanged}");
    }
}

#[test]
fn times_of_the_same_kind_are_rarely_called_different() {
    let mut rng = Rng(42);
    for (count, pairs) in [(8, 20_000), (30, 20_000), (200, 2_000)] {
        let mut different = 0;
        for _ in 0..pairs {
            let mut times = || {
                // Most are short, some are very long, many are the same: as time-outs are.
                let mut times: Vec<f64> = (0..count)
                    .map(|_| 0.2 * 2_f64.powf((-rng.next().ln() * 2.0).floor().min(9.0)))
                    .collect();
                times.sort_by(f64::total_cmp);
                times
            };
            let (verdict, ..) = judge_times(&times(), &times());
            different += u32::from(matches!(verdict, Verdict::Better | Verdict::Worse));
        }
        println!("{count} each: {different} of {pairs}");
        assert!(
            f64::from(different) / f64::from(pairs) <= 0.015,
            "{count}: {different}"
        );
    }
}
