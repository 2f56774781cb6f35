//! The owner of a socket, as the BPF programs keep it in socket storage.

use crate::wire;

/// How the owner is known; never read from `current` in a softirq.
pub mod grade {
    /// Nobody is known.
    pub const NONE: u8 = 0;
    /// The process that sent last.
    pub const AT_SEND: u8 = 1;
    /// The process that called connect(2).
    pub const AT_CONNECT: u8 = 2;
    /// The process that called accept(2).
    pub const AT_ACCEPT: u8 = 3;
    /// The process that called listen(2).
    pub const AT_LISTEN: u8 = 4;
    /// Found among open files by the iterator.
    pub const SEEDED: u8 = 5;
    /// The process that closed or shut down the socket.
    pub const AT_CLOSE: u8 = 6;
    /// The kernel itself (no file, or a kernel thread sends).
    pub const KERNEL: u8 = 7;
}

/// Bits of [`Owner::flags`].
pub mod owner_flag {
    /// Another process has sent on the socket, or holds it too, since the owner was first written.
    pub const SEVERAL: u8 = 1;
    /// The owner's cgroup is the one that the filter asks for, or below it.
    pub const CGROUP_MATCH: u8 = 2;
}

/// `/proc/PID/stat` gives the start in ticks of 1/100 s (USER_HZ): where a start comes from there, only whole
/// ticks can be compared.
pub const START_TICK_NS: u64 = 10_000_000;

/// Bit of a start in `PIDS`: it is exact, in nanoseconds. Else it is in ticks of [`START_TICK_NS`]: a pid may be given
/// to another process within the same tick.
pub const EXACT_START: u64 = 1 << 63;

/// Is a process that started at `start_ns` the one whose start is kept as `kept` (see [`EXACT_START`])?
#[inline(always)]
pub const fn is_start(kept: u64, start_ns: u64) -> bool {
    if kept & EXACT_START != 0 {
        kept == start_ns | EXACT_START
    } else {
        kept == start_ns / START_TICK_NS
    }
}

/// A process, known by pid and start time together.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// `group_leader->start_boottime`, nanoseconds of CLOCK_BOOTTIME.
    pub start_ns: u64,
    /// Id of the cgroup (v2): the inode number of its directory.
    pub cgroup: u64,
    /// Process id (`tgid`).
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Real user id.
    pub uid: u32,
    /// One of [`grade`].
    pub grade: u8,
    /// Bits of [`owner_flag`].
    pub flags: u8,
    pub pad: u16,
    /// `comm` of the process (its group leader), NUL-padded, any bytes.
    pub comm: [u8; 16],
}

/// An owner that is kept in the storage of its socket.
///
/// Nothing keeps one CPU from reading, or writing, what another one writes at that moment, and no order of loads
/// and stores can be had in a program of older kernels (arm64 keeps none). So the words tell by themselves
/// whether they belong together.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredOwner {
    pub owner: Owner,
    /// [`mix`] of all words of the owner: what is half of one write and half of another does not fit it.
    pub digest: u64,
}

/// Takes one more word into a digest; the first is mixed with 0. The order of the words counts.
#[inline(always)]
pub const fn mix(digest: u64, word: u64) -> u64 {
    let mixed = (digest ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}

/// An owner that is kept by its socket's address, where the kernel has no socket storage.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerByAddress {
    pub owner: Owner,
    /// Address of the socket: the key again.
    pub address: u64,
    /// Cookie of the socket when this was written, 0 when it had none.
    pub cookie: u64,
    /// Inode of its file then, 0 when it had none.
    pub inode: u64,
    /// Made of all the above: a mixture of two entries does not fit it.
    pub digest: u64,
}

/// What the task_file iterator writes for each open socket file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Cookie of the socket, 0 when it has none.
    pub cookie: u64,
    /// Inode of the socket's file.
    pub inode: u64,
    /// The process that holds it open.
    pub owner: Owner,
    /// File descriptor in that process.
    pub fd: u32,
    pub pad: u32,
}

wire!(
    Owner = 48,
    StoredOwner = 56,
    OwnerByAddress = 80,
    Holder = 72
);

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: usize = size_of::<Owner>() / 8;

    fn words(owner: &Owner) -> [u64; WORDS] {
        let bytes = crate::as_bytes(owner);
        core::array::from_fn(|index| {
            let word = bytes[index * 8..].first_chunk();
            u64::from_ne_bytes(*word.expect("a whole word"))
        })
    }

    fn digest(words: [u64; WORDS]) -> u64 {
        words.into_iter().fold(0, mix)
    }

    /// Neighbours, as they meet on one socket: most words are the same, or differ in a bit.
    fn owners() -> [Owner; 5] {
        let first = Owner {
            start_ns: 81_234_567_890,
            cgroup: 4242,
            pid: 1000,
            tid: 1000,
            uid: 65534,
            grade: grade::AT_SEND,
            flags: 0,
            pad: 0,
            comm: *b"batchd\0\0\0\0\0\0\0\0\0\0",
        };
        let forked = Owner {
            pid: 1001,
            tid: 1001,
            start_ns: 81_234_567_891,
            ..first
        };
        let other = Owner {
            pid: 1002,
            tid: 1003,
            start_ns: 81_334_567_890,
            comm: *b"a longer name!!\0",
            cgroup: 4243,
            uid: 0,
            ..first
        };
        let shared = Owner {
            flags: owner_flag::SEVERAL,
            ..other
        };
        [first, forked, other, shared, Owner::default()]
    }

    #[test]
    fn every_mixture_of_two_owners_is_told_from_both() {
        let owners = owners();
        for one in &owners {
            for other in &owners {
                let (ours, theirs) = (words(one), words(other));
                for taken in 0..1u32 << WORDS {
                    let mixture: [u64; WORDS] = core::array::from_fn(|index| {
                        if taken >> index & 1 == 0 {
                            ours[index]
                        } else {
                            theirs[index]
                        }
                    });
                    for whole in [ours, theirs] {
                        assert_eq!(digest(mixture) == digest(whole), mixture == whole);
                    }
                }
            }
        }
    }

    #[test]
    fn a_pid_that_is_given_away_within_a_tick_is_told_where_the_start_is_exact() {
        let start = 5 * START_TICK_NS + 17;
        assert!(is_start(start | EXACT_START, start));
        assert!(!is_start(start | EXACT_START, start + 1));
        assert!(is_start(5, start) && is_start(5, start + 1));
        assert!(!is_start(5, start + START_TICK_NS));
    }

    #[test]
    fn an_owner_that_was_never_written_has_no_digest_of_another() {
        let empty = digest(words(&Owner::default()));
        assert_eq!(empty, StoredOwner::default().digest);
        assert!(
            owners()[..4]
                .iter()
                .all(|owner| digest(words(owner)) != empty)
        );
    }
}
