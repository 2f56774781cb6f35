//! The only place that reads kernel memory.
//!
//! `load!` reads through a typed pointer (an argument of a `tp_btf` program, or what another load gave) at
//! an offset that the verifier knows as a constant: it checks the type and the offset, a null or stale
//! pointer reads as 0, and the load costs what a load costs. `probe` is for pointers that carry no type.

use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user,
};
use core::mem::MaybeUninit;
use tracer_common::{TYPED_CALL, ability};

use crate::maps::config;

/// A pointer into the kernel whose type only the verifier knows.
pub type Ptr = *const u8;

/// `load!(pointer, field: type)` is `Some(value)`, or `None` when this kernel has no such field.
macro_rules! load {
    ($ptr:expr, $field:ident: $ty:ty) => {{
        // SAFETY: a read of a static that nobody writes after loading.
        let offset = unsafe { core::ptr::read_volatile(&raw const $crate::maps::OFFSETS.$field) };
        if offset == tracer_common::UNRESOLVED {
            None
        } else {
            // SAFETY: the verifier proves pointer, offset and size, or refuses the program.
            Some(unsafe {
                core::ptr::read_volatile(($ptr as *const u8).add(offset as usize) as *const $ty)
            })
        }
    }};
}
pub(crate) use load;

/// As `load!` by a probe read: for pointers that carry no type.
macro_rules! load_probed {
    ($ptr:expr, $field:ident: $ty:ty) => {{
        // SAFETY: a read of a static that nobody writes after loading.
        let offset = unsafe { core::ptr::read_volatile(&raw const $crate::maps::OFFSETS.$field) };
        if offset == tracer_common::UNRESOLVED {
            None
        } else {
            $crate::kernel::probe::<$ty>($ptr as u64 + offset as u64)
        }
    }};
}
pub(crate) use load_probed;

/// As `load_probed!`, but what cannot be read is 0.
macro_rules! load_or_zero {
    ($ptr:expr, $field:ident: $ty:ty) => {{
        // SAFETY: a read of a static that nobody writes after loading.
        let offset = unsafe { core::ptr::read_volatile(&raw const $crate::maps::OFFSETS.$field) };
        if offset == tracer_common::UNRESOLVED {
            None
        } else {
            Some($crate::kernel::probe_or_zero::<$ty>(
                $ptr as u64 + offset as u64,
            ))
        }
    }};
}
pub(crate) use load_or_zero;

/// As `load!` from the current task and what is reached from it: typed only where the kernel has
/// `bpf_get_current_task_btf`. A function that is made for one of the two says which. Either way what cannot be
/// read is 0: a branch for each failed read would double what the verifier has to look at.
macro_rules! load_task {
    ($ptr:expr, $field:ident: $ty:ty) => {
        $crate::kernel::load_task!(
            $crate::kernel::can(tracer_common::ability::CURRENT_TASK), $ptr, $field: $ty
        )
    };
    ($typed:expr, $ptr:expr, $field:ident: $ty:ty) => {
        if $typed {
            $crate::kernel::load!($ptr, $field: $ty)
        } else {
            $crate::kernel::load_or_zero!($ptr, $field: $ty)
        }
    };
}
pub(crate) use load_task;

/// Does this kernel give all of these abilities?
#[inline(always)]
pub fn can(abilities: u64) -> bool {
    config!(abilities) & abilities == abilities
}

/// As `load!` for a bit-field of one byte.
macro_rules! load_bits {
    ($ptr:expr, $field:ident) => {{
        // SAFETY: a read of a static that nobody writes after loading.
        let slot = unsafe { core::ptr::read_volatile(&raw const $crate::maps::OFFSETS.$field) };
        if slot == tracer_common::UNRESOLVED {
            None
        } else {
            // SAFETY: the verifier proves pointer, offset and size, or refuses the program.
            let byte = unsafe {
                core::ptr::read_volatile(($ptr as *const u8).add((slot & 0xffff) as usize))
            };
            let width = slot >> 24;
            let mask = if width == 0 || width >= 8 {
                0xff
            } else {
                (1u32 << width) - 1
            };
            Some(((byte as u32) >> ((slot >> 16) & 7)) & mask)
        }
    }};
}
pub(crate) use load_bits;

/// Reads `T` at an address without a type (`bpf_probe_read_kernel`, about 30 ns).
#[inline(always)]
pub fn probe<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes `size_of::<T>()` bytes or fails.
    let result = unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const _,
        )
    };
    // SAFETY: written in full when the helper returned 0.
    (result == 0).then(|| unsafe { value.assume_init() })
}

/// A type of which all zeroes are a value.
///
/// # Safety
/// They are.
pub unsafe trait Zero: Copy {}
// SAFETY: numbers, a raw pointer, and arrays of numbers.
unsafe impl Zero for u32 {}
// SAFETY: as above.
unsafe impl Zero for u64 {}
// SAFETY: as above.
unsafe impl Zero for Ptr {}
// SAFETY: as above.
unsafe impl<T: Zero, const N: usize> Zero for [T; N] {}

/// As [`probe`], all zeroes where nothing can be read.
#[inline(always)]
pub fn probe_or_zero<T: Zero>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes all of it: zeroes, when it fails.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const _,
        );
        value.assume_init()
    }
}

/// Reads `T` from the memory of the current process (`bpf_probe_read_user`).
#[inline(always)]
pub fn probe_user<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes `size_of::<T>()` bytes or fails.
    let result = unsafe {
        bpf_probe_read_user(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const _,
        )
    };
    // SAFETY: written in full when the helper returned 0.
    (result == 0).then(|| unsafe { value.assume_init() })
}

/// Gives the structure at an address its type (`bpf_rdonly_cast`, a number of the kernel's BTF): for programs
/// whose arguments carry none. What is read through it reads as 0 when the address is stale, as with `load!`
/// everywhere; the verifier does not trust it enough for helpers.
#[inline(always)]
pub fn typed(address: u64, btf_type: u64) -> Ptr {
    // SAFETY: the loader puts the kernel's function in the place of this number; see `TYPED_CALL`.
    unsafe {
        let cast: unsafe extern "C" fn(u64, u64) -> u64 = core::mem::transmute(TYPED_CALL as usize);
        cast(address, btf_type) as Ptr
    }
}

/// Clears a place word by word: the compiler's memset is a loop over bytes here.
#[inline(always)]
pub fn clear<T: tracer_common::Wire>(place: &mut T) {
    const { assert!(size_of::<T>().is_multiple_of(8)) };
    let words = core::ptr::from_mut(place).cast::<u64>();
    let mut index = 0;
    while index < size_of::<T>() / 8 {
        // SAFETY: inside the place, which lies on a multiple of 8 in every record and map; all zeroes are
        // valid for a wire type.
        unsafe { core::ptr::write_volatile(words.add(index), 0) };
        index += 1;
    }
}

/// Copies a place word by word, for the same reason; both sides keep their order, see [`crate::owner`].
#[inline(always)]
pub fn copy<T: tracer_common::Wire>(to: &mut T, from: *const T) {
    const { assert!(size_of::<T>().is_multiple_of(8)) };
    let (to, from) = (core::ptr::from_mut(to).cast::<u64>(), from.cast::<u64>());
    let mut index = 0;
    while index < size_of::<T>() / 8 {
        // SAFETY: inside both places, which lie on multiples of 8; every bit pattern is valid.
        unsafe {
            let word = core::ptr::read_volatile(from.add(index));
            core::ptr::write_volatile(to.add(index), word);
        }
        index += 1;
    }
}

/// 16 bytes (an address, a name) as the words that they are moved in.
pub type Words = [u32; 4];

/// Puts 16 bytes into their place in a record, which lies on a multiple of 4.
#[inline(always)]
pub fn put(to: &mut [u8; 16], words: Words) {
    let place = to.as_mut_ptr().cast::<u32>();
    let mut index = 0;
    while index < 4 {
        // SAFETY: inside the place, and aligned.
        unsafe { core::ptr::write_volatile(place.add(index), words[index]) };
        index += 1;
    }
}

/// The task that runs now, for `load_task!`. In a softirq that is a stranger: only for hooks in process context.
#[inline(always)]
pub fn current_task() -> Ptr {
    if can(ability::CURRENT_TASK) {
        // SAFETY: the helper has no arguments and cannot fail.
        unsafe { bpf_get_current_task_btf() as Ptr }
    } else {
        // SAFETY: as above.
        unsafe { bpf_get_current_task() as Ptr }
    }
}
