//! Walks the open files of all tasks (`iter/task_file`): seeds the owners of sockets that are older than
//! the tracer, and tells user space on demand who holds which socket.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_seq_write, bpf_sock_from_file};
use tracer_common::{Holder, grade};

use crate::{
    kernel::{Ptr, load},
    owner, socket,
};

/// `struct bpf_iter_meta`.
#[repr(C)]
struct Meta {
    seq: Ptr,
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub struct TaskFile {
    meta: *const Meta,
    task: Ptr,
    fd: u32,
    file: Ptr,
}

/// One open file of one task; every socket gives one [`Holder`].
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn open_sockets(ctx: *const TaskFile) -> i32 {
    // SAFETY: the kernel passes a context of this shape.
    let (meta, task, fd, file) = unsafe { ((*ctx).meta, (*ctx).task, (*ctx).fd, (*ctx).file) };
    if task.is_null() || file.is_null() {
        return 0;
    }
    // SAFETY: the helper tells sockets from other files.
    let sock = unsafe { bpf_sock_from_file(file as *mut _) } as Ptr;
    if sock.is_null() {
        return 0;
    }
    let Some(sk) = load!(sock, socket_sk: Ptr) else {
        return 0;
    };
    if sk.is_null() {
        return 0;
    }
    let mut place = MaybeUninit::uninit();
    let owner = owner::nobody(&mut place);
    owner::describe(task, grade::SEEDED, owner);
    if owner.grade != grade::SEEDED {
        return 0;
    }
    if socket::is_ip(socket::family(sk)) {
        owner::store(sk, owner, false);
    }
    let holder = Holder {
        cookie: socket::cookie(sk),
        inode: load!(file, file_inode: Ptr)
            .and_then(|inode| load!(inode, inode_ino: u64))
            .unwrap_or(0),
        owner: *owner,
        fd,
        pad: 0,
    };
    // SAFETY: the sequence file comes from the context; the data is this stack's.
    unsafe {
        bpf_seq_write(
            (*meta).seq as *mut _,
            (&raw const holder).cast_mut().cast(),
            size_of::<Holder>() as u32,
        );
    }
    0
}
