//! The only place that reads kernel memory.
//!
//! `load!` reads a number through a typed pointer (an argument of a `tp_btf` program, or what [`load_ptr!`]
//! gave) at an offset that the verifier knows as a constant: it checks the type and the offset, and the load
//! costs what a load costs. `probe` is for pointers that carry no type.
//!
//! # Null
//!
//! Most typed loads have an exception entry, through which a null or stale pointer reads as 0. Loads through a
//! pointer that the verifier *trusts* have none: a null pointer there is a kernel panic. Which pointers are
//! trusted differs by kernel: the arguments of `tp_btf` programs since 6.3 (and in RHEL since 9.4), and some
//! fields (`socket.sk`, `file.f_inode`, `task.group_leader`). Those kernels also take a trusted pointer for never
//! null and delete a comparison of it with the constant 0, although the tracepoints `kfree_skb` and
//! `tcp_send_reset` pass null (CVE-2025-21852; later kernels mark such arguments `__nullable`). So a pointer can
//! only be had through [`Arg::get`] and [`load_ptr!`], which decide with [`non_null`] on the value as a number.
//! A test over the object file follows every program and proves it.

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{
        bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user,
    },
};
use core::mem::MaybeUninit;
use tracer_common::{TYPED_CALL, ability};

use crate::maps::{ZERO, config};

/// A pointer into the kernel whose type only the verifier knows. Not null, unless a comment says otherwise.
pub type Ptr = *const u8;

/// Numbers, and arrays of them, that can be loaded from a field. Pointers are not among them: [`load_ptr!`].
///
/// # Safety
/// All bit patterns are values.
pub unsafe trait Number: Copy {}
// SAFETY: every bit pattern is a value of an integer.
unsafe impl Number for u8 {}
// SAFETY: as for u8.
unsafe impl Number for u16 {}
// SAFETY: as for u8.
unsafe impl Number for u32 {}
// SAFETY: as for u8.
unsafe impl Number for u64 {}
// SAFETY: an array has no padding of its own.
unsafe impl<T: Number, const N: usize> Number for [T; N] {}

/// A pointer argument of a program, as the kernel passed it: it may be null, whatever the verifier believes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Arg(Ptr);

impl Arg {
    /// Stands for an argument that this form of the hook does not have.
    pub const NONE: Self = Self(core::ptr::null());

    /// The pointer, `None` when the kernel passed null.
    #[inline(always)]
    pub fn get(self) -> Option<Ptr> {
        non_null(self.0)
    }

    /// The address alone, which says which object it is; nothing can be read through it.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }
}

/// What a program can take as an argument.
pub trait Argument {
    fn from_register(value: u64) -> Self;
}

impl Argument for Arg {
    #[inline(always)]
    fn from_register(value: u64) -> Self {
        Self(value as Ptr)
    }
}

macro_rules! number_argument {
    ($($ty:ty),*) => {$(
        impl Argument for $ty {
            #[inline(always)]
            fn from_register(value: u64) -> Self {
                value as Self
            }
        }
    )*};
}
number_argument!(i32, u32, i64, u64);

/// The `n`th argument of a `tp_btf` or fexit program (the result of a function follows its last argument), or the
/// `n`th word of an iterator's context. Read once: the verifier forgets of a second read what it learnt of the first.
#[inline(always)]
pub fn arg<T: Argument>(ctx: &impl EbpfContext, n: usize) -> T {
    // SAFETY: the kernel passes an array of words, and the verifier checks the index.
    T::from_register(unsafe { core::ptr::read_volatile(ctx.as_ptr().cast::<u64>().add(n)) })
}

/// Decides whether a typed pointer is null in a way that no verifier can decide beforehand: it is compared with a
/// zero of which the verifier does not know that it is one. The second comparison, with the constant 0, is for
/// verifiers that mark the pointer as nullable and want to see just that; the others delete it.
#[inline(always)]
pub fn non_null(ptr: Ptr) -> Option<Ptr> {
    // SAFETY: a read of a static that nobody writes.
    let zero = unsafe { core::ptr::read_volatile(&raw const ZERO) };
    if ptr as u64 == zero {
        return None;
    }
    let mut ptr = ptr;
    // SAFETY: copies a register to itself. The compiler must not know that this is the pointer that was compared: it
    // would put the comparison that may be deleted before the one that decides, or leave one of them out.
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) ptr, options(nomem, nostack, preserves_flags));
    }
    if ptr.is_null() {
        return None;
    }
    Some(ptr)
}

/// Loads a number through a typed pointer.
///
/// # Safety
/// The verifier proves pointer, offset and size, or refuses the program; `ptr` was found to be not null.
#[inline(always)]
pub unsafe fn read<T: Number>(ptr: Ptr, offset: u32) -> T {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::read_volatile(ptr.add(offset as usize).cast::<T>()) }
}

/// `load!(pointer, field: type)` is `Some(number)`, or `None` when this kernel has no such field.
macro_rules! load {
    ($ptr:expr, $field:ident: $ty:ty) => {{
        const { assert!(tracer_common::form::$field.is_loaded_by(size_of::<$ty>())) };
        // SAFETY: a read of a static that nobody writes after loading.
        let offset = unsafe { core::ptr::read_volatile(&raw const $crate::maps::OFFSETS.$field) };
        if offset == tracer_common::UNRESOLVED {
            None
        } else {
            // SAFETY: the verifier proves pointer, offset and size, or refuses the program.
            Some(unsafe { $crate::kernel::read::<$ty>($ptr, offset) })
        }
    }};
}
pub(crate) use load;

/// `load_ptr!(pointer, field)` is the pointer in a field, `None` when it is null or this kernel has no such field.
macro_rules! load_ptr {
    ($ptr:expr, $field:ident) => {
        match $crate::kernel::load!($ptr, $field: u64) {
            Some(address) => $crate::kernel::non_null(address as $crate::kernel::Ptr),
            None => None,
        }
    };
}
pub(crate) use load_ptr;

/// As `load!` by a probe read: for pointers that carry no type.
macro_rules! load_probed {
    ($ptr:expr, $field:ident: $ty:ty) => {{
        const { assert!(tracer_common::form::$field.is_loaded_by(size_of::<$ty>())) };
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
        const { assert!(tracer_common::form::$field.is_loaded_by(size_of::<$ty>())) };
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

/// As `load_ptr!` from the current task and what is reached from it.
macro_rules! load_task_ptr {
    ($ptr:expr, $field:ident) => {
        $crate::kernel::load_task_ptr!(
            $crate::kernel::can(tracer_common::ability::CURRENT_TASK), $ptr, $field
        )
    };
    ($typed:expr, $ptr:expr, $field:ident) => {
        match $crate::kernel::load_task!($typed, $ptr, $field: u64) {
            Some(address) => $crate::kernel::non_null(address as $crate::kernel::Ptr),
            None => None,
        }
    };
}
pub(crate) use load_task_ptr;

/// Does this kernel give all of these abilities?
#[inline(always)]
pub fn can(abilities: u64) -> bool {
    config!(abilities) & abilities == abilities
}

/// As `load!` for a bit-field of one byte.
macro_rules! load_bits {
    ($ptr:expr, $field:ident) => {{
        const { assert!(tracer_common::form::$field.is_bits()) };
        // SAFETY: a read of a static that nobody writes after loading.
        let slot = unsafe { core::ptr::read_volatile(&raw const $crate::maps::OFFSETS.$field) };
        if slot == tracer_common::UNRESOLVED {
            None
        } else {
            // SAFETY: the verifier proves pointer, offset and size, or refuses the program.
            let byte = unsafe { $crate::kernel::read::<u8>($ptr, slot & 0xffff) };
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

/// As [`probe`], all zeroes where nothing can be read.
#[inline(always)]
pub fn probe_or_zero<T: Number>(address: u64) -> T {
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

/// Copies a place word by word, for the same reason.
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
