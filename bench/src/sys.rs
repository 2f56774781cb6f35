//! bpf(2), which no safe crate offers in this form: empty programs, statistics, and what the kernel says of
//! a program. The only file here with `unsafe`.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

/// Commands of bpf(2), `enum bpf_cmd` of `linux/bpf.h`.
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const BPF_ENABLE_STATS: libc::c_int = 32;

const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_RAW_TP: u32 = 23;
const BPF_STATS_RUN_TIME: u32 = 0;

/// `r0 = 0` and `exit`, as `struct bpf_insn`: what a program that returns at once compiles to.
const RETURN_ZERO: [u64; 2] = [0xb7, 0x95];

/// What the empty programs are called, in `bpftool prog` for example.
pub const EMPTY_NAME: &str = "empty_twin";

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log: [u32; 4],
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

#[repr(C)]
struct OpenAttr {
    name: u64,
    prog_fd: u32,
    pad: u32,
}

#[repr(C)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// `struct bpf_prog_info`, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Info {
    head: [u32; 6],
    _instructions: [u64; 2],
    _load_time: u64,
    _created_by_uid: u32,
    _nr_map_ids: u32,
    _map_ids: u64,
    name: [u8; 16],
    _ifindex: u32,
    _flags: u32,
    _netns: [u64; 2],
    _nr_jited: [u32; 2],
    _jited: [u64; 2],
    _btf_id: u32,
    _func_info_rec_size: u32,
    _func_info: u64,
    _nr_func_info: u32,
    _nr_line_info: u32,
    _line_info: [u64; 2],
    _nr_jited_line_info: u32,
    _line_info_rec_size: [u32; 2],
    _nr_prog_tags: u32,
    _prog_tags: u64,
    run_time_ns: u64,
    run_cnt: u64,
    _recursion_misses: u64,
    _verified_insns: u32,
    _attach_btf_obj_id: u32,
    attach_btf_id: u32,
    _pad: u32,
}

const _: () = assert!(size_of::<Info>() == 232);

/// What the kernel says of a loaded program.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name, which the kernel cuts to 15 bytes.
    pub name: String,
    /// The type of its hook in the kernel's BTF; 0 when it has none.
    pub hook: u32,
    pub cost: Cost,
}

/// The kernel's statistics of one program since it was loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Time in it, with the two clock reads of the statistics themselves, nanoseconds.
    pub time_ns: u64,
    pub runs: u64,
}

/// An attached program that does nothing. Detached when dropped.
pub struct Empty {
    program: OwnedFd,
    _link: OwnedFd,
}

impl Empty {
    /// Attaches one to a typed tracepoint, given by its type in the kernel's BTF.
    pub fn attach(hook: u32) -> io::Result<Self> {
        let mut prog_name = [0; 16];
        prog_name[..EMPTY_NAME.len()].copy_from_slice(EMPTY_NAME.as_bytes());
        let mut load = LoadAttr {
            prog_type: BPF_PROG_TYPE_TRACING,
            insn_cnt: RETURN_ZERO.len() as u32,
            insns: RETURN_ZERO.as_ptr() as u64,
            license: c"Dual MIT/GPL".as_ptr() as u64,
            prog_name,
            expected_attach_type: BPF_TRACE_RAW_TP,
            attach_btf_id: hook,
            ..LoadAttr::default()
        };
        let program = descriptor(bpf(BPF_PROG_LOAD, &mut load)?);
        let mut open = OpenAttr {
            name: 0,
            prog_fd: program.as_raw_fd() as u32,
            pad: 0,
        };
        let link = descriptor(bpf(BPF_RAW_TRACEPOINT_OPEN, &mut open)?);
        Ok(Self {
            program,
            _link: link,
        })
    }

    /// What it has cost since it was attached: nothing but the measurement itself.
    pub fn cost(&self) -> io::Result<Cost> {
        info(self.program.as_raw_fd()).map(|program| program.cost)
    }
}

/// Lets the kernel measure programs until the result is dropped.
pub fn measure_programs() -> io::Result<OwnedFd> {
    let mut kind = BPF_STATS_RUN_TIME;
    bpf(BPF_ENABLE_STATS, &mut kind).map(descriptor)
}

/// What the kernel says of the program behind a descriptor.
pub fn info(program: RawFd) -> io::Result<Program> {
    let mut info = Info::default();
    let mut attr = InfoAttr {
        bpf_fd: program as u32,
        info_len: size_of::<Info>() as u32,
        info: (&raw mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    let end = info
        .name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(info.name.len());
    Ok(Program {
        name: String::from_utf8_lossy(&info.name[..end]).into_owned(),
        hook: if info.head[0] == BPF_PROG_TYPE_TRACING {
            info.attach_btf_id
        } else {
            0
        },
        cost: Cost {
            time_ns: info.run_time_ns,
            runs: info.run_cnt,
        },
    })
}

fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<RawFd> {
    // SAFETY: `attr` is as long as the size that goes with it; the addresses in it point to live memory, which
    // the kernel reads, and to one `Info`, which it fills.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, (&raw mut *attr), size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as RawFd)
    }
}

fn descriptor(fd: RawFd) -> OwnedFd {
    // Nothing that bpf(2) opens survives execve(2).
    // SAFETY: the kernel has just made it for us; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
