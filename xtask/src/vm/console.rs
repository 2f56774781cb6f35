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
