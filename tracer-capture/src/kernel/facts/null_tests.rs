//! What this kernel's verifier makes of a test for null, found by loading programs of a few instructions. They
//! are never attached.
//!
//! Some kernels (mainline 6.11 to 6.12.16 and 6.13.0 to 6.13.4, and those that took it over; CVE-2025-21852) hold
//! every typed argument of a tracepoint for trusted and not null. Their verifiers delete a comparison with null,
//! and what is read after it brings the kernel down when the argument is null after all. No version tells: a
//! program whose code after the comparison is wrong does. It is refused where that code is kept, and accepted
//! where it is deleted.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use crate::sys::bpf;

/// An argument that some kernel passes as null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nullable {
    pub tracepoint: &'static str,
    /// From 0, without `void *__data`.
    pub argument: usize,
    pub name: &'static str,
}

/// All of them that programs of ours look at.
pub const NULLABLE: [Nullable; 3] = [
    Nullable {
        tracepoint: "kfree_skb",
        argument: 3,
        name: "rx_sk",
    },
    Nullable {
        tracepoint: "tcp_send_reset",
        argument: 0,
        name: "sk",
    },
    Nullable {
        tracepoint: "tcp_send_reset",
        argument: 1,
        name: "skb",
    },
];

/// Whether the verifier keeps a test of one argument; `None`: it could not be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NullTest {
    /// Compared with the constant 0.
    pub typed: Option<bool>,
    /// Compared with a zero that the verifier does not know, as our programs do.
    pub untyped: Option<bool>,
}

/// In the order of [`NULLABLE`].
pub type NullTests = [NullTest; NULLABLE.len()];

/// Asks the verifier. `tracepoint` gives the number of a tracepoint's type in BTF, and how many arguments it has.
pub(super) fn probe(tracepoint: impl Fn(&str) -> Option<(u32, usize)>) -> NullTests {
    let zero = zero_map();
    NULLABLE.map(|nullable| {
        let there = tracepoint(nullable.tracepoint);
        let Some((id, _)) = there.filter(|&(_, arguments)| nullable.argument < arguments) else {
            return NullTest::default();
        };
        let asks = |zero| kept(id, nullable.argument, zero);
        NullTest {
            typed: asks(None),
            untyped: zero.as_ref().ok().and_then(|map| asks(Some(map))),
        }
    })
}

/// Is the comparison kept? The same program with valid code after it must be accepted, or the answer is about
/// something else.
fn kept(btf_id: u32, argument: usize, zero: Option<&OwnedFd>) -> Option<bool> {
    let accepted = |after| load(btf_id, &program(argument, zero, after));
    match (accepted(Code::Right), accepted(Code::Wrong)) {
        (Ok(()), Ok(())) => Some(false),
        // What the verifier says, not a policy or a lack of memory.
        (Ok(()), Err(error)) if error.raw_os_error() == Some(libc::EACCES) => Some(true),
        _ => None,
    }
}

/// What runs when the argument is null.
#[derive(Clone, Copy)]
enum Code {
    Right,
    /// Reads a register that nobody wrote.
    Wrong,
}

/// `struct bpf_insn`
type Instruction = [u8; 8];

const fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
    let [o0, o1] = offset.to_le_bytes();
    let [v0, v1, v2, v3] = value.to_le_bytes();
    [code, from << 4 | to, o0, o1, v0, v1, v2, v3]
}

/// `if (argument == zero) { CODE } return 0`
fn program(argument: usize, zero: Option<&OwnedFd>, code: Code) -> Vec<Instruction> {
    /// `BPF_LDX | BPF_MEM | BPF_DW`
    const LOAD: u8 = 0x79;
    /// `BPF_LD | BPF_IMM | BPF_DW`; with `BPF_PSEUDO_MAP_VALUE` as its source, a place in a map.
    const LOAD_WIDE: u8 = 0x18;
    const MAP_VALUE: u8 = 2;
    /// `BPF_JMP | BPF_JEQ` with a constant, and with a register (`BPF_X`).
    const EQUAL: u8 = 0x15;
    const EQUAL_REGISTER: u8 = 0x1d;
    /// `BPF_ALU64 | BPF_MOV` of a constant, and of a register.
    const MOVE: u8 = 0xb7;
    const MOVE_REGISTER: u8 = 0xbf;
    /// `BPF_JMP | BPF_EXIT`
    const EXIT: u8 = 0x95;
    // An argument is a word of the context.
    let offset = argument as i16 * 8;
    let mut program = Vec::new();
    if let Some(map) = zero {
        program.push(instruction(LOAD_WIDE, 7, MAP_VALUE, 0, map.as_raw_fd()));
        program.push(instruction(0, 0, 0, 0, 0));
        program.push(instruction(LOAD, 7, 7, 0, 0));
    }
    program.push(instruction(LOAD, 6, 1, offset, 0));
    program.push(match zero {
        Some(_) => instruction(EQUAL_REGISTER, 6, 7, 2, 0),
        None => instruction(EQUAL, 6, 0, 2, 0),
    });
    program.push(instruction(MOVE, 0, 0, 0, 0));
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program.push(match code {
        Code::Right => instruction(MOVE, 0, 0, 0, 0),
        Code::Wrong => instruction(MOVE_REGISTER, 0, 9, 0, 0),
    });
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program
}

/// `union bpf_attr` of BPF_PROG_LOAD.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    instructions: u32,
    instructions_at: u64,
    license_at: u64,
    log_level: u32,
    log_size: u32,
    log_at: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    expected_attach_type: u32,
    btf_fd: u32,
    func_info_bytes: u32,
    func_info_at: u64,
    func_infos: u32,
    line_info_bytes: u32,
    line_info_at: u64,
    line_infos: u32,
    attach_btf_id: u32,
}

/// Loads a program of a typed tracepoint and lets go of it.
fn load(btf_id: u32, program: &[Instruction]) -> io::Result<()> {
    const BPF_PROG_LOAD: i32 = 5;
    const BPF_PROG_TYPE_TRACING: u32 = 26;
    const BPF_TRACE_RAW_TP: u32 = 23;
    let mut attributes = Load {
        prog_type: BPF_PROG_TYPE_TRACING,
        instructions: program.len() as u32,
        instructions_at: program.as_ptr() as u64,
        license_at: c"GPL".as_ptr() as u64,
        name: *b"null_test\0\0\0\0\0\0\0",
        expected_attach_type: BPF_TRACE_RAW_TP,
        attach_btf_id: btf_id,
        ..Load::default()
    };
    bpf(BPF_PROG_LOAD, &mut attributes).map(drop)
}

/// `union bpf_attr` of BPF_MAP_CREATE.
#[repr(C)]
struct Create {
    map_type: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
}

/// A map that holds one 0, of which the verifier cannot know that it stays one.
fn zero_map() -> io::Result<OwnedFd> {
    const BPF_MAP_CREATE: i32 = 0;
    const BPF_MAP_TYPE_ARRAY: u32 = 2;
    let mut attributes = Create {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_bytes: 4,
        value_bytes: 8,
        entries: 1,
    };
    bpf(BPF_MAP_CREATE, &mut attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::btf::Btf;

    #[test]
    fn the_wrong_code_is_what_the_two_programs_differ_in() {
        let (right, wrong) = (program(3, None, Code::Right), program(3, None, Code::Wrong));
        assert_eq!(right[0], [0x79, 0x16, 24, 0, 0, 0, 0, 0]);
        let differ: Vec<_> = (0..right.len()).filter(|&i| right[i] != wrong[i]).collect();
        assert_eq!(differ, [4]);
        // Two instructions behind the comparison.
        assert_eq!(right[1][2], 2);
    }

    #[test]
    fn what_is_not_there_is_not_asked_about() {
        assert_eq!(probe(|_| None), NullTests::default());
        assert_eq!(probe(|_| Some((1, 0))), NullTests::default());
    }

    #[test]
    #[ignore = "needs root"]
    fn root_learns_from_this_kernel_what_it_keeps_of_each_argument_that_it_has() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            return;
        };
        let btf = Btf::parse(bytes).unwrap();
        let tests = probe(|name| btf.tracepoint(name));
        for (nullable, test) in NULLABLE.iter().zip(tests) {
            let there = btf
                .tracepoint(nullable.tracepoint)
                .is_some_and(|(_, arguments)| nullable.argument < arguments);
            assert_eq!(test.typed.is_some(), there, "{nullable:?}");
            assert_eq!(test.untyped.is_some(), there, "{nullable:?}");
            // No kernel is known that deletes this one.
            assert_ne!(test.untyped, Some(false), "{nullable:?}");
        }
    }
}
