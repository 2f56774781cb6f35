//! Medians, and how sure they are.

/// The middle of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    pub value: f64,
    /// Limits that hold the true median with 95 % confidence.
    pub low: f64,
    pub high: f64,
}

/// Median with its interval by order statistics, which assumes nothing about the distribution; `None` without
/// values. With fewer than six values the limits are the extremes, and less sure.
pub fn median(values: &[f64]) -> Option<Median> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let (low, high) = (
        sorted.get(count.checked_sub(1)? / 2)?,
        sorted.get(count / 2)?,
    );
    let rank = low_rank(count);
    Some(Median {
        value: f64::midpoint(*low, *high),
        low: sorted[rank],
        high: sorted[count - 1 - rank],
    })
}

/// The largest rank (from 0) so that at most 2.5 % of samples have their median below that value: the tail of
/// the binomial distribution of `count` throws of a coin.
fn low_rank(count: usize) -> usize {
    let mut chance = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut tail = 0.0;
    for rank in 0..count / 2 {
        tail += chance;
        if tail > 0.025 {
            return rank.saturating_sub(1);
        }
        chance *= (count - rank) as f64 / (rank + 1) as f64;
    }
    (count / 2).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_values_have_no_median() {
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let found = median(&[4.0, 1.0, 3.0, 2.0]).expect("four values");
        assert_eq!((found.value, found.low, found.high), (2.5, 1.0, 4.0));
    }

    #[test]
    fn the_interval_of_24_values_is_from_the_7th_to_the_18th() {
        let values: Vec<f64> = (1..=24).map(f64::from).collect();
        let found = median(&values).expect("24 values");
        assert_eq!((found.low, found.high), (7.0, 18.0));
    }
}
