//! The part of BTF that decisions and names need, taken out so that the rest can be dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tracer_common::{
    FIELDS, Field, Form, OFFSET_COUNT, RET_IN_EVENT, SK_IN_EVENT, SystemCalls, UNRESOLVED,
};

use crate::kernel::btf::Btf;
use crate::kernel::plan::{FUNCTIONS, TRACEPOINTS};

/// An ability of the kernel that shows in its BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// `BPF_MAP_TYPE_RINGBUF`.
    RingBuffer,
    /// `BPF_TRACE_RAW_TP`: tracepoint programs whose arguments carry types.
    TypedTracepoint,
    /// `BPF_TRACE_FEXIT`: programs at the return of a function. Policy may still refuse them.
    Fexit,
    /// Iterator over the open files of all tasks.
    TaskFileIterator,
    /// Socket storage from tracing programs (`bpf_sk_storage_tracing_allowed`).
    TracingSocketStorage,
    /// `bpf_get_current_task_btf`: the current task with a type.
    CurrentTask,
    /// `bpf_task_pt_regs`: the registers of a system call.
    TaskRegisters,
    /// `bpf_get_socket_cookie` from tracing programs (`bpf_get_socket_ptr_cookie`).
    SocketCookie,
    /// `bpf_sock_from_file`: tells sockets from other files.
    SocketFromFile,
}

impl Feature {
    pub const ALL: [Self; 9] = [
        Self::RingBuffer,
        Self::TypedTracepoint,
        Self::Fexit,
        Self::TaskFileIterator,
        Self::TracingSocketStorage,
        Self::CurrentTask,
        Self::TaskRegisters,
        Self::SocketCookie,
        Self::SocketFromFile,
    ];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingBuffer => "BPF ring buffer",
            Self::TypedTracepoint => "typed tracepoints (tp_btf)",
            Self::Fexit => "function exit programs (fexit)",
            Self::TaskFileIterator => "iterator over open files (iter/task_file)",
            Self::TracingSocketStorage => "socket storage in tracing programs",
            Self::CurrentTask => "typed current task (bpf_get_current_task_btf)",
            Self::TaskRegisters => "registers of a task (bpf_task_pt_regs)",
            Self::SocketCookie => "socket cookies in tracing programs",
            Self::SocketFromFile => "sockets of files (bpf_sock_from_file)",
        }
    }

    fn in_btf(self, btf: &Btf) -> bool {
        match self {
            Self::RingBuffer => btf.has_enum_value("bpf_map_type", "BPF_MAP_TYPE_RINGBUF"),
            Self::TypedTracepoint => btf.has_enum_value("bpf_attach_type", "BPF_TRACE_RAW_TP"),
            Self::Fexit => btf.has_enum_value("bpf_attach_type", "BPF_TRACE_FEXIT"),
            Self::TaskFileIterator => btf.has_struct("bpf_iter__task_file"),
            Self::TracingSocketStorage => btf.has_func("bpf_sk_storage_tracing_allowed"),
            Self::CurrentTask => has_helper(btf, "get_current_task_btf"),
            Self::TaskRegisters => has_helper(btf, "task_pt_regs"),
            // The helper is older; this form of it is the one for tracing programs.
            Self::SocketCookie => btf.has_func("bpf_get_socket_ptr_cookie"),
            Self::SocketFromFile => has_helper(btf, "sock_from_file"),
        }
    }
}

/// Helpers that came with their use in tracing programs: there or not.
fn has_helper(btf: &Btf, name: &str) -> bool {
    btf.has_enum_value("bpf_func_id", &format!("BPF_FUNC_{name}"))
}

/// A processor whose system calls are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    X86_64,
    Arm64,
}

impl Processor {
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Arm64];

    /// As `uname -m` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// How it makes system calls.
    pub const fn calls(self) -> SystemCalls {
        match self {
            Self::X86_64 => SystemCalls::X86_64,
            Self::Arm64 => SystemCalls::ARM64,
        }
    }

    /// Told by the registers that it saves.
    fn in_btf(btf: &Btf) -> Option<Self> {
        let saves = |register: &'static [&'static str]| {
            let field = Field {
                name: "",
                container: "pt_regs",
                paths: register,
                form: Form::Plain,
            };
            btf.offset(&field).is_some()
        };
        if saves(&["orig_ax"]) && saves(&["r8"]) {
            Some(Self::X86_64)
        } else if saves(&["orig_x0"]) && saves(&["pstate"]) {
            Some(Self::Arm64)
        } else {
            None
        }
    }
}

/// Distance of `struct pt_regs` from the start of a kernel stack (`task_pt_regs` of x86-64). The stack of
/// interrupts is as large as that of a task (IRQ_STACK_ORDER, THREAD_SIZE_ORDER), and it alone has a type.
fn registers_offset(btf: &Btf) -> Option<u64> {
    let stack = btf.struct_bytes("irq_stack")?;
    let registers = btf.struct_bytes("pt_regs")?;
    stack.checked_sub(registers).map(u64::from)
}

/// Of the two forms of [`tracer_common::Offsets::cgroup_ancestors`] the one with pointers.
const ANCESTOR_POINTERS: Field = Field {
    name: "cgroup_ancestor_pointers",
    container: "cgroup",
    paths: &["ancestors"],
    form: Form::Plain,
};

/// `file_ref_t` of `include/linux/file_ref.h`: there since 6.13, biased by one.
const FILE_REF: Field = Field {
    name: "file_ref",
    container: "file",
    paths: &["f_ref.refcnt"],
    form: Form::Plain,
};

/// Programs of tracepoints can be preempted (`guard(srcu_fast_notrace)` in `__DECLARE_TRACE`): since then a
/// tracepoint's probes are waited for by SRCU.
const TRACEPOINT_SRCU: Field = Field {
    name: "tracepoint_srcu",
    container: "tp_transition_snapshot",
    paths: &["srcu_gp"],
    form: Form::Plain,
};

/// Two members of `struct tcp_sock` that came after `tcp_retransmit_timer` had begun to count a time-out before it
/// sends: in 5.3 and 5.8, the change itself in 5.1. See docs/decisions.md for the sources that were read.
const SINCE_TIMEOUT_COUNTED_BEFORE: [Field; 2] = [
    Field {
        name: "tcp_tx_delay",
        container: "tcp_sock",
        paths: &["tcp_tx_delay"],
        form: Form::Plain,
    },
    Field {
        name: "dup_ack_counter",
        container: "tcp_sock",
        paths: &["dup_ack_counter"],
        form: Form::Bits,
    },
];

/// `None` where the two do not agree, or there is no `struct tcp_sock`.
fn timeout_counted_after_sending(btf: &Btf) -> Option<bool> {
    let [one, other] = SINCE_TIMEOUT_COUNTED_BEFORE.map(|field| btf.offset(&field).is_none());
    (one == other && btf.has_struct("tcp_sock")).then_some(one)
}

/// Numbers in the kernel's BTF that a perf tracepoint's program needs to read a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerfTracepointSends {
    /// `bpf_rdonly_cast`.
    pub cast: u32,
    /// `struct sock`.
    pub sock: u32,
    /// `struct tcp_sock`.
    pub tcp_sock: u32,
}

impl PerfTracepointSends {
    /// `None` also when the event is laid out in another way than the program expects.
    fn in_btf(btf: &Btf) -> Option<Self> {
        let lies_at = |path: &'static [&'static str], offset| {
            let field = Field {
                name: "",
                container: "trace_event_raw_sock_msg_length",
                paths: path,
                form: Form::Plain,
            };
            btf.offset(&field) == Some(offset)
        };
        if !lies_at(&["sk"], SK_IN_EVENT) || !lies_at(&["ret"], RET_IN_EVENT) {
            return None;
        }
        Some(Self {
            cast: btf.func_id("bpf_rdonly_cast")?,
            sock: btf.struct_id("sock")?,
            tcp_sock: btf.struct_id("tcp_sock")?,
        })
    }
}

/// What the kernel's BTF says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BtfFacts {
    /// In the order of [`FIELDS`], as [`tracer_common::Offsets`] wants them.
    pub offsets: [u32; OFFSET_COUNT],
    /// 1 where `struct file` counts its references in a `file_ref_t` (one less than there are), else 0.
    pub file_refs_bias: u64,
    /// Each cgroup lists its ancestors as pointers, not as ids.
    pub ancestor_pointers: bool,
    /// Whose system calls these are; `None`: a processor that this program does not know.
    pub processor: Option<Processor>,
    /// Where the registers of a system call lie on a task's stack, in bytes from its start.
    pub registers_offset: Option<u64>,
    /// TCP counts a time-out after what it sends; `None`: that does not show.
    pub timeout_counted_after_sending: Option<bool>,
    /// A program of a tracepoint can be preempted, and is then skipped for everybody else on that CPU.
    pub preemptible_tracepoints: bool,
    /// How to see sends without that.
    pub perf_tracepoint_sends: Option<PerfTracepointSends>,
    /// Argument counts of the tracepoints that are there.
    pub tracepoints: BTreeMap<&'static str, usize>,
    /// C types of those arguments.
    pub tracepoint_types: BTreeMap<&'static str, Vec<String>>,
    /// Argument counts of the functions that are there.
    pub functions: BTreeMap<&'static str, usize>,
    pub features: BTreeSet<Feature>,
    /// `enum skb_drop_reason`, prefix removed.
    pub drop_reasons: Option<BTreeMap<u32, String>>,
    /// `enum skb_drop_reason_subsys` (the upper 16 bits of a reason), prefix removed.
    pub drop_subsystems: Option<BTreeMap<u32, String>>,
    /// `enum sk_rst_reason`, prefix removed.
    pub reset_reasons: Option<BTreeMap<u32, String>>,
}

impl BtfFacts {
    /// Takes what is needed out of BTF.
    pub fn extract(btf: &Btf) -> Self {
        let reasons = |name, prefix| btf.enum_names_without(name, prefix);
        Self {
            offsets: btf.offsets().0,
            file_refs_bias: u64::from(btf.offset(&FILE_REF).is_some()),
            ancestor_pointers: btf.offset(&ANCESTOR_POINTERS).is_some(),
            processor: Processor::in_btf(btf),
            registers_offset: registers_offset(btf),
            timeout_counted_after_sending: timeout_counted_after_sending(btf),
            preemptible_tracepoints: btf.offset(&TRACEPOINT_SRCU).is_some(),
            perf_tracepoint_sends: PerfTracepointSends::in_btf(btf),
            tracepoints: TRACEPOINTS
                .iter()
                .filter_map(|&name| Some((name, btf.tracepoint_args(name)?)))
                .collect(),
            tracepoint_types: TRACEPOINTS
                .iter()
                .filter_map(|&name| Some((name, btf.tracepoint_arg_types(name)?)))
                .collect(),
            functions: FUNCTIONS
                .iter()
                .filter_map(|&name| Some((name, btf.func_args(name)?)))
                .collect(),
            features: Feature::ALL
                .into_iter()
                .filter(|feature| feature.in_btf(btf))
                .collect(),
            drop_reasons: reasons("skb_drop_reason", "SKB_DROP_REASON_").map(|mut names| {
                // The kernel spells these two without the reason's prefix.
                for name in names.values_mut() {
                    if let Some(short) = name.strip_prefix("SKB_") {
                        *name = short.to_owned();
                    }
                }
                names
            }),
            drop_subsystems: reasons("skb_drop_reason_subsys", "SKB_DROP_REASON_SUBSYS_"),
            reset_reasons: reasons("sk_rst_reason", "SK_RST_REASON_"),
        }
    }

    /// Fields that this kernel does not have.
    pub fn unresolved(&self) -> impl Iterator<Item = &'static Field> + '_ {
        FIELDS
            .iter()
            .zip(self.offsets)
            .filter(|&(_, offset)| offset == UNRESOLVED)
            .map(|(field, _)| field)
    }

    /// Whether this kernel does not have the field of that name.
    pub fn lacks(&self, field: &str) -> bool {
        self.unresolved().any(|lacking| lacking.name == field)
    }
}

/// Reads and indexes BTF.
pub(super) fn read(root: &Path) -> Result<Btf, String> {
    let path = root.join("sys/kernel/btf/vmlinux");
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Btf::parse(bytes).map_err(|error| format!("{}: {error}", path.display()))
}
