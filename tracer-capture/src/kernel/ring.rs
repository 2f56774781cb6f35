//! Reads the rings: one per signal, so that a flood of one cannot push out another.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use tracer_common::signal;

/// Name and signal of each ring, with the weight of its share of the ring memory.
pub const RINGS: [(&str, u32, u32); signal::COUNT] = [
    ("EVENTS_RETRANSMIT", signal::RETRANSMIT, 4),
    ("EVENTS_SEND_ERROR", signal::SEND_ERROR, 4),
    ("EVENTS_DROP", signal::DROP, 4),
    ("EVENTS_DEVICE", signal::DEVICE, 1),
    ("EVENTS_RESET", signal::RESET, 1),
    ("EVENTS_CONNECTION", signal::CONNECTION, 2),
    ("EVENTS_SEND", signal::SEND, 4),
];

/// All rings.
pub struct Rings {
    rings: Vec<(u32, RingBuf<MapData>)>,
}

impl Rings {
    /// Takes the rings out of the loaded object.
    pub fn take(ebpf: &mut Ebpf) -> Result<Self> {
        let mut rings = Vec::with_capacity(RINGS.len());
        for (name, signal, _) in RINGS {
            let map = ebpf
                .take_map(name)
                .with_context(|| format!("the kernel half has no map {name}"))?;
            let ring =
                RingBuf::try_from(map).with_context(|| format!("cannot map the ring {name}"))?;
            rings.push((signal, ring));
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

    /// Hands over up to `most` records of each ring as (signal, bytes); gives how many there were.
    pub fn drain(&mut self, most: usize, mut each: impl FnMut(u32, &[u8])) -> usize {
        let mut total = 0;
        for (signal, ring) in &mut self.rings {
            let mut taken = 0;
            while taken < most
                && let Some(item) = ring.next()
            {
                each(*signal, &item);
                taken += 1;
            }
            total += taken;
        }
        total
    }
}
