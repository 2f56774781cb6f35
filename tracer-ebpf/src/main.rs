//! The kernel half of sendtrace.
//!
//! One signal per file in [`hooks`]; every program walks the same line: read the flow and the stored owner,
//! then [`emit`] filters, limits, counts and submits. `kernel` alone reads kernel memory.
#![no_std]
#![no_main]
// The bpf target has no atomics in core::sync::atomic for lack of compare-and-swap on old kernels; the plain
// atomic add that every kernel has is only reachable as an intrinsic.
#![feature(core_intrinsics)]
#![allow(internal_features)]
// A map's key by value would be copied onto the stack first.
#![allow(clippy::needless_borrows_for_generic_args)]

mod emit;
mod hooks;
mod kernel;
mod maps;
mod owner;
mod packet;
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
