//! `--follow`: children of wanted processes are wanted.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{EXACT_START, is_start};

use crate::{
    kernel::{Arg, Ptr, arg, load, load_ptr},
    maps::PIDS,
};

/// `void sched_process_fork(struct task_struct *parent, struct task_struct *child)`
#[btf_tracepoint(function = "sched_process_fork")]
pub fn fork(ctx: BtfTracePointContext) -> i32 {
    let (parent, child): (Arg, Arg) = (arg(&ctx, 0), arg(&ctx, 1));
    let (Some(parent), Some(child)) = (parent.get(), child.get()) else {
        return 0;
    };
    let pid = load!(parent, task_tgid: u32).unwrap_or(0);
    let child_pid = load!(child, task_tgid: u32).unwrap_or(0);
    if pid == child_pid {
        // A thread.
        return 0;
    }
    let start = start_of(parent);
    // SAFETY: a lookup of a plain value.
    if unsafe { PIDS.get(pid) }.is_some_and(|kept| is_start(*kept, start)) {
        let _ = PIDS.insert(child_pid, start_of(child) | EXACT_START, 0);
    }
    0
}

#[inline(always)]
fn start_of(task: Ptr) -> u64 {
    match load_ptr!(task, task_leader) {
        Some(leader) => load!(leader, task_start: u64).unwrap_or(0),
        None => 0,
    }
}
