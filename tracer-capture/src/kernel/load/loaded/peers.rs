//! What connections have come to between walks: two maps, of which the BPF programs write one while the other is read
//! and emptied.

use anyhow::Result;
use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData};
use tracer_common::{PeerKey, PeerSums};

use super::{Plain, empty, take};
use crate::sys;
use crate::walk::Row;

/// The two maps.
pub(super) struct Peers {
    maps: [HashMap<MapData, Plain<PeerKey>, Plain<PeerSums>>; 2],
    active: Array<MapData, u32>,
    left_out: Array<MapData, u64>,
    /// Which is written now.
    writing: u32,
    /// How many connections without a place have been handed out.
    reported: u64,
}

impl Peers {
    /// Takes them out of the object.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            maps: [
                HashMap::try_from(take(ebpf, "PEERS_A")?)?,
                HashMap::try_from(take(ebpf, "PEERS_B")?)?,
            ],
            active: Array::try_from(take(ebpf, "PEERS_ACTIVE")?)?,
            left_out: Array::try_from(take(ebpf, "PEERS_LEFT_OUT")?)?,
            writing: 0,
            reported: 0,
        })
    }

    /// Turns the programs to the other map and hands out what is in this one.
    pub(super) fn turn(&mut self, each: &mut dyn FnMut(Row)) -> Result<()> {
        let full = self.writing as usize;
        self.writing = 1 - self.writing;
        self.active.set(0, self.writing, 0)?;
        // What a program puts into an empty map now is found there the time after next.
        if self.maps[full].keys().next().is_some() {
            sys::grace_period();
            hand_out(&mut self.maps[full], each)?;
        }
        self.not_counted(each)
    }

    /// Hands out what is in both, once nothing writes any more.
    pub(super) fn drain(&mut self, each: &mut dyn FnMut(Row)) -> Result<()> {
        for map in &mut self.maps {
            hand_out(map, each)?;
        }
        self.not_counted(each)
    }

    fn not_counted(&mut self, each: &mut dyn FnMut(Row)) -> Result<()> {
        let left_out = self.left_out.get(&0, 0)?;
        let more = left_out - std::mem::replace(&mut self.reported, left_out);
        if more > 0 {
            each(Row::LeftOut(more));
        }
        Ok(())
    }
}

fn hand_out(
    map: &mut HashMap<MapData, Plain<PeerKey>, Plain<PeerSums>>,
    each: &mut dyn FnMut(Row),
) -> Result<()> {
    for (key, sums) in empty(map)? {
        each(Row::Peer(key, Box::new(sums)));
    }
    Ok(())
}
