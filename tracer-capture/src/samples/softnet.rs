//! `/proc/net/softnet_stat`: how the host's CPUs keep up with packets that arrive. It is about the whole host,
//! whatever the network namespace.

use std::collections::BTreeMap;

use tracer_model::samples::{CpuSoftnet, Softnet};

/// The counters of one CPU: `softnet_seq_show` prints the low 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    processed: u32,
    dropped: u32,
    time_squeeze: u32,
    backlog: Option<u32>,
}

/// The rows by CPU, and whether their numbers are the kernel's: before 5.14 a row does not name its CPU, and
/// rows of CPUs that are offline are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    rows: BTreeMap<u32, Row>,
    named: bool,
}

/// One row per online CPU, in hexadecimal. Rows that cannot be read are left out.
pub fn parse(text: &str) -> Table {
    let mut table = Table {
        rows: BTreeMap::new(),
        named: true,
    };
    for (line, number) in text.lines().zip(0..) {
        let hex = |word: &str| u32::from_str_radix(word, 16).ok();
        let columns: Vec<_> = line.split_ascii_whitespace().map(hex).collect();
        let column = |at: usize| columns.get(at).copied().flatten();
        let (Some(processed), Some(dropped), Some(time_squeeze)) =
            (column(0), column(1), column(2))
        else {
            continue;
        };
        let row = Row {
            processed,
            dropped,
            time_squeeze,
            backlog: column(11),
        };
        table.named &= column(12).is_some();
        table.rows.insert(column(12).unwrap_or(number), row);
    }
    table
}

/// What happened between two readings; `None` when their CPUs cannot be matched. A CPU that was offline
/// before is not counted: its counters go on from long ago.
pub fn between(before: &Table, now: &Table) -> Option<Softnet> {
    if !(before.named && now.named) && before.rows.len() != now.rows.len() {
        return None;
    }
    let mut sum = Softnet::default();
    for (cpu, row) in &now.rows {
        let Some(old) = before.rows.get(cpu) else {
            continue;
        };
        // These counters live as long as the kernel: backwards is always a wrap.
        let one = CpuSoftnet {
            cpu: *cpu,
            processed: row.processed.wrapping_sub(old.processed).into(),
            dropped: row.dropped.wrapping_sub(old.dropped).into(),
            time_squeeze: row.time_squeeze.wrapping_sub(old.time_squeeze).into(),
        };
        sum.processed += one.processed;
        sum.dropped += one.dropped;
        sum.time_squeeze += one.time_squeeze;
        sum.cpus += 1;
        if let Some(backlog) = row.backlog {
            *sum.backlog_packets.get_or_insert(0) += u64::from(backlog);
        }
        let bad = |cpu: &CpuSoftnet| (cpu.dropped, cpu.time_squeeze, cpu.processed);
        if bad(&one) > sum.worst.as_ref().map_or((0, 0, 0), bad) {
            sum.worst = Some(one);
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "006424c5 00000001 00000025 0 0 0 0 0 0 0 0 00000002 00000000 0 0\n\
                       0119d628 00000000 0000002c 0 0 0 0 0 0 0 0 00000003 00000004 0 0\n";

    #[test]
    fn cpus_are_summed_and_the_worst_is_named() {
        let later = NEW
            .replace("0000002c", "0000002f")
            .replace("0119d628", "0119d62a");
        let sum = between(&parse(NEW), &parse(&later)).unwrap();
        let worst = CpuSoftnet {
            cpu: 4,
            processed: 2,
            dropped: 0,
            time_squeeze: 3,
        };
        let expected = Softnet {
            processed: 2,
            dropped: 0,
            time_squeeze: 3,
            backlog_packets: Some(5),
            cpus: 2,
            worst: Some(worst),
        };
        assert_eq!(sum, expected);
    }

    #[test]
    fn a_counter_of_32_bits_wraps_around() {
        let (before, now) = (parse("ffffffff 0 0"), parse("00000001 0 0"));
        let sum = between(&before, &now).unwrap();
        assert_eq!((sum.processed, sum.backlog_packets), (2, None));
    }

    #[test]
    fn rows_without_names_are_matched_only_when_there_are_as_many() {
        let (two, one) = (parse("1 0 0\n2 0 0"), parse("1 0 0"));
        assert_eq!(between(&two, &one), None);
        assert!(between(&two, &two).is_some_and(|sum| sum.worst.is_none()));
    }

    #[test]
    fn a_cpu_that_came_online_is_not_counted_from_zero() {
        let before = parse(NEW.lines().next().unwrap());
        let sum = between(&before, &parse(NEW)).unwrap();
        assert_eq!((sum.cpus, sum.processed), (1, 0));
    }

    #[test]
    fn broken_rows_are_left_out() {
        assert!(parse("zz 0 0\n\n1 2\n100000000 0 0\n").rows.is_empty());
    }
}
