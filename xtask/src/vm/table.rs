//! What a person reads: a line per check, and a table per kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use super::checks::{Check, Outcome};
use super::record::Record;

/// `6.12   pass         no-fexit: event: retransmit`
pub fn line(kernel: &str, check: &Check) -> String {
    let variant = check
        .variant
        .as_ref()
        .map_or(String::new(), |v| format!("{v}: "));
    let detail = match check.detail.as_str() {
        "" => String::new(),
        detail => format!(" ({detail})"),
    };
    format!(
        "{kernel:<5} {:<11} {variant}{}: {}{detail}",
        check.outcome.name(),
        check.group,
        check.name
    )
}

/// Counts per group in the order in which the groups came, then the failures, then the seconds.
pub fn kernel(title: &str, checks: &[Check], record: &Record, boot: Option<Duration>) -> String {
    let mut order: Vec<String> = Vec::new();
    let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for check in checks {
        let row = match &check.variant {
            Some(variant) => format!("{variant}: {}", check.group),
            None => check.group.clone(),
        };
        let count = counts.entry(row.clone()).or_insert_with(|| {
            order.push(row);
            [0; 3]
        });
        count[match check.outcome {
            Outcome::Pass => 0,
            Outcome::Fail => 1,
            Outcome::Unsupported => 2,
        }] += 1;
    }
    let width = order.iter().map(String::len).max().unwrap_or(0).max(5);
    let mut text = format!("\n{title}\n{:<width$}  PASS  FAIL  UNSUPPORTED\n", "GROUP");
    for row in &order {
        let [pass, fail, unsupported] = counts[row];
        text.push_str(&format!(
            "{row:<width$}  {pass:>4}  {fail:>4}  {unsupported:>11}\n"
        ));
    }
    let failures = checks.iter().filter(|check| check.outcome == Outcome::Fail);
    for check in failures {
        text.push_str(&format!(
            "failed: {}\n",
            line("", check)
                .trim_start()
                .trim_start_matches("fail")
                .trim()
        ));
    }
    text.push_str(&format!("seconds: {}\n", seconds(record, boot)));
    text
}

/// `boot 3.1, doctor 0.9, …`, and the steps of a variant together.
fn seconds(record: &Record, boot: Option<Duration>) -> String {
    let mut sums: Vec<(String, Duration)> = Vec::new();
    if let Some(boot) = boot {
        sums.push(("boot".to_owned(), boot));
    }
    for step in &record.steps {
        let took = step.end.as_ref().map_or(Duration::ZERO, |end| end.took);
        let name = step.name.split(": ").next().unwrap_or_default();
        match sums.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += took,
            None => sums.push((name.to_owned(), took)),
        }
    }
    let words: Vec<String> = sums
        .iter()
        .map(|(name, took)| format!("{name} {:.1}", took.as_secs_f64()))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_counts_per_group_and_lists_what_failed() {
        let checks = [
            Check::new("event", "drop", Outcome::Pass, ""),
            Check::new("event", "reset", Outcome::Fail, "not seen"),
            Check::new("hook", "drop", Outcome::Pass, "").of_variant(Some("no-fexit")),
        ];
        let text = kernel("6.12", &checks, &Record::default(), None);
        assert!(
            text.contains("event              1     1            0\n"),
            "{text}"
        );
        assert!(
            text.contains("no-fexit: hook     1     0            0\n"),
            "{text}"
        );
        assert!(text.contains("failed: event: reset (not seen)\n"), "{text}");
    }
}
