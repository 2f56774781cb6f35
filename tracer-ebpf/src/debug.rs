//! What the BPF programs say of themselves, in the object that `--debug-bpf` loads: why an event was filtered, why an
//! owner stayed unknown, which check of a caller's registers failed. In the object that is loaded else, nothing of it
//! is left.

/// Says it to user space by aya-log, as `RUST_LOG=bpf=debug` shows it. What is said must be cheap to know.
macro_rules! debug {
    ($($words:tt)+) => {{
        #[cfg(feature = "debug")]
        aya_log_ebpf::debug!((), target: "bpf", $($words)+);
    }};
}

pub(crate) use debug;
