//! Walks the open files of all tasks (`iter/task_file`): seeds the owners of sockets that are older than
//! the tracer, and tells user space on demand who holds which socket.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_seq_write, bpf_sock_from_file},
};
use tracer_common::{Holder, Owner, ability, grade};

use crate::{
    kernel::{self, Arg, Ptr, arg, can, load, load_probed, load_ptr, non_null},
    owner::{self, by_address},
    socket,
};

/// `SOCKFS_MAGIC` of linux/magic.h.
const SOCKFS_MAGIC: u64 = 0x534f_434b;

/// `struct bpf_iter__task_file`, each member of which takes a word.
pub(super) struct TaskFile(pub(super) *mut c_void);

impl EbpfContext for TaskFile {
    fn as_ptr(&self) -> *mut c_void {
        self.0
    }
}

/// One open file of one task; every socket gives one [`Holder`].
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn open_sockets(ctx: *mut c_void) -> i32 {
    let ctx = TaskFile(ctx);
    // struct bpf_iter_meta *meta, struct task_struct *task, u32 fd, struct file *file
    open_file(arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2), arg(&ctx, 3))
}

#[inline(never)]
fn open_file(meta: Arg, task: Arg, fd: u32, file: Arg) -> i32 {
    // At the end of the walk there is neither a task nor a file.
    let (Some(meta), Some(task), Some(file)) = (meta.get(), task.get(), file.get()) else {
        return 0;
    };
    owner::this_is_the_tracer();
    let inode = load_ptr!(file, file_inode)
        .and_then(
            #[inline(always)]
            |inode| load!(inode, inode_ino: u64),
        )
        .unwrap_or(0);
    let mut place = MaybeUninit::uninit();
    let owner = owner::nobody(&mut place);
    let cookie = if can(ability::SOCKET_FROM_FILE) {
        // SAFETY: the helper tells sockets from other files.
        let sock = unsafe { bpf_sock_from_file(file as *mut _) } as Ptr;
        if sock.is_null() {
            return 0;
        }
        let Some(sk) = load_ptr!(sock, socket_sk) else {
            return 0;
        };
        if !describe(task, owner) {
            return 0;
        }
        if socket::is_ip(socket::family(sk)) {
            owner::store(sk, owner, false);
        }
        socket::cookie(sk)
    } else {
        let Some(sk) = sock_of(file) else {
            return 0;
        };
        if !describe(task, owner) {
            return 0;
        }
        let cookie = load_probed!(sk, sk_cookie: u64).unwrap_or(0);
        let sock_type = load_probed!(sk, sk_type: u16).unwrap_or(0);
        let protocol = load_probed!(sk, sk_protocol: u16)
            .or_else(|| load_probed!(sk, sk_protocol_byte: u8).map(u16::from))
            .unwrap_or(0);
        let ip = socket::is_ip(load_probed!(sk, sk_family: u16).unwrap_or(0));
        // Storage takes a socket whose type the verifier knows; an address is a number.
        if ip && !can(ability::SOCKET_STORAGE) {
            let id = by_address::Identity {
                address: sk,
                cookie,
                inode,
                kept: by_address::may_keep(sock_type, protocol),
            };
            by_address::write(&id, owner, false);
        }
        cookie
    };
    let holder = Holder {
        cookie,
        inode,
        owner: *owner,
        fd,
        pad: 0,
    };
    // SAFETY: `struct bpf_iter_meta` starts with the sequence file, which the helper wants as it was loaded.
    let Some(seq) = non_null(unsafe { kernel::read::<u64>(meta, 0) } as Ptr) else {
        return 0;
    };
    // SAFETY: the sequence file comes from the context; the data is this stack's.
    unsafe {
        bpf_seq_write(
            seq as *mut _,
            (&raw const holder).cast_mut().cast(),
            size_of::<Holder>() as u32,
        );
    }
    0
}

/// Describes a process that has the socket open, not a kernel thread.
#[inline(always)]
fn describe(task: Ptr, owner: &mut Owner) -> bool {
    owner::describe(task, grade::SEEDED, owner);
    owner.grade == grade::SEEDED
}

/// The `struct sock` behind a file, as a number: the file lies in the file system of sockets, and the socket
/// that it names is that of this very file. (A descriptor opened with O_PATH names none.)
#[inline(always)]
fn sock_of(file: Ptr) -> Option<u64> {
    let inode = load_ptr!(file, file_inode)?;
    let sb = load_ptr!(inode, inode_sb)?;
    if load!(sb, sb_magic: u64)? != SOCKFS_MAGIC {
        return None;
    }
    let socket = load!(file, file_private: u64)?;
    if socket == 0 || load_probed!(socket, socket_file: u64)? != file as u64 {
        return None;
    }
    load_probed!(socket, socket_sk: u64).filter(|sk| *sk != 0)
}
