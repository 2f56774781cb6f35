//! Reads the rings: one per event kind, so that a flood of one cannot push out another.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use tracer_common::event_kind;

/// Name and event kind of each ring (of what no program makes there is none), with the weight of its share of the ring memory.
pub const RINGS: [(&str, u32, u32); event_kind::COUNT - 1] = [
    ("EVENTS_RETRANSMIT", event_kind::RETRANSMIT, 4),
    ("EVENTS_SEND_ERROR", event_kind::SEND_ERROR, 4),
    ("EVENTS_DROP", event_kind::DROP, 4),
    ("EVENTS_DEVICE", event_kind::DEVICE, 1),
    ("EVENTS_RESET", event_kind::RESET, 1),
    ("EVENTS_CONNECTION", event_kind::CONNECTION, 1),
    ("EVENTS_SEND", event_kind::SEND, 4),
    ("EVENTS_BLOCKED", event_kind::BLOCKED, 1),
];

/// All rings.
pub struct Rings {
    rings: Vec<(u32, RingBuf<MapData>)>,
}

impl Rings {
    /// Takes the rings out of the loaded object.
    pub fn take(ebpf: &mut Ebpf) -> Result<Self> {
        let mut rings = Vec::with_capacity(RINGS.len());
        for (name, event_kind, _) in RINGS {
            let map = ebpf
                .take_map(name)
                .with_context(|| format!("the BPF object has no map {name}"))?;
            let ring =
                RingBuf::try_from(map).with_context(|| format!("cannot map the ring {name}"))?;
            rings.push((event_kind, ring));
        }
        Ok(Self { rings })
    }

    /// Descriptors that become readable when a program wakes the reader (at the watermark).
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        // SAFETY: the ring owns the descriptor and outlives the borrow.
        self.rings
            .iter()
            .map(|(_, ring)| unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) })
    }

    /// Hands over up to `most` records of each ring as (event kind, bytes); gives how many there were.
    pub fn drain(&mut self, most: usize, mut each: impl FnMut(u32, &[u8])) -> usize {
        let mut total = 0;
        for (event_kind, ring) in &mut self.rings {
            let mut taken = 0;
            while taken < most
                && let Some(item) = ring.next()
            {
                each(*event_kind, &item);
                taken += 1;
            }
            total += taken;
        }
        total
    }
}
