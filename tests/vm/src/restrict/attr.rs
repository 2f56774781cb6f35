//! What a bpf(2) or perf_event_open(2) asks for: read from the caller's `union bpf_attr` and
//! `struct perf_event_attr`, whose layout is part of the kernel's interface.

/// BPF_PROG_LOAD
const PROG_LOAD: u64 = 5;
/// Bytes of `union bpf_attr` up to and with `expected_attach_type`.
pub const LOAD_BYTES: usize = 72;

/// A kind of program, by what it is hooked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SocketFilter,
    Kprobe,
    SchedCls,
    Tracepoint,
    PerfEvent,
    CgroupSkb,
    CgroupSock,
    RawTracepoint,
    CgroupSockAddr,
    TpBtf,
    Fentry,
    Fexit,
    FmodRet,
    Iter,
    Lsm,
    Other,
}

/// Kind, its name, `enum bpf_prog_type`, and for tracing programs `enum bpf_attach_type`.
const KINDS: [(Kind, &str, u32, Option<u32>); 15] = [
    (Kind::SocketFilter, "socket_filter", 1, None),
    (Kind::Kprobe, "kprobe", 2, None),
    (Kind::SchedCls, "sched_cls", 3, None),
    (Kind::Tracepoint, "tracepoint", 5, None),
    (Kind::PerfEvent, "perf_event", 7, None),
    (Kind::CgroupSkb, "cgroup_skb", 8, None),
    (Kind::CgroupSock, "cgroup_sock", 9, None),
    (Kind::RawTracepoint, "raw_tracepoint", 17, None),
    (Kind::CgroupSockAddr, "cgroup_sock_addr", 18, None),
    (Kind::TpBtf, "tp_btf", 26, Some(23)),
    (Kind::Fentry, "fentry", 26, Some(24)),
    (Kind::Fexit, "fexit", 26, Some(25)),
    (Kind::FmodRet, "fmod_ret", 26, Some(26)),
    (Kind::Iter, "iter", 26, Some(28)),
    (Kind::Lsm, "lsm", 29, None),
];

impl Kind {
    pub fn name(self) -> &'static str {
        let row = KINDS.iter().find(|row| row.0 == self);
        row.map_or("other", |row| row.1)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        let row = KINDS.iter().find(|row| row.1 == name);
        row.map(|row| row.0)
    }

    fn of(program: u32, attach: u32) -> Self {
        let row = KINDS
            .iter()
            .find(|row| row.2 == program && row.3.is_none_or(|wanted| wanted == attach));
        row.map_or(Self::Other, |row| row.0)
    }
}

/// A program that somebody wants to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub kind: Kind,
    /// As the kernel will know it: 15 bytes at most, empty for a probe of what the kernel can do.
    pub name: String,
}

/// Whether a bpf(2) with this first argument loads a program.
pub fn is_load(command: u64) -> bool {
    command & 0xffff_ffff == PROG_LOAD
}

/// Decodes the attributes of BPF_PROG_LOAD. What an older caller does not pass is zero.
pub fn load(attr: &[u8]) -> Load {
    let number = |at: usize| {
        let bytes = attr.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    };
    let name = attr.get(48..64).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Load {
        kind: Kind::of(number(0), number(68)),
        name: String::from_utf8_lossy(name).into_owned(),
    }
}

/// `perf_event_attr.type`.
pub fn perf_type(attr: &[u8]) -> Option<u32> {
    let bytes = attr.get(..4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(program: u32, attach: u32, name: &[u8]) -> Vec<u8> {
        let mut attr = vec![0; LOAD_BYTES];
        attr[..4].copy_from_slice(&program.to_ne_bytes());
        attr[48..48 + name.len()].copy_from_slice(name);
        attr[68..].copy_from_slice(&attach.to_ne_bytes());
        attr
    }

    #[test]
    fn tracing_programs_are_told_apart_by_what_they_attach_to() {
        let found = load(&attributes(26, 25, b"lsm_refusal"));
        assert_eq!(
            (found.kind, found.name.as_str()),
            (Kind::Fexit, "lsm_refusal")
        );
        assert_eq!(load(&attributes(26, 23, b"x")).kind, Kind::TpBtf);
        assert_eq!(load(&attributes(26, 99, b"x")).kind, Kind::Other);
    }

    #[test]
    fn other_programs_are_known_whatever_they_attach_to() {
        assert_eq!(load(&attributes(2, 41, b"x")).kind, Kind::Kprobe);
        assert_eq!(load(&attributes(29, 27, b"x")).kind, Kind::Lsm);
    }

    #[test]
    fn a_name_of_full_length_and_a_short_attribute_are_read() {
        assert_eq!(
            load(&attributes(2, 0, b"reset_sent_reas")).name,
            "reset_sent_reas"
        );
        let short = load(&attributes(26, 25, b"x")[..48]);
        assert_eq!((short.kind, short.name.as_str()), (Kind::Other, ""));
    }

    #[test]
    fn every_kind_is_found_by_its_name() {
        for (kind, name, ..) in KINDS {
            assert_eq!(Kind::from_name(name), Some(kind));
            assert_eq!(kind.name(), name);
        }
    }
}
