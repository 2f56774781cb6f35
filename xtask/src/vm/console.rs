//! Words of the kernel that mean that it is not well.

/// What a line of the kernel's log complains of; `None` for an ordinary line.
pub fn complaint(line: &str) -> Option<&'static str> {
    const SIGNS: [(&str, &str); 16] = [
        ("Kernel panic", "panic"),
        ("Oops", "oops"),
        ("BUG:", "BUG"),
        ("kernel BUG at", "BUG"),
        ("general protection fault", "oops"),
        ("invalid opcode:", "oops"),
        ("stack segment:", "oops"),
        ("double fault:", "oops"),
        ("Unable to handle kernel", "oops"),
        ("unable to handle page fault", "oops"),
        ("INFO: task ", "hang"),
        ("self-detected stall", "hang"),
        ("refcount_t:", "WARN"),
        ("UBSAN:", "UBSAN"),
        ("list_del corruption", "BUG"),
        ("possible recursive locking", "lockdep"),
    ];
    // `WARNING: CPU: 0 PID: 1 at net/core/dev.c:1`, newer `WARNING: net/core/dev.c:1 at f, CPU#0`.
    if let Some((_, rest)) = line.split_once("WARNING: ")
        && rest.contains(" at ")
        // A test makes a network card hang, and the kernel says so with a warning until 6.6.
        && !rest.contains("dev_watchdog")
    {
        return Some("WARN");
    }
    SIGNS
        .iter()
        .find(|(sign, _)| line.contains(sign))
        .map(|(_, name)| *name)
}

/// How many lines of a kernel's trouble are shown; a panic has about 60.
const SHOWN: usize = 120;

/// The lines in which a kernel tells of its trouble: from the first complaint to the end.
pub fn trouble(console: &[String]) -> Vec<String> {
    let first = console.iter().position(|line| complaint(line).is_some());
    let lines = first.map_or(&[][..], |first| &console[first..]);
    let lines = lines.iter().filter(|line| !line.trim().is_empty());
    // A generic kernel lists hundreds.
    let lines = lines.filter(|line| !line.contains("Modules linked in:"));
    lines.take(SHOWN).cloned().collect()
}

/// The trouble in one line: what it was, where, and how it ended.
pub fn headline(console: &[String]) -> Option<String> {
    let lines = trouble(console);
    let first = lines.first()?;
    let place = lines.iter().find(|line| line.contains("RIP: 0010:"));
    let end = lines.iter().find(|line| line.contains("Kernel panic"));
    let mut words = vec![first.as_str()];
    words.extend(place.into_iter().chain(end).map(String::as_str));
    words.dedup();
    Some(words.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_is_not_well_is_recognised() {
        for (line, name) in [
            ("[    1.0] Kernel panic - not syncing: x", "panic"),
            ("BUG: kernel NULL pointer dereference, address: 0", "BUG"),
            (
                "WARNING: CPU: 0 PID: 7 at kernel/bpf/x.c:1 f+0x1/0x2",
                "WARN",
            ),
            (
                "WARNING: kernel/bpf/x.c:1 at f+0x1/0x2, CPU#0: sh/1",
                "WARN",
            ),
            (
                "INFO: task sendtrace:12 blocked for more than 120 seconds.",
                "hang",
            ),
            ("Oops: 0000 [#1] PREEMPT SMP", "oops"),
        ] {
            assert_eq!(complaint(line), Some(name), "{line}");
        }
    }

    #[test]
    fn a_panic_is_told_in_the_kernels_own_lines() {
        let console: Vec<String> = [
            "[    1.9] TCP: cubic registered",
            "[    2.0] BUG: kernel NULL pointer dereference, address: 0000000000000012",
            "",
            "[    2.0] RIP: 0010:bpf_prog_1234_drop_rx_sk+0x5c/0x9a",
            "[    2.0] Modules linked in: a b c",
            "[    2.0] Call Trace:",
            "[    2.1] Kernel panic - not syncing: Fatal exception in interrupt",
            "[    2.1] Rebooting in 1 seconds..",
        ]
        .map(str::to_owned)
        .to_vec();
        let told = trouble(&console);
        assert_eq!(told.first(), Some(&console[1]));
        assert_eq!(told.last(), console.last());
        assert!(!told.iter().any(|line| line.contains("Modules")));
        let headline = headline(&console).expect("a panic");
        for part in ["NULL pointer", "drop_rx_sk", "Fatal exception in interrupt"] {
            assert!(headline.contains(part), "{headline}");
        }
        assert_eq!(super::headline(&console[..1]), None);
    }

    #[test]
    fn ordinary_words_are_no_complaint() {
        for line in [
            "[    0.5] Warning: unable to open an initial console.",
            "debug: something",
            "TCP: request_sock_TCP: Possible SYN flooding on port 81.",
            "WARNING: this machine has no battery",
            "WARNING: CPU: 0 PID: 0 at net/sched/sch_generic.c:525 dev_watchdog+0x20a/0x210",
        ] {
            assert_eq!(complaint(line), None, "{line}");
        }
    }
}
