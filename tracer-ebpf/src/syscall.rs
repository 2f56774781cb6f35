//! What the caller asked for: read from the registers of the system call, and only when it failed.
//!
//! `pt_regs` of the current task still hold the arguments while a system call runs, and tell that it does: on
//! x86-64 `ax` holds `-ENOSYS` until it returns (`syscall_enter_from_user_mode`), on arm64 the first argument
//! lies where the result will (`orig_x0` keeps a copy). So nothing has to be attached to the entry of system
//! calls, which would cost every call of the host. Work that runs on the way back to user space (io_uring)
//! meets another value there (arm64 forgets the number before it), and the file descriptor must lead to the
//! very socket: otherwise unknown. So are 32-bit callers, whose calls have other numbers. Which registers and
//! numbers these are is decided by user space ([`SystemCalls`]); on any other processor everything here is
//! unknown.

use aya_ebpf::helpers::generated::bpf_task_pt_regs;
use tracer_common::{NO_U64, SystemCalls, ability};

use crate::{
    debug::debug,
    kernel::{Ptr, can, load, load_probed, load_task, load_task_ptr, probe, probe_user},
    maps::config,
    owner::is_kernel_thread,
};

/// How many parts of a message are added up.
const MAX_PARTS: u64 = 8;

/// The caller's view of one send. Always a whole value, never an `Option`: the compiler copies the undefined inside
/// of a `None`, and some kernels refuse a program that reads stack which it has not written (RHEL 9.4).
#[derive(Clone, Copy)]
pub struct Request {
    /// Whether the request could be told for sure; else all else is as in [`Request::UNKNOWN`].
    pub visible: bool,
    /// Bytes to send, [`NO_U64`] when not visible.
    pub bytes: u64,
    /// User address of the destination, 0 when none was named.
    pub name: u64,
    /// Its length.
    pub name_len: u32,
}

impl Request {
    /// Nothing is visible of it.
    pub const UNKNOWN: Self = Self {
        visible: false,
        bytes: NO_U64,
        name: 0,
        name_len: 0,
    };
}

/// Can the send that returned `sent` bytes have been partial? Only where the send buffer was full, of which a
/// good part is either still queued or was filled by this very send. A yes is checked with [`request`].
#[inline(always)]
pub fn may_be_partial(sk: Ptr, sent: u32) -> bool {
    let Some(queued) = load!(sk, sk_wmem_queued: u32) else {
        return false;
    };
    let Some(room) = load!(sk, sk_sndbuf: u32) else {
        return false;
    };
    queued >= room / 4 || sent >= room / 4
}

/// A saved register: its place has a type only where the kernel's own helper found it.
macro_rules! reg {
    ($regs:expr, $field:ident) => {
        reg!($regs, $field: u64)
    };
    ($regs:expr, $field:ident: $ty:ty) => {
        if can(ability::TASK_REGISTERS) {
            load!($regs, $field: $ty)
        } else {
            load_probed!($regs, $field: $ty)
        }
    };
}

/// The registers that a user task saved when it entered the kernel: at the top of its kernel stack
/// (`task_pt_regs`). Without the helper the top is found by its distance; what is then read is trusted as
/// little as ever, see [`request`].
#[inline(always)]
fn registers(task: Ptr) -> Option<Ptr> {
    if can(ability::TASK_REGISTERS) {
        // SAFETY: a user task; the helper returns its saved registers.
        return Some(unsafe { bpf_task_pt_regs(task as *mut _) } as Ptr);
    }
    let offset = config!(registers_offset);
    if offset == 0 {
        return None;
    }
    let stack = load_task!(task, task_stack: u64)?;
    Some((stack + offset) as Ptr)
}

/// Reads the request of the send on `sk` that `task`, the current one, makes.
#[inline(always)]
pub fn request(task: Ptr, sk: Ptr) -> Request {
    let mut request = Request::UNKNOWN;
    read(task, sk, &mut request);
    request
}

/// Fills the request, and marks it as visible, once all of it is known.
#[inline(always)]
fn read(task: Ptr, sk: Ptr, request: &mut Request) -> Option<()> {
    if is_kernel_thread(task) {
        return None;
    }
    let regs = registers(task)?;
    let number = running_call(regs)?;
    let first = reg!(regs, regs_arg0)?;
    let second = reg!(regs, regs_arg1)?;
    let third = reg!(regs, regs_arg2)?;
    let is_splice = number == config!(calls.splice);
    if !descriptor_is(task, if is_splice { third } else { first } as u32, sk) {
        debug!("registers: system call {} is on another file", number);
        return None;
    }
    if is_splice || number == config!(calls.sendfile) {
        // One call may take several sends, so its size is not theirs; but none of them names a destination.
    } else if number == config!(calls.write) {
        request.bytes = third;
    } else if number == config!(calls.writev) || number == config!(calls.pwritev2) {
        request.bytes = sum_parts(second, third);
    } else if number == config!(calls.sendto) {
        let name = reg!(regs, regs_arg4)?;
        request.name_len = reg!(regs, regs_arg5)? as u32;
        request.name = name;
        request.bytes = third;
    } else if number == config!(calls.sendmsg)
        // Of several messages it is not visible which one failed.
        || (number == config!(calls.sendmmsg) && third as u32 == 1)
    {
        message(second, request)?;
    } else {
        debug!("registers: system call {} is no send", number);
        return None;
    }
    request.visible = true;
    Some(())
}

/// The number of the system call that a user task with these registers is in.
#[inline(always)]
fn running_call(regs: Ptr) -> Option<u64> {
    if reg!(regs, regs_mode)? & config!(calls.mode_mask) != config!(calls.user_mode) {
        debug!("registers: not those of a 64-bit process");
        return None;
    }
    let running = match config!(calls.running) {
        SystemCalls::ARGUMENT => reg!(regs, regs_arg0)?,
        value => value,
    };
    if reg!(regs, regs_running)? != running {
        debug!("registers: no system call is running");
        return None;
    }
    Some(reg!(regs, regs_number: u32)? as u64)
}

/// Is `task`, the current one, in connect(2)?
#[inline(always)]
pub fn is_in_connect(task: Ptr) -> bool {
    if is_kernel_thread(task) {
        return false;
    }
    match registers(task) {
        Some(regs) => running_call(regs) == Some(config!(calls.connect)),
        None => false,
    }
}

/// What the current task called connect(2) with, on its way out of it. A whole value for the reason of [`Request`].
#[derive(Clone, Copy)]
pub struct Connect {
    /// Address of the `struct socket`, 0 when it is not known.
    pub socket: u64,
    /// User address of the destination.
    pub name: u64,
    /// Its length.
    pub name_len: u32,
}

/// Reads them; the result has taken the place of the first argument where [`SystemCalls::ARGUMENT`] says that there
/// is a copy.
#[inline(always)]
pub fn connect(task: Ptr) -> Connect {
    let mut call = Connect {
        socket: 0,
        name: 0,
        name_len: 0,
    };
    read_connect(task, &mut call);
    call
}

#[inline(always)]
fn read_connect(task: Ptr, call: &mut Connect) -> Option<()> {
    let regs = registers(task)?;
    let fd = match config!(calls.running) {
        SystemCalls::ARGUMENT => reg!(regs, regs_running)?,
        _ => reg!(regs, regs_arg0)?,
    };
    call.name = reg!(regs, regs_arg1)?;
    call.name_len = reg!(regs, regs_arg2)? as u32;
    call.socket = socket_of(task, fd as u32);
    Some(())
}

/// `struct user_msghdr`: name, namelen, iov, iovlen.
#[inline(always)]
fn message(address: u64, request: &mut Request) -> Option<()> {
    let header = probe_user::<[u64; 4]>(address)?;
    request.bytes = sum_parts(header[2], header[3]);
    request.name = header[0];
    request.name_len = if header[0] == 0 { 0 } else { header[1] as u32 };
    Some(())
}

/// Adds up the lengths of an iovec.
#[inline(always)]
fn sum_parts(address: u64, count: u64) -> u64 {
    if count > MAX_PARTS {
        return NO_U64;
    }
    let mut sum = 0u64;
    let mut index = 0u64;
    while index < MAX_PARTS {
        if index >= count {
            break;
        }
        match probe_user::<u64>(address + index * 16 + 8) {
            Some(len) => sum = sum.wrapping_add(len),
            None => return NO_U64,
        }
        index += 1;
    }
    sum
}

/// Does file descriptor `fd` of the task lead to this socket?
#[inline(always)]
fn descriptor_is(task: Ptr, fd: u32, sk: Ptr) -> bool {
    let Some(socket) = load!(sk, sk_socket: u64) else {
        return false;
    };
    socket != 0 && socket_of(task, fd) == socket
}

/// Address of the `struct socket` that file descriptor `fd` of the task leads to, if it leads to a socket; 0 when
/// that cannot be read.
#[inline(always)]
fn socket_of(task: Ptr, fd: u32) -> u64 {
    // SAFETY: a read of a static that nobody writes after loading.
    let private = unsafe { core::ptr::read_volatile(&raw const crate::maps::OFFSETS.file_private) };
    let Some(files) = load_task_ptr!(task, task_files) else {
        return 0;
    };
    let Some(table) = load_task_ptr!(files, files_fdt) else {
        return 0;
    };
    let Some(max) = load_task!(table, fdt_max_fds: u32) else {
        return 0;
    };
    let Some(array) = load_task!(table, fdt_fd: u64) else {
        return 0;
    };
    if private == tracer_common::UNRESOLVED || fd >= max {
        return 0;
    }
    match probe::<u64>(array + fd as u64 * 8) {
        Some(file) if file != 0 => probe::<u64>(file + private as u64).unwrap_or(0),
        _ => 0,
    }
}
