//! Proves over the object file that no BPF program follows a typed pointer that may be null, and that none reads
//! bytes of its stack that it has not written.
//!
//! # Why
//!
//! The verifier takes typed pointers for valid. On most kernels a null pointer then reads as 0, through an
//! exception entry. Through a pointer that the verifier *trusts* there is no such entry, and a null pointer brings the
//! kernel down: arguments of `tp_btf` programs on 5.14.0-503 and -570 (RHEL 9.5 and 9.6), 6.12.0-55 (RHEL 10.0) and
//! mainline 6.11 to 6.12.16 and 6.13.0 to 6.13.4, where `kfree_skb` and `tcp_send_reset` do pass null
//! (CVE-2025-21852). A test cannot be left to the compiler there: the verifier knows a trusted pointer as one that is
//! not null and deletes a comparison with the constant 0. Other kernels refuse programs that read stack that was not
//! written (CVE-2023-52452), which no kernel at hand may do. Both are decided here for every kernel, without one.
//!
//! # How
//!
//! [`prove`] walks every path of every program, calls included, and keeps for each register and for each byte of the
//! stack what kind of value it holds ([`state`]). Paths that meet in states of which one covers the other are walked
//! once. The rules ([`Rule`]):
//!
//! - A typed pointer is followed (loaded through, or handed to a helper that follows it) only on paths where it was
//!   compared, whole, with a zero that the verifier does not know ([`UNKNOWN_ZERO`]), and differed; and then with the
//!   constant 0, on which kernels insist that mark the pointer as nullable. Never the other way round.
//! - What helpers return needs no such test: see [`helpers`].
//! - A load from the stack, and a helper that reads the stack, finds every byte written on this path.
//! - What the machine does not understand is a violation, too.
//!
//! Typed are the arguments of a program that are read as eight bytes, and whatever is loaded as eight bytes through a
//! typed pointer. Numbers among them do no harm: nobody follows them.

pub mod code;
pub mod helpers;
pub mod instruction;
pub mod liveness;
pub mod machine;
pub mod stack;
pub mod state;
mod values;

#[cfg(test)]
mod tests;

pub use code::Code;
pub use machine::{Findings, Rule, Violation};

use liveness::Liveness;
use machine::Machine;

/// The global of the object that is zero, which nobody writes and the verifier does not know.
pub const UNKNOWN_ZERO: &str = "ZERO";

/// Walks every program of the object.
///
/// # Errors
/// When the object cannot be read as one of BPF programs.
pub fn prove(object: &[u8]) -> Result<Vec<(String, Findings)>, String> {
    prove_some(object, |_| true)
}

/// As [`prove`], for the programs of which the name is wanted.
///
/// # Errors
/// As [`prove`].
pub fn prove_some(
    object: &[u8],
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Findings)>, String> {
    let code = Code::parse(object)?;
    let liveness = Liveness::of(&code);
    let walk = |program| Machine::new(&code, &liveness, program).run();
    let wanted = code.programs().filter(|program| wanted(&program.name));
    Ok(wanted
        .map(|program| (program.name.clone(), walk(program)))
        .collect())
}
