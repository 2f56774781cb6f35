//! Values and counts in bounded memory, kept so that the same events give the same result.

/// Values that are kept at most; of more, every second, fourth… is.
const VALUES: usize = 20_000;
/// The finest width of a cell, nanoseconds.
const FINEST_NS: i64 = 50_000_000;
/// Cells at most; of a longer recording they are wider.
const CELLS: usize = 800;
/// A comparison looks at so many pieces of a recording.
const PIECES: usize = 20;

/// Values of a distribution.
#[derive(Clone, Debug, Default)]
pub struct Values {
    kept: Vec<f64>,
    seen: u64,
    each: u64,
}

impl Values {
    pub fn add(&mut self, value: f64) {
        let each = self.each.max(1);
        if self.seen.is_multiple_of(each) {
            self.kept.push(value);
        }
        self.seen += 1;
        if self.kept.len() >= VALUES {
            let mut number = 0_usize;
            self.kept.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.each = each * 2;
        }
    }

    /// How many there were.
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Those that are kept, sorted.
    pub fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.kept.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    pub fn max(&self) -> Option<f64> {
        self.kept.iter().copied().max_by(f64::total_cmp)
    }

    pub fn sum(&self) -> f64 {
        self.kept.iter().sum::<f64>() * self.each.max(1) as f64
    }
}

/// Counts over time.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    /// Start of the first cell, nanoseconds of the wall clock.
    start_ns: i64,
    width_ns: i64,
    counts: Vec<u64>,
}

impl Cells {
    pub fn add(&mut self, wall_ns: i64, count: u64) {
        if self.width_ns == 0 {
            self.width_ns = FINEST_NS;
            self.start_ns = wall_ns.div_euclid(FINEST_NS).saturating_mul(FINEST_NS);
        }
        // Events come in the order of time, but for a clock that is set back.
        let after = wall_ns.saturating_sub(self.start_ns).max(0);
        while after / self.width_ns >= CELLS as i64 {
            let twos = self.counts.chunks(2);
            self.counts = twos.map(|two| two.iter().sum()).collect();
            self.width_ns = self.width_ns.saturating_mul(2);
        }
        let at = usize::try_from(after / self.width_ns).unwrap_or(CELLS - 1);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] = self.counts[at].saturating_add(count);
    }

    /// The counts in equal pieces of what was observed, each with its length in seconds.
    pub fn pieces(&self, span: (i64, i64)) -> Vec<(f64, f64)> {
        let (first, last) = span;
        let length = last.saturating_sub(first);
        if length <= 0 {
            return Vec::new();
        }
        let seconds = length as f64 / 1e9 / PIECES as f64;
        let mut pieces = vec![(0.0, seconds); PIECES];
        for (number, count) in self.counts.iter().enumerate() {
            let middle = self.start_ns as f64 + (number as f64 + 0.5) * self.width_ns as f64;
            let part = (middle - first as f64) / length as f64;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let piece = ((part.max(0.0) * PIECES as f64) as usize).min(PIECES - 1);
            pieces[piece].0 += *count as f64;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_values_are_thinned_evenly() {
        let mut values = Values::default();
        for number in 0..100_000_u32 {
            values.add(f64::from(number));
        }
        let sorted = values.sorted();
        assert_eq!(values.seen(), 100_000);
        assert!(sorted.len() < VALUES && sorted.len() > VALUES / 4);
        let gaps = sorted.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(
            gaps.clone().all(|gap| gap == 8.0),
            "{:?}",
            gaps.max_by(f64::total_cmp)
        );
    }

    #[test]
    fn counts_over_time_keep_their_sum_and_their_place() {
        let mut cells = Cells::default();
        let second = 1_000_000_000;
        for number in 0..1000 {
            cells.add(1_000 * second + number * second, 3);
        }
        let pieces = cells.pieces((1_000 * second, 2_000 * second));
        assert_eq!(pieces.iter().map(|piece| piece.0).sum::<f64>(), 3000.0);
        assert!(
            pieces.iter().all(|piece| (piece.0 - 150.0).abs() <= 6.0),
            "{pieces:?}"
        );
        assert_eq!(pieces[0].1, 50.0);
    }

    #[test]
    fn a_clock_that_jumps_breaks_nothing() {
        let mut cells = Cells::default();
        for wall_ns in [0, i64::MAX, i64::MIN, 5] {
            cells.add(wall_ns, u64::MAX);
        }
        assert_eq!(cells.pieces((5, 5)), []);
        assert_eq!(cells.pieces((i64::MIN, i64::MAX)).len(), PIECES);
    }
}
