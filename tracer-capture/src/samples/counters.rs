//! Counters by name, what has changed in them, and the files of `/proc/net` that hold them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use tracer_model::samples::Counts;

/// No file that is read here is near this long; a longer one is cut.
const MAX_FILE: usize = 1 << 20;

/// A file of `/proc` that is read again and again. It stays open: what it says is about the network namespace
/// in which it was opened (`single_open_net`), and it needs no permission any more.
pub struct Source(File);

impl Source {
    pub fn open(root: &Path, path: &str) -> io::Result<Self> {
        File::open(root.join(path)).map(Self)
    }

    /// The text as it is now. Reading at offset 0 makes the kernel write it anew (`seq_read_iter`).
    pub fn read(&self) -> io::Result<String> {
        let mut bytes = vec![0; 16 * 1024];
        let mut length = 0;
        loop {
            match self.0.read_at(&mut bytes[length..], length as u64) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if length == MAX_FILE {
                break;
            }
            if length == bytes.len() {
                bytes.resize((2 * length).min(MAX_FILE), 0);
            }
        }
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What grew from `before` to `now`, and into `reset` what went backwards: how far that one got is not known.
///
/// A name that was not there before counts from 0: the kernel prints types of ICMP messages once there are
/// any (`icmpmsg_put`), and whole protocols once their modules are loaded.
pub fn deltas(before: &Counts, now: &Counts, reset: &mut Vec<String>) -> Counts {
    let mut grown = Counts::new();
    for (name, &value) in now {
        match value.checked_sub(before.get(name).copied().unwrap_or(0)) {
            Some(0) => {}
            Some(delta) => _ = grown.insert(name.clone(), delta),
            None => reset.push(name.clone()),
        }
    }
    grown
}

/// What grew in a 32-bit counter. It may have wrapped around: told from a reset by `certain` (something wider
/// beside it did not go backwards), and by coming from near its end to near its start. `None`: reset.
pub fn delta_u32(before: u32, now: u32, certain: bool) -> Option<u64> {
    const QUARTER: u32 = 1 << 30;
    let wrapped = certain && before >= 3 * QUARTER && now < QUARTER;
    (now >= before || wrapped).then(|| now.wrapping_sub(before).into())
}

/// `/proc/net/snmp` and `/proc/net/netstat`: a line of names, then a line of values. `Tcp.RetransSegs`.
/// Values that are no counters go to `gauges`, or nowhere when they are settings.
pub fn snmp(text: &str, counters: &mut Counts, gauges: &mut Counts) {
    let mut lines = text.lines();
    while let Some(names) = lines.next() {
        let Some((protocol, names)) = names.split_once(": ") else {
            continue;
        };
        let values = lines.next().and_then(|line| line.split_once(": "));
        let Some((_, values)) = values.filter(|(again, _)| *again == protocol) else {
            continue;
        };
        for (name, value) in names.split(' ').zip(values.split(' ')) {
            let name = format!("{protocol}.{name}");
            // MaxConn is -1 where there is no limit.
            if let Ok(value) = value.parse() {
                match kind(&name) {
                    Kind::Counter => counters.insert(name, value),
                    Kind::Gauge => gauges.insert(name, value),
                    Kind::Setting => None,
                };
            }
        }
    }
}

enum Kind {
    Counter,
    Gauge,
    Setting,
}

/// RFC 4022 and RFC 4293 have both in the same tables.
fn kind(name: &str) -> Kind {
    match name {
        "Tcp.CurrEstab" | "MPTcpExt.MPCurrEstab" => Kind::Gauge,
        "Ip.Forwarding" | "Ip.DefaultTTL" | "Tcp.RtoAlgorithm" | "Tcp.RtoMin" | "Tcp.RtoMax"
        | "Tcp.MaxConn" => Kind::Setting,
        _ => Kind::Counter,
    }
}

/// A file of `/proc/net/stat`: a line of names, then a line for each CPU, in hexadecimal. `nf_conntrack.drop`. They are
/// added up; `entries` is no counter, and the same on each line.
pub fn stat(table: &str, text: &str, counters: &mut Counts) {
    let mut lines = text.lines();
    let names: Vec<_> = lines
        .next()
        .unwrap_or("")
        .split_ascii_whitespace()
        .collect();
    for line in lines {
        for (name, word) in names.iter().zip(line.split_ascii_whitespace()) {
            if let (true, Ok(value)) = (*name != "entries", u64::from_str_radix(word, 16)) {
                *counters.entry(format!("{table}.{name}")).or_default() += value;
            }
        }
    }
}

/// A file with one number.
pub fn value(name: &str, text: &str, gauges: &mut Counts) {
    if let Ok(value) = text.trim().parse() {
        gauges.insert(name.to_owned(), value);
    }
}

/// `/proc/net/snmp6`: a name and a value per line.
pub fn snmp6(text: &str, counters: &mut Counts) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) {
            counters.insert(name.to_owned(), value);
        }
    }
}

/// `/proc/net/sockstat` and `sockstat6`: `TCP: inuse 5 orphan 0 …`; all of it are values of now. `TCP.inuse`.
pub fn sockstat(text: &str, gauges: &mut Counts) {
    for line in text.lines() {
        let Some((protocol, rest)) = line.split_once(": ") else {
            continue;
        };
        let mut words = rest.split_ascii_whitespace();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            if let Ok(value) = value.parse() {
                gauges.insert(format!("{protocol}.{name}"), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(entries: &[(&str, u64)]) -> Counts {
        let owned = entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value));
        owned.collect()
    }

    #[test]
    fn counters_of_all_cpus_are_added_up_and_entries_are_none() {
        let text = "entries  drop insert_failed\n00000002  0000000a 00000000\n00000002  00000010 00000001\n";
        let mut counters = Counts::new();
        stat("nf_conntrack", text, &mut counters);
        let expected = [("nf_conntrack.drop", 26), ("nf_conntrack.insert_failed", 1)];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(counters, Counts::from(expected));
        value("nf_conntrack_max", "262144\n", &mut counters);
        assert_eq!(counters["nf_conntrack_max"], 262_144);
    }

    #[test]
    fn names_are_the_kernels_and_settings_are_no_counters() {
        let text = "Tcp: RtoAlgorithm RtoMin MaxConn ActiveOpens CurrEstab RetransSegs\n\
                    Tcp: 1 200 -1 176 3 12\n\
                    TcpExt: TCPTimeouts NewInTheFuture\nTcpExt: 5 6\n";
        let (mut counters, mut gauges) = (Counts::new(), Counts::new());
        snmp(text, &mut counters, &mut gauges);
        let expected = [
            ("Tcp.ActiveOpens", 176),
            ("Tcp.RetransSegs", 12),
            ("TcpExt.NewInTheFuture", 6),
            ("TcpExt.TCPTimeouts", 5),
        ];
        assert_eq!(counters, counts(&expected));
        assert_eq!(gauges, counts(&[("Tcp.CurrEstab", 3)]));
    }

    #[test]
    fn values_are_never_given_to_names_of_another_line() {
        let cases = [
            "Tcp: InSegs\nUdp: 5\n",
            "Tcp: InSegs\n",
            "Tcp: InSegs\nTcp:\n",
            "Tcp\n\n\0: \u{fffd}\n",
            "Tcp: InSegs\nTcp: 18446744073709551616\n",
            "Tcp: InSegs\nTcp: -4\n",
        ];
        for text in cases {
            let (mut counters, mut gauges) = (Counts::new(), Counts::new());
            snmp(text, &mut counters, &mut gauges);
            assert!(counters.is_empty() && gauges.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn a_line_that_is_cut_short_gives_what_it_has() {
        let (mut counters, mut gauges) = (Counts::new(), Counts::new());
        snmp("Udp: A B C\nUdp: 1 2", &mut counters, &mut gauges);
        assert_eq!(counters, counts(&[("Udp.A", 1), ("Udp.B", 2)]));
    }

    #[test]
    fn the_files_with_one_number_per_name_are_read() {
        let (mut counters, mut gauges) = (Counts::new(), Counts::new());
        snmp6(
            "Ip6InReceives                   \t3\nbroken\nIp6OutMcastPkts 7 8\nX y\n",
            &mut counters,
        );
        assert_eq!(
            counters,
            counts(&[("Ip6InReceives", 3), ("Ip6OutMcastPkts", 7)])
        );
        let text = "sockets: used 12\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 167\nFRAG: inuse\nx\n";
        sockstat(text, &mut gauges);
        let expected = [
            ("TCP.alloc", 1),
            ("TCP.inuse", 1),
            ("TCP.mem", 167),
            ("TCP.orphan", 0),
            ("TCP.tw", 0),
            ("sockets.used", 12),
        ];
        assert_eq!(gauges, counts(&expected));
    }

    #[test]
    fn only_what_grew_is_listed_and_what_went_backwards_is_named() {
        let before = counts(&[("a", 5), ("b", 5), ("c", 5), ("gone", 1)]);
        let now = counts(&[("a", 7), ("b", 5), ("c", 4), ("new", 2), ("zero", 0)]);
        let mut reset = Vec::new();
        assert_eq!(
            deltas(&before, &now, &mut reset),
            counts(&[("a", 2), ("new", 2)])
        );
        assert_eq!(reset, ["c"]);
    }

    #[test]
    fn a_narrow_counter_wraps_only_near_its_end() {
        assert_eq!(delta_u32(5, 9, false), Some(4));
        assert_eq!(delta_u32(u32::MAX - 1, 3, true), Some(5));
        assert_eq!(delta_u32(u32::MAX - 1, 3, false), None);
        assert_eq!(delta_u32(1 << 31, 3, true), None);
    }

    #[test]
    fn an_open_file_of_proc_is_read_anew_each_time() {
        let source = Source::open(Path::new("/"), "proc/uptime").unwrap();
        let first = source.read().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while source.read().unwrap() == first {
            assert!(std::time::Instant::now() < deadline, "still {first}");
        }
    }
}
