//! Events as columns.
//!
//! What the TCP socket of an event holds differs little from what it held at the last event of the same flow:
//! its columns carry the differences. Nothing refers to another block.

mod detail;
pub use detail::code_name;
mod tcp;

use super::column::{Column, Columns, Unpacked, Writer};
use super::layout::Header;
use super::tables::{Interner, Texts};
use super::wire::Malformed;
use std::sync::Arc;
use tracer_model::event::{Event, EventKind, Flow, Owner};

/// Which columns hold the detail of an event: the number of its event kind in the format.
pub const fn kind_number(event_kind: EventKind) -> u64 {
    match event_kind {
        EventKind::Retransmit => 0,
        EventKind::SendError => 1,
        EventKind::Drop => 2,
        EventKind::Device => 3,
        EventKind::Reset => 4,
        EventKind::Connection => 5,
        EventKind::Send => 6,
        EventKind::Lost => 7,
        EventKind::Waiting => 8,
        EventKind::Blocked => 9,
    }
}

/// The event kind of a number in the format.
///
/// # Errors
/// When there is none.
#[inline]
pub fn kind_of(number: u64) -> Result<EventKind, Malformed> {
    // In the order of their numbers: a test says so.
    let event_kind = usize::try_from(number)
        .ok()
        .and_then(|number| EventKind::ALL.get(number));
    event_kind
        .copied()
        .ok_or(Malformed("an event is of a kind that is not known"))
}

/// Turns events into columns.
#[derive(Default)]
pub struct Encoder {
    time: u64,
    /// Per flow (0: none): the owner of its last event, and its TCP socket.
    flows: Vec<LastOfFlow>,
    /// The times of TCP sockets wait for their common multiple.
    times: tcp::Times,
}

#[derive(Clone, Copy, Default)]
struct LastOfFlow {
    owner: u64,
    tcp: tcp::Fields,
}

impl Encoder {
    pub fn clear(&mut self) {
        self.time = 0;
        self.flows.clear();
        self.times.clear();
    }

    /// Appends an event to the columns.
    pub fn event(&mut self, out: &mut Writer, tables: &mut Interner, event: &Event) {
        out.number(Column::EventKind, kind_number(event.kind()));
        out.signed(Column::Time, event.boot_ns.wrapping_sub(self.time) as i64);
        self.time = event.boot_ns;
        out.number(Column::Count, event.count.wrapping_sub(1));
        let owner = tables.owner(out, &event.owner);
        let flow = event
            .flow
            .as_ref()
            .map_or(0, |flow| tables.flow(out, flow) + 1);
        out.number(Column::Flow, flow);
        let flow = usize::try_from(flow).unwrap_or(0);
        if self.flows.len() <= flow {
            self.flows.resize(flow + 1, LastOfFlow::default());
        }
        let last = &mut self.flows[flow];
        out.signed(Column::Owner, owner.wrapping_sub(last.owner) as i64);
        last.owner = owner;
        detail::write(out, tables, &event.detail);
        out.number(Column::TcpThere, u64::from(event.tcp.is_some()));
        if let Some(tcp) = &event.tcp {
            tcp::write(out, &mut self.times, &mut last.tcp, tcp);
        }
    }

    /// Appends what had to wait for the last event. Before the columns are sealed.
    pub fn finish(&mut self, out: &mut Writer) {
        self.times.write(out);
    }

    /// Bytes that [`Self::finish`] is going to append, about.
    pub fn waiting_bytes(&self) -> usize {
        self.times.waiting_bytes()
    }
}

/// Who, whom and when of an event, without its detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub event_kind: EventKind,
    /// Nanoseconds of CLOCK_BOOTTIME.
    pub boot_ns: u64,
    /// How many: above 1 when events were aggregated.
    pub count: u64,
    /// Row of the block's owners.
    pub owner: usize,
    /// Row of the block's flows.
    pub flow: Option<usize>,
}

/// What kind of event it was: the number that [`Block::code_name`](super::Block::code_name) names. 0 where the
/// event kind has but one kind.
pub struct Codes {
    cause: Unpacked,
    errno: Unpacked,
    reason: Unpacked,
    device: Unpacked,
    reset: Unpacked,
    connection: Unpacked,
    waiting: Unpacked,
}

impl Codes {
    /// # Errors
    /// When a column does not unpack.
    pub fn new(columns: &Columns) -> Result<Self, Malformed> {
        Ok(Self {
            cause: columns.unpack(Column::RetransmitCause)?,
            errno: columns.unpack(Column::SendErrno)?,
            reason: columns.unpack(Column::DropReason)?,
            device: columns.unpack(Column::DeviceCode)?,
            reset: columns.unpack(Column::ResetReason)?,
            connection: columns.unpack(Column::ConnectionErrno)?,
            waiting: columns.unpack(Column::WaitingWhy)?,
        })
    }

    /// The number of the next event, which is of this kind.
    ///
    /// # Errors
    /// When a column ends too early.
    #[inline]
    pub fn next(&mut self, event_kind: EventKind) -> Result<u64, Malformed> {
        match event_kind {
            // The lowest bit says what set it off.
            EventKind::Retransmit => Ok(self.cause.number()? >> 1),
            EventKind::SendError => self.errno.number(),
            EventKind::Drop => self.reason.number(),
            EventKind::Device => self.device.number(),
            EventKind::Reset => self.reset.number(),
            EventKind::Connection => self.connection.number(),
            // The lowest bit says whether it has ended.
            EventKind::Waiting => Ok(self.waiting.number()? >> 1),
            EventKind::Send | EventKind::Lost | EventKind::Blocked => Ok(0),
        }
    }
}

/// The events of a block, which is about a second, stand for no more than this. So sums over all blocks of a trace that
/// fits on a disk are below 64 bits.
pub const MOST_COUNT: u64 = 1 << 44;

/// Reads rows without unpacking the columns of details.
pub struct Rows {
    left: u32,
    /// The sum of their counts so far.
    stands_for: u64,
    owners: usize,
    flows: usize,
    time: u64,
    last_owner: Vec<u64>,
    event_kinds: Unpacked,
    times: Unpacked,
    counts: Unpacked,
    flow: Unpacked,
    owner: Unpacked,
}

impl Rows {
    /// # Errors
    /// When a column does not unpack.
    pub fn new(
        columns: &Columns,
        events: u32,
        owners: usize,
        flows: usize,
    ) -> Result<Self, Malformed> {
        Ok(Self {
            left: events,
            stands_for: 0,
            owners,
            flows,
            time: 0,
            last_owner: vec![0; flows + 1],
            event_kinds: columns.unpack(Column::EventKind)?,
            times: columns.unpack(Column::Time)?,
            counts: columns.unpack(Column::Count)?,
            flow: columns.unpack(Column::Flow)?,
            owner: columns.unpack(Column::Owner)?,
        })
    }

    /// Events that are left.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// When a column ends too early, or names a row that is not there.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot fail")]
    pub fn next(&mut self) -> Result<Option<Row>, Malformed> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let event_kind = kind_of(self.event_kinds.number()?)?;
        self.time = self.time.wrapping_add(self.times.signed()? as u64);
        let count = self.counts.number()?.wrapping_add(1);
        self.stands_for = self.stands_for.saturating_add(count);
        if self.stands_for > MOST_COUNT {
            return Err(Malformed("events stand for more than any host can have"));
        }
        let flow = usize::try_from(self.flow.number()?).unwrap_or(usize::MAX);
        if flow > self.flows {
            return Err(Malformed("an event has a flow that is not there"));
        }
        let last = &mut self.last_owner[flow];
        *last = last.wrapping_add(self.owner.signed()? as u64);
        let owner = usize::try_from(*last).unwrap_or(usize::MAX);
        if owner >= self.owners {
            return Err(Malformed("an event has an owner that is not there"));
        }
        Ok(Some(Row {
            event_kind,
            boot_ns: self.time,
            count,
            owner,
            flow: flow.checked_sub(1),
        }))
    }
}

/// What the events of a block share.
#[derive(Clone, Debug)]
pub struct Shared {
    pub texts: Arc<Texts>,
    pub owners: Arc<Vec<Owner>>,
    pub flows: Arc<Vec<Flow>>,
}

/// What the holders of sockets may take in the events of a block, bytes for each unpacked byte of the block. What is
/// beyond is left out and said: a listener of hundreds of processes in a storm of drops is no reason to refuse them.
const HOLDERS_PER_BYTE: usize = 128;

/// What the owners, flows and texts of a block's events may take together, bytes for each unpacked byte of the block:
/// far more than a recorder writes, and no more than can be printed at the speed of a disk. A few bytes of a hostile
/// file could name the same long row in every event.
const MOST_PER_BYTE: usize = 512;

/// Reads whole events, one at a time.
pub struct Decoder {
    rows: Rows,
    shared: Shared,
    detail: detail::Reader,
    tcp: tcp::Reader,
    last_tcp: Vec<tcp::Fields>,
    /// What owners, flows and texts may still take, bytes.
    room: usize,
    /// What holders may still take, bytes.
    holders_room: usize,
    /// The owners without their holders, when there is no room for those any more.
    bare: Option<Vec<Owner>>,
}

impl Decoder {
    /// # Errors
    /// When a column does not unpack.
    pub fn new(columns: &Columns, header: &Header, shared: Shared) -> Result<Self, Malformed> {
        let (owners, flows) = (shared.owners.len(), shared.flows.len());
        Ok(Self {
            rows: Rows::new(columns, header.events, owners, flows)?,
            detail: detail::Reader::new(columns)?,
            tcp: tcp::Reader::new(columns)?,
            last_tcp: vec![tcp::Fields::default(); flows + 1],
            room: (header.raw_bytes as usize).saturating_mul(MOST_PER_BYTE),
            holders_room: (header.raw_bytes as usize).saturating_mul(HOLDERS_PER_BYTE),
            bare: None,
            shared,
        })
    }

    /// The next event; `None` after the last.
    ///
    /// # Errors
    /// When a column ends too early or holds what cannot be; when the events repeat more than any recorder writes.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot fail")]
    pub fn next(&mut self) -> Result<Option<Event>, Malformed> {
        let Some(row) = self.rows.next()? else {
            return Ok(None);
        };
        if self.bare.is_none() {
            let holders = self.shared.owners[row.owner].holders_bytes();
            match self.holders_room.checked_sub(holders) {
                Some(room) => self.holders_room = room,
                None => self.bare = Some(self.shared.owners.iter().map(without_holders).collect()),
            }
        }
        let owners = self.bare.as_ref().unwrap_or(&self.shared.owners);
        let owner = &owners[row.owner];
        let flow = row.flow.map(|flow| &self.shared.flows[flow]);
        let detail = self.detail.next(row.event_kind, &self.shared.texts)?;
        let texts = owner.heap_bytes() - owner.holders_bytes();
        let bytes = texts + flow.map_or(0, Flow::heap_bytes) + detail.heap_bytes();
        let room = self.room.checked_sub(bytes);
        self.room = room.ok_or(Malformed("the events of a block repeat too much"))?;
        let last = &mut self.last_tcp[row.flow.map_or(0, |flow| flow + 1)];
        Ok(Some(Event {
            boot_ns: row.boot_ns,
            count: row.count,
            owner: owner.clone(),
            flow: flow.cloned(),
            detail,
            tcp: self.tcp.next(last)?,
        }))
    }
}

fn without_holders(owner: &Owner) -> Owner {
    let mut bare = owner.clone();
    if !bare.holders.is_empty() {
        bare.holders = Vec::new();
        bare.why = Some("its holders are named too often in this block to be listed".to_owned());
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_kinds_are_numbered_in_their_order() {
        for event_kind in EventKind::ALL {
            assert_eq!(kind_of(kind_number(event_kind)), Ok(event_kind));
        }
        assert!(kind_of(EventKind::ALL.len() as u64).is_err());
    }
}
