//! Raw bpf(2): programs that refuse sends with an errno of their own, and lists of what the kernel has
//! loaded. Written by hand, so that the tests do not depend on the library that they test.

use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::{btf, sys};

const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_GET_NEXT_ID: i32 = 11;
const BPF_MAP_GET_NEXT_ID: i32 = 12;
const BPF_LINK_GET_NEXT_ID: i32 = 31;
const BPF_RAW_TRACEPOINT_OPEN: i32 = 17;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_CGROUP_SKB: u32 = 8;
const BPF_PROG_TYPE_CGROUP_SOCK_ADDR: u32 = 18;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_CGROUP_INET_INGRESS: u32 = 0;
const BPF_CGROUP_INET_EGRESS: u32 = 1;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
const BPF_CGROUP_UDP4_SENDMSG: u32 = 14;
const BPF_CGROUP_UDP6_SENDMSG: u32 = 15;
const BPF_MODIFY_RETURN: u32 = 26;
const BPF_FUNC_GET_CURRENT_PID_TGID: i32 = 14;
const BPF_FUNC_SET_RETVAL: i32 = 187;

/// A cgroup (v2) that the test made; removed when dropped, once its processes are gone.
pub struct Cgroup {
    path: PathBuf,
    /// As the contract names it: relative to the mount.
    pub name: String,
}

impl Cgroup {
    /// A directory below the cgroup2 mount; `None` where there is none.
    pub fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let (point, kind) = (words.nth(1)?, words.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(point))
        })?;
        let name = format!(
            "sx-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = mount.join(&name);
        fs::create_dir(&path).ok()?;
        Some(Self {
            path,
            name: format!("/{name}"),
        })
    }

    /// Moves a process into the cgroup.
    pub fn add(&self, pid: u32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
            .expect("a process moves into the cgroup");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A killed process leaves its cgroup a moment after wait(2).
        for _ in 0..200 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = writeln!(std::io::stderr(), "{} is left behind", self.path.display());
    }
}

#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
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
#[derive(Default)]
struct OpenAttr {
    name: u64,
    prog_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    /// Replaced program, and where among others: nowhere in particular.
    others: [u64; 2],
}

#[repr(C)]
#[derive(Default)]
struct NextIdAttr {
    start_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Packets above a length that a program on an interface (tcx) drops: on their way out, or in.
///
/// Other packets than IP's (ARP, neighbour discovery is short) pass. The program goes with the interface.
pub fn drop_on_interface(interface: u32, out: bool, longer_than: i32) -> Result<()> {
    let program = [
        // r0 = skb->len
        Instruction {
            code: 0x61,
            registers: 0x10,
            offset: 0,
            immediate: 0,
        },
        // if r0 > longer_than skip the next two
        Instruction {
            code: 0x25,
            registers: 0,
            offset: 2,
            immediate: longer_than,
        },
        // TCX_NEXT
        set(0, -1),
        EXIT,
        // TCX_DROP
        set(0, 2),
        EXIT,
    ];
    let loaded = load(BPF_PROG_TYPE_SCHED_CLS, 0, &program)?;
    attach(
        interface,
        &loaded,
        if out { BPF_TCX_EGRESS } else { BPF_TCX_INGRESS },
    )
}

/// A program on the cgroup throws away every packet of its sockets: on their way out, or in.
pub fn drop_of_cgroup(cgroup: &Cgroup, out: bool) -> Result<()> {
    let attach_type = if out {
        BPF_CGROUP_INET_EGRESS
    } else {
        BPF_CGROUP_INET_INGRESS
    };
    let loaded = load(BPF_PROG_TYPE_CGROUP_SKB, attach_type, &[set(0, 0), EXIT])?;
    let directory = fs::File::open(&cgroup.path)?;
    attach(directory.as_raw_fd() as u32, &loaded, attach_type)
}

fn load(prog_type: u32, expected_attach_type: u32, program: &[Instruction]) -> Result<OwnedFd> {
    let mut load = LoadAttr {
        prog_type,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        expected_attach_type,
        ..LoadAttr::default()
    };
    let loaded = sys::bpf(BPF_PROG_LOAD, &mut load).context("BPF_PROG_LOAD")?;
    Ok(sys::adopt(loaded as i32))
}

fn attach(target_fd: u32, program: &OwnedFd, attach_type: u32) -> Result<()> {
    let mut attach = AttachAttr {
        target_fd,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type,
        ..AttachAttr::default()
    };
    sys::bpf(BPF_PROG_ATTACH, &mut attach).context("BPF_PROG_ATTACH")?;
    Ok(())
}

/// Every `sendmsg` and `sendto` of datagrams of one IP version from the cgroup returns this errno, until the
/// cgroup is removed (`cgroup/sendmsg4`, `cgroup/sendmsg6`). Fails before 5.18, which has no
/// `bpf_set_retval`.
pub fn refuse_datagrams(cgroup: &Cgroup, v6: bool, errno: i32) -> Result<()> {
    let attach_type = if v6 {
        BPF_CGROUP_UDP6_SENDMSG
    } else {
        BPF_CGROUP_UDP4_SENDMSG
    };
    let program = [
        set(1, -errno),
        call(BPF_FUNC_SET_RETVAL),
        // 0: refuse.
        set(0, 0),
        EXIT,
    ];
    let loaded = load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, attach_type, &program)?;
    let directory = fs::File::open(&cgroup.path)?;
    attach(directory.as_raw_fd() as u32, &loaded, attach_type)
}

/// A program that changes the verdict of `security_socket_sendmsg`, as a security module that refuses does.
/// Dropped, it is gone.
pub struct Refusal {
    _link: OwnedFd,
}

impl Refusal {
    /// Every send of this process is refused with this errno (`fmod_ret`). Fails where the kernel's policy or
    /// its build refuses such programs; the error is the kernel's.
    pub fn of_process(pid: u32, errno: i32) -> Result<Self> {
        // Found once: BTF has a hundred thousand entries.
        static FUNCTION: OnceLock<u32> = OnceLock::new();
        let function = match FUNCTION.get() {
            Some(id) => *id,
            None => {
                let id = btf::function("security_socket_sendmsg")?;
                *FUNCTION.get_or_init(|| id)
            }
        };
        let program = [
            call(BPF_FUNC_GET_CURRENT_PID_TGID),
            Instruction {
                code: 0x77, // r0 >>= 32
                registers: 0,
                offset: 0,
                immediate: 32,
            },
            Instruction {
                code: 0x15, // if r0 == pid skip the next two
                registers: 0,
                offset: 2,
                immediate: pid as i32,
            },
            set(0, 0),
            EXIT,
            set(0, -errno),
            EXIT,
        ];
        let mut load = LoadAttr {
            prog_type: BPF_PROG_TYPE_TRACING,
            insn_cnt: program.len() as u32,
            insns: program.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            expected_attach_type: BPF_MODIFY_RETURN,
            attach_btf_id: function,
            ..LoadAttr::default()
        };
        let loaded: OwnedFd = sys::adopt(
            sys::bpf(BPF_PROG_LOAD, &mut load).context("BPF_PROG_LOAD of a fmod_ret program")?
                as i32,
        );
        let mut open = OpenAttr {
            name: 0,
            prog_fd: loaded.as_raw_fd() as u32,
        };
        let link = sys::bpf(BPF_RAW_TRACEPOINT_OPEN, &mut open)
            .context("BPF_RAW_TRACEPOINT_OPEN of a fmod_ret program")?;
        Ok(Self {
            _link: sys::adopt(link as i32),
        })
    }
}

/// `rN = value`
const fn set(register: u8, immediate: i32) -> Instruction {
    Instruction {
        code: 0xb7,
        registers: register,
        offset: 0,
        immediate,
    }
}

const fn call(helper: i32) -> Instruction {
    Instruction {
        code: 0x85,
        registers: 0,
        offset: 0,
        immediate: helper,
    }
}

const EXIT: Instruction = Instruction {
    code: 0x95,
    registers: 0,
    offset: 0,
    immediate: 0,
};

/// Ids of the programs, maps and links that the kernel has now, as ("prog", 12).
pub fn kernel_ids() -> Vec<(&'static str, u32)> {
    let kinds = [
        ("prog", BPF_PROG_GET_NEXT_ID),
        ("map", BPF_MAP_GET_NEXT_ID),
        ("link", BPF_LINK_GET_NEXT_ID),
    ];
    let mut ids = Vec::new();
    for (kind, command) in kinds {
        let mut attr = NextIdAttr::default();
        while sys::bpf(command, &mut attr).is_ok() {
            ids.push((kind, attr.next_id));
            attr.start_id = attr.next_id;
        }
    }
    ids
}
