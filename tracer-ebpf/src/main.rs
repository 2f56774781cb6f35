//! The BPF programs of sendtrace.
//!
//! One event kind per file in [`hooks`]; every program walks the same line: read the flow and the stored owner,
//! then [`emit`] filters, limits, counts and submits. `kernel` alone reads kernel memory.
#![no_std]
#![no_main]
// The bpf target has no atomics in core::sync::atomic for lack of compare-and-swap on old kernels; the plain
// atomic add that every kernel has is only reachable as an intrinsic.
#![feature(core_intrinsics)]
// A move in assembly hides from the compiler what a comparison has shown, see `kernel::non_null`.
#![feature(asm_experimental_arch)]
// What fills a record must not become a function, see below.
#![feature(stmt_expr_attributes)]
#![allow(internal_features)]
#![deny(clippy::disallowed_methods)]
// A map's key by value would be copied onto the stack first.
#![allow(clippy::needless_borrows_for_generic_args)]

// A program that calls functions of its own must not read through typed pointers before it calls one: its whole
// work is done by the first. On kernels that lack "bpf: ensure main program has an extable" (6.4, and what was
// back-ported since) a null pointer in the main function of such a program brings the kernel down, where it
// should read as 0. A test of the loader keeps those main functions short. What the programs say of themselves takes
// calls, so their work is a function in the object that has it (`feature = "debug"`).
mod debug;
mod emit;
mod hooks;
mod kernel;
mod maps;
mod mptcp;
mod owner;
mod packet;
mod peers;
mod socket;
mod syscall;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // Unreachable: the verifier refuses a program that could get here.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
