//! The statistics of a comparison: rates of events, and distributions of times.
//!
//! Nothing here knows what is compared. `p` is the chance of a difference at least as large if nothing had changed.

/// Two counts of events that are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    pub before: f64,
    pub after: f64,
    /// What the count before is divided by: time, segments.
    pub exposure_before: f64,
    /// What the count after is divided by: time, segments.
    pub exposure_after: f64,
}

/// What a comparison of two distributions gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranks {
    pub p: f64,
    /// Cliff's delta: how much more often a value of after is above one of before than below it, -1 to 1.
    pub delta: f64,
}

/// ln(n!): exact up to rounding.
pub fn ln_factorial(n: u64) -> f64 {
    libm::lgamma(n as f64 + 1.0)
}

/// The conditional test of two Poisson rates (Przyborowski and Wilenski, 1940): given their sum, the events of after
/// are binomial with the part of the exposure that after has. Two-sided: twice the smaller tail.
///
/// `dispersion` (1 or more) divides the counts first: events that come in bursts are fewer independent ones. `None`
/// where there is nothing to compare.
pub fn rates(counts: Counts, dispersion: f64) -> Option<f64> {
    let Counts {
        before,
        after,
        exposure_before,
        exposure_after,
    } = counts;
    let positive = |x: f64| x.is_finite() && x > 0.0;
    if !positive(exposure_before) || !positive(exposure_after) || !positive(dispersion) {
        return None;
    }
    let [before, after] = [before, after].map(|count| (count / dispersion).round());
    let all = before + after;
    if !positive(all) || all > 1e15 {
        return None;
    }
    let part = exposure_after / (exposure_before + exposure_after);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let (all, after) = (all as u64, after as u64);
    let low = tail(after, all, part);
    let high = tail(all - after, all, 1.0 - part);
    Some((2.0 * low.min(high)).min(1.0))
}

/// P(X <= k) of a binomial distribution.
fn tail(k: u64, n: u64, part: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    if k as f64 <= n as f64 * part {
        return lower(k, n, part).min(1.0);
    }
    // What is above has fewer terms.
    (1.0 - lower(n - k - 1, n, 1.0 - part)).clamp(0.0, 1.0)
}

/// P(X <= k) for a `k` at or below the mean: terms are added downwards until they no longer count, about the square
/// root of `n` of them.
fn lower(k: u64, n: u64, part: f64) -> f64 {
    let ln = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
        + k as f64 * part.ln()
        + (n - k) as f64 * (1.0 - part).ln();
    let mut term = ln.exp();
    let (mut total, mut at) = (term, k);
    let odds = (1.0 - part) / part;
    while at > 0 && term > total * 1e-17 {
        // P(at - 1) / P(at)
        term *= at as f64 / (n - at + 1) as f64 * odds;
        total += term;
        at -= 1;
    }
    total
}

/// How far counts vary more than independent events would: Pearson's chi² over its degrees of freedom, of cells that
/// are given as (events, exposure), one list per recording. At least 1; `None` where there is too little to tell.
pub fn dispersion(recordings: &[&[(f64, f64)]]) -> Option<f64> {
    let (mut chi2, mut free) = (0.0, 0.0);
    for cells in recordings {
        let cells: Vec<_> = cells.iter().filter(|(_, at)| *at > 0.0).collect();
        let events: f64 = cells.iter().map(|(events, _)| events).sum();
        let exposure: f64 = cells.iter().map(|(_, at)| at).sum();
        // A recording without events says nothing about how they come.
        if cells.len() < 5 || events <= 1.0 {
            continue;
        }
        for (seen, at) in &cells {
            let expected = events * at / exposure;
            chi2 += (seen - expected).powi(2) / expected;
        }
        free += cells.len() as f64 - 1.0;
    }
    (free > 0.0).then(|| (chi2 / free).max(1.0))
}

/// The Mann-Whitney U test with the correction for ties and for continuity, by the normal approximation; two-sided.
/// `None` when a side is empty or all values are the same.
pub fn ranks(before: &[f64], after: &[f64]) -> Option<Ranks> {
    let (n1, n2) = (before.len() as f64, after.len() as f64);
    if before.is_empty() || after.is_empty() {
        return None;
    }
    let mut all: Vec<(f64, bool)> = before.iter().map(|value| (*value, false)).collect();
    all.extend(after.iter().map(|value| (*value, true)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut rank_sum, mut ties, mut seen) = (0.0, 0.0, 0.0);
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let size = group.len() as f64;
        let of_after = group.iter().filter(|(_, after)| *after).count() as f64;
        rank_sum += of_after * (seen + (size + 1.0) / 2.0);
        ties += size.powi(3) - size;
        seen += size;
    }
    let u = rank_sum - n2 * (n2 + 1.0) / 2.0;
    let n = n1 + n2;
    let variance = n1 * n2 / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)));
    if variance <= 0.0 || variance.is_nan() {
        return None;
    }
    let off = ((u - n1 * n2 / 2.0).abs() - 0.5).max(0.0);
    Some(Ranks {
        p: two_sided(off / variance.sqrt()),
        delta: 2.0 * u / (n1 * n2) - 1.0,
    })
}

/// The chance that a normal variable is this many standard deviations or more away from its mean.
pub fn two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / std::f64::consts::SQRT_2).min(1.0)
}

/// The standard deviation of Cliff's delta when nothing has changed, without ties.
pub fn delta_deviation(n1: usize, n2: usize) -> f64 {
    let (n1, n2) = (n1 as f64, n2 as f64);
    ((n1 + n2 + 1.0) / (3.0 * n1 * n2)).sqrt()
}

/// A quantile of sorted values, linear between its neighbours (type 7 of Hyndman and Fan); `None` of nothing.
pub fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = part.clamp(0.0, 1.0) * last as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let below = (at.floor() as usize).min(last);
    let above = (below + 1).min(last);
    Some(sorted[below] + (at - at.floor()) * (sorted[above] - sorted[below]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, known: f64) {
        let off = (found - known).abs();
        assert!(
            off <= known.abs() * 1e-6 + 1e-12,
            "{found}, known is {known}"
        );
    }

    fn test(before: f64, after: f64, exposures: (f64, f64)) -> f64 {
        rates(
            Counts {
                before,
                after,
                exposure_before: exposures.0,
                exposure_after: exposures.1,
            },
            1.0,
        )
        .unwrap()
    }

    #[test]
    fn factorials_are_those_of_the_tables() {
        close(ln_factorial(0).exp(), 1.0);
        close(ln_factorial(10), 3_628_800_f64.ln());
        close(ln_factorial(170), 706.573_062_245_787_4);
        close(ln_factorial(1_000_000), 12_815_518.384_658_169);
    }

    #[test]
    fn rates_have_the_tails_of_the_binomial_distribution() {
        // 2 (1 + 10) / 2^10, and the like by hand.
        close(test(9.0, 1.0, (1.0, 1.0)), 22.0 / 1024.0);
        close(test(0.0, 10.0, (1.0, 1.0)), 2.0 / 1024.0);
        close(test(10.0, 10.0, (1.0, 1.0)), 1.0);
        // A tenth of the exposure: P(X <= 0) of 20 at 0.1 is 0.9^20.
        close(test(20.0, 0.0, (9.0, 1.0)), 2.0 * 0.9_f64.powi(20));
        // R: 2 * pbinom(20, 60, 0.5).
        close(test(40.0, 20.0, (1.0, 1.0)), 0.013_489_293_731_191_86);
    }

    #[test]
    fn rates_of_huge_counts_agree_with_the_normal_approximation() {
        // 1e9 events: z = (k - n/2 - 1/2) / sqrt(n / 4) with continuity.
        let n = 1e9_f64;
        for z in [0.5, 2.0, 4.0] {
            let more = (n / 2.0 + z * (n / 4.0).sqrt()).round();
            let found = test(n - more, more, (3.0, 3.0));
            let known = two_sided((more - 0.5 - n / 2.0) / (n / 4.0).sqrt());
            assert!((found / known - 1.0).abs() < 1e-3, "{found} {known}");
        }
    }

    #[test]
    fn rates_swapped_are_as_likely_as_before() {
        for (a, b) in [(3.0, 17.0), (0.0, 4.0), (100.0, 140.0), (7.0, 7.0)] {
            close(test(a, b, (2.0, 5.0)), test(b, a, (5.0, 2.0)));
        }
    }

    #[test]
    fn nothing_to_compare_has_no_chance() {
        let none = Counts {
            before: 0.0,
            after: 0.0,
            exposure_before: 1.0,
            exposure_after: 1.0,
        };
        assert_eq!(rates(none, 1.0), None);
        for exposure in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let counts = Counts {
                after: 5.0,
                exposure_after: exposure,
                ..none
            };
            assert_eq!(rates(counts, 1.0), None);
        }
    }

    #[test]
    fn bursts_make_counts_worth_less() {
        let even = [(4.0, 1.0), (5.0, 1.0), (6.0, 1.0), (5.0, 1.0), (5.0, 1.0)];
        close(dispersion(&[&even]).unwrap(), 1.0);
        // All in one of five cells: chi² is 25·4, of four degrees of freedom.
        let burst = [(25.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)];
        close(dispersion(&[&burst]).unwrap(), 25.0);
        // What is in proportion to the exposure is no burst; a recording without events has no say.
        let busy = [(40.0, 8.0), (5.0, 1.0), (5.0, 1.0), (5.0, 1.0), (5.0, 1.0)];
        close(dispersion(&[&busy, &[(0.0, 1.0); 9]]).unwrap(), 1.0);
        assert_eq!(dispersion(&[&even[..4], &[]]), None);
        let counts = Counts {
            before: 25.0,
            after: 0.0,
            exposure_before: 1.0,
            exposure_after: 1.0,
        };
        assert!(rates(counts, 1.0).unwrap() < 1e-6);
        close(rates(counts, 25.0).unwrap(), 1.0);
    }

    #[test]
    fn ranks_agree_with_worked_examples() {
        // R: wilcox.test(b, a, exact = FALSE), with U = 1.
        let before = [1.1, 2.2, 3.3, 4.4, 5.5];
        let after = [5.0, 6.6, 7.7, 8.8, 9.9];
        let found = ranks(&before, &after).unwrap();
        close(found.delta, 23.0 / 25.0);
        // (11.5 - 0.5) / sqrt(25 · 11 / 12)
        close(found.p, two_sided(11.0 / (275.0_f64 / 12.0).sqrt()));
        close(found.p, 0.021_571_747_947_720_9);
    }

    #[test]
    fn ties_count_half_and_narrow_the_variance() {
        let (before, after) = ([1.0, 2.0, 2.0, 3.0], [2.0, 3.0, 3.0, 4.0]);
        let found = ranks(&before, &after).unwrap();
        // Pairs: 11 above, 1 below, 4 the same, of 16.
        close(found.delta, 10.0 / 16.0);
        // Three twos and three threes: 16/12 · (9 − 48/56), less the half of continuity.
        let variance: f64 = 16.0 / 12.0 * (9.0 - 48.0 / 56.0);
        close(found.p, two_sided(4.5 / variance.sqrt()));
        assert_eq!(ranks(&[5.0; 9], &[5.0; 9]), None);
        assert_eq!(ranks(&[], &[1.0]), None);
    }

    #[test]
    fn ranks_swapped_turn_the_sign_alone() {
        let (before, after) = ([1.0, 4.0, 4.0, 9.0], [2.0, 4.0, 7.0, 8.0, 11.0]);
        let (one, other) = (ranks(&before, &after), ranks(&after, &before));
        let (one, other) = (one.unwrap(), other.unwrap());
        close(one.p, other.p);
        close(one.delta, -other.delta);
    }

    #[test]
    fn the_normal_distribution_is_that_of_the_tables() {
        close(two_sided(0.0), 1.0);
        close(two_sided(1.959_963_984_540_054), 0.05);
        close(two_sided(-2.575_829_303_548_901), 0.01);
    }

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(quantile(&sorted, 0.5), Some(2.5));
        assert_eq!(quantile(&sorted, 0.9), Some(3.7));
        assert_eq!(quantile(&sorted, 1.0), Some(4.0));
        assert_eq!(quantile(&[7.0], 0.9), Some(7.0));
        assert_eq!(quantile(&[], 0.9), None);
    }
}
