//! What each event kind has of its own.

use std::borrow::Cow;

use crate::column::{Column, Columns, Unpacked, Writer, optional, small};
use crate::events::{kind_number, kind_of};
use crate::tables::{Interner, Texts};
use crate::wire::{Malformed, unzigzag};
use tracer_model::event::{
    Blocked, Cause, Connection, Detail, Device, Direction, EventKind, Lost, LostAt, Outcome,
    PacketDrop, RawName, Reset, Retransmit, SendError, SendOk, SocketTimer, TcpState, Trigger,
    WaitReason, Waiting, transmit_code_name,
};

/// The numbers are the format.
const CAUSES: [Cause; 7] = [
    Cause::Unknown,
    Cause::Rto,
    Cause::Fast,
    Cause::Tlp,
    Cause::Syn,
    Cause::SynAck,
    Cause::Mtu,
];
const PLACES: [LostAt; 4] = [
    LostAt::Ring,
    LostAt::RateLimit,
    LostAt::Disk,
    LostAt::Decode,
];
const WAIT_REASONS: [WaitReason; 8] = [
    WaitReason::PeerWindow,
    WaitReason::Unacknowledged,
    WaitReason::WriterBlocked,
    WaitReason::SynSent,
    WaitReason::AcceptQueue,
    WaitReason::BufferFull,
    WaitReason::Unread,
    WaitReason::Keepalive,
];
const TIMERS: [SocketTimer; 6] = [
    SocketTimer::None,
    SocketTimer::Retransmit,
    SocketTimer::LossProbe,
    SocketTimer::Reordering,
    SocketTimer::Persist,
    SocketTimer::Keepalive,
];
const DIRECTIONS: [Direction; 2] = [Direction::Sent, Direction::Received];
/// Beyond any TCP state.
const STATES: u64 = 32;

fn number<T: PartialEq>(all: &[T], one: &T) -> u64 {
    all.iter().position(|known| known == one).unwrap_or(0) as u64
}

fn direction_number(direction: Option<Direction>) -> Option<u64> {
    direction.map(|direction| number(&DIRECTIONS, &direction))
}

fn state_number(state: Option<TcpState>) -> u64 {
    state.map_or(0, |state| u64::from(state.number()))
}

fn wide(value: Option<u32>) -> Option<u64> {
    value.map(u64::from)
}

/// Appends the detail of an event.
pub fn write(out: &mut Writer, tables: &mut Interner, detail: &Detail) {
    match detail {
        Detail::Retransmit(r) => {
            let timer = u64::from(r.trigger == Trigger::Timer);
            out.number(
                Column::RetransmitCause,
                number(&CAUSES, &r.cause) << 1 | timer,
            );
            let code = match r.outcome {
                Outcome::Sent => 0,
                Outcome::Failed(code) => code,
            };
            out.signed(Column::RetransmitOutcome, code.into());
            out.optional(Column::RetransmitAttempt, wide(r.attempt));
            out.optional(Column::RetransmitSegments, r.segments);
            out.optional(Column::RetransmitBytes, r.bytes);
        }
        Detail::SendError(e) => {
            out.number(Column::SendErrno, e.errno.into());
            out.optional(Column::SendErrorRequested, e.requested_bytes);
            out.optional(Column::SendErrorSent, e.sent_bytes);
            out.optional(Column::SendErrorBlocked, e.blocked_us);
        }
        Detail::Drop(d) => {
            let reason = tables.maybe_text(out, d.reason.as_deref().map(str::as_bytes));
            let location = tables.maybe_text(out, d.location.as_deref().map(str::as_bytes));
            let interface = tables.maybe_text(out, d.interface.as_ref().map(RawName::as_bytes));
            out.optional(Column::DropReason, reason);
            out.optional(Column::DropLocation, location);
            out.optional(Column::DropInterface, interface);
            out.optional(Column::DropBytes, d.bytes);
            out.optional(Column::DropDirection, direction_number(d.direction));
            out.optional(Column::DropIfindex, wide(d.ifindex));
        }
        Detail::Device(d) => {
            let interface = tables.maybe_text(out, d.interface.as_ref().map(RawName::as_bytes));
            out.signed(Column::DeviceCode, d.code.into());
            out.optional(Column::DeviceInterface, interface);
            out.optional(Column::DeviceBytes, d.bytes);
            out.optional(Column::DeviceIfindex, wide(d.ifindex));
            out.number(
                Column::DeviceQueue,
                optional(wide(d.queue)) << 1 | u64::from(d.timeout),
            );
        }
        Detail::Reset(r) => {
            let reason = tables.maybe_text(out, r.reason.as_deref().map(str::as_bytes));
            out.optional(Column::ResetDirection, direction_number(r.direction));
            out.optional(Column::ResetReason, reason);
        }
        Detail::Connection(c) => {
            let states = state_number(c.from) * STATES + state_number(c.to);
            out.number(Column::ConnectionStates, states);
            out.optional(Column::ConnectionErrno, wide(c.errno));
        }
        Detail::Send(s) => {
            out.optional(Column::SendRequested, s.requested_bytes);
            out.number(Column::SendSent, s.sent_bytes);
        }
        Detail::Lost(l) => {
            out.number(Column::LostAt, number(&PLACES, &l.at));
            out.optional(Column::LostEvent, l.event_kind.map(kind_number));
            out.number(Column::LostCount, l.count);
        }
        Detail::Waiting(w) => {
            let why = number(&WAIT_REASONS, &w.why) << 1;
            let congestion = w.congestion_control.as_deref().map(str::as_bytes);
            let congestion = tables.maybe_text(out, congestion);
            let timer = w.timer.map(|timer| number(&TIMERS, &timer));
            out.number(Column::WaitingWhy, why | u64::from(w.ended));
            out.number(Column::WaitingFor, w.for_us);
            out.optional(Column::WaitingQueued, w.queued_bytes);
            out.optional(Column::WaitingTimer, timer);
            out.optional(Column::WaitingWriters, wide(w.blocked_writers));
            out.optional(Column::WaitingErrno, wide(w.errno));
            out.optional(Column::WaitingSoftErrno, wide(w.soft_errno));
            out.optional(Column::WaitingBusy, w.busy_us);
            out.optional(Column::WaitingRwndLimited, w.rwnd_limited_us);
            out.optional(Column::WaitingSndbufLimited, w.sndbuf_limited_us);
            out.optional(Column::WaitingCongestion, congestion);
            out.optional(Column::WaitingSent, wide(w.sent_segments));
            out.optional(Column::WaitingAcked, w.acked_bytes);
            out.optional(Column::WaitingRetransmitted, wide(w.retransmitted_segments));
            out.optional(Column::WaitingReordering, wide(w.reordering_segments));
            out.number(Column::WaitingUnfinished, u64::from(w.unfinished));
        }
        Detail::Blocked(b) => {
            out.optional(Column::BlockedFor, b.blocked_us);
            out.optional(Column::BlockedRequested, b.requested_bytes);
            out.optional(Column::BlockedSent, b.sent_bytes);
        }
    }
}

macro_rules! reader {
    ($($field:ident: $column:ident,)*) => {
        /// Reads details.
        pub struct Reader {
            $($field: Unpacked,)*
        }

        impl Reader {
            /// # Errors
            /// When a column does not unpack.
            pub fn new(columns: &Columns) -> Result<Self, Malformed> {
                Ok(Self { $($field: columns.unpack(Column::$column)?,)* })
            }
        }
    };
}

reader! {
    retransmit_cause: RetransmitCause,
    retransmit_outcome: RetransmitOutcome,
    retransmit_attempt: RetransmitAttempt,
    retransmit_segments: RetransmitSegments,
    retransmit_bytes: RetransmitBytes,
    send_errno: SendErrno,
    send_error_requested: SendErrorRequested,
    send_error_sent: SendErrorSent,
    send_error_blocked: SendErrorBlocked,
    drop_reason: DropReason,
    drop_location: DropLocation,
    drop_interface: DropInterface,
    drop_bytes: DropBytes,
    drop_direction: DropDirection,
    drop_ifindex: DropIfindex,
    device_code: DeviceCode,
    device_interface: DeviceInterface,
    device_bytes: DeviceBytes,
    device_ifindex: DeviceIfindex,
    device_queue: DeviceQueue,
    reset_direction: ResetDirection,
    reset_reason: ResetReason,
    connection_states: ConnectionStates,
    connection_errno: ConnectionErrno,
    send_requested: SendRequested,
    send_sent: SendSent,
    lost_at: LostAt,
    lost_event: LostEvent,
    lost_count: LostCount,
    waiting_why: WaitingWhy,
    waiting_for: WaitingFor,
    waiting_queued: WaitingQueued,
    waiting_timer: WaitingTimer,
    waiting_writers: WaitingWriters,
    waiting_errno: WaitingErrno,
    waiting_soft_errno: WaitingSoftErrno,
    waiting_busy: WaitingBusy,
    waiting_rwnd_limited: WaitingRwndLimited,
    waiting_sndbuf_limited: WaitingSndbufLimited,
    waiting_congestion: WaitingCongestion,
    waiting_sent: WaitingSent,
    waiting_acked: WaitingAcked,
    waiting_retransmitted: WaitingRetransmitted,
    waiting_reordering: WaitingReordering,
    waiting_unfinished: WaitingUnfinished,
    blocked_for: BlockedFor,
    blocked_requested: BlockedRequested,
    blocked_sent: BlockedSent,
}

impl Reader {
    /// The detail of the next event, which is of this kind.
    ///
    /// # Errors
    /// When a column ends too early or holds what cannot be.
    pub fn next(&mut self, event_kind: EventKind, texts: &Texts) -> Result<Detail, Malformed> {
        Ok(match event_kind {
            EventKind::Retransmit => Detail::Retransmit(self.retransmit()?),
            EventKind::SendError => Detail::SendError(SendError {
                errno: small(self.send_errno.number()?)?,
                requested_bytes: self.send_error_requested.optional()?,
                sent_bytes: self.send_error_sent.optional()?,
                blocked_us: self.send_error_blocked.optional()?,
            }),
            EventKind::Drop => Detail::Drop(PacketDrop {
                reason: string(&mut self.drop_reason, texts)?,
                location: string(&mut self.drop_location, texts)?,
                interface: name(&mut self.drop_interface, texts)?,
                bytes: self.drop_bytes.optional()?,
                direction: direction(&mut self.drop_direction)?,
                ifindex: self.drop_ifindex.optional_u32()?,
            }),
            EventKind::Device => {
                let queue = self.device_queue.number()?;
                Detail::Device(Device {
                    code: code(&mut self.device_code)?,
                    interface: name(&mut self.device_interface, texts)?,
                    bytes: self.device_bytes.optional()?,
                    ifindex: self.device_ifindex.optional_u32()?,
                    queue: (queue >> 1).checked_sub(1).map(small).transpose()?,
                    timeout: queue & 1 != 0,
                })
            }
            EventKind::Reset => Detail::Reset(Reset {
                direction: direction(&mut self.reset_direction)?,
                reason: string(&mut self.reset_reason, texts)?,
            }),
            EventKind::Connection => {
                let states = self.connection_states.number()?;
                let state = |number: u64| TcpState::from_number(u32::try_from(number).ok()?);
                Detail::Connection(Connection {
                    from: state(states / STATES),
                    to: state(states % STATES),
                    errno: self.connection_errno.optional_u32()?,
                })
            }
            EventKind::Send => Detail::Send(SendOk {
                requested_bytes: self.send_requested.optional()?,
                sent_bytes: self.send_sent.number()?,
            }),
            EventKind::Lost => Detail::Lost(Lost {
                at: pick(&PLACES, self.lost_at.number()?)?,
                event_kind: self.lost_event.optional()?.map(kind_of).transpose()?,
                count: self.lost_count.number()?,
            }),
            EventKind::Waiting => {
                let why = self.waiting_why.number()?;
                let timer = self.waiting_timer.optional()?;
                Detail::Waiting(Box::new(Waiting {
                    why: pick(&WAIT_REASONS, why >> 1)?,
                    for_us: self.waiting_for.number()?,
                    ended: why & 1 != 0,
                    // Traces of older versions do not say.
                    unfinished: !self.waiting_unfinished.is_empty()
                        && self.waiting_unfinished.number()? != 0,
                    queued_bytes: self.waiting_queued.optional()?,
                    timer: timer.map(|timer| pick(&TIMERS, timer)).transpose()?,
                    blocked_writers: self.waiting_writers.optional_u32()?,
                    errno: self.waiting_errno.optional_u32()?,
                    soft_errno: self.waiting_soft_errno.optional_u32()?,
                    busy_us: self.waiting_busy.optional()?,
                    rwnd_limited_us: self.waiting_rwnd_limited.optional()?,
                    sndbuf_limited_us: self.waiting_sndbuf_limited.optional()?,
                    congestion_control: string(&mut self.waiting_congestion, texts)?,
                    sent_segments: self.waiting_sent.optional_u32()?,
                    acked_bytes: self.waiting_acked.optional()?,
                    retransmitted_segments: self.waiting_retransmitted.optional_u32()?,
                    reordering_segments: self.waiting_reordering.optional_u32()?,
                }))
            }
            EventKind::Blocked => Detail::Blocked(Blocked {
                blocked_us: self.blocked_for.optional()?,
                requested_bytes: self.blocked_requested.optional()?,
                sent_bytes: self.blocked_sent.optional()?,
            }),
        })
    }

    fn retransmit(&mut self) -> Result<Retransmit, Malformed> {
        let cause = self.retransmit_cause.number()?;
        Ok(Retransmit {
            cause: pick(&CAUSES, cause >> 1)?,
            trigger: if cause & 1 != 0 {
                Trigger::Timer
            } else {
                Trigger::Ack
            },
            outcome: match code(&mut self.retransmit_outcome)? {
                0 => Outcome::Sent,
                code => Outcome::Failed(code),
            },
            attempt: self.retransmit_attempt.optional_u32()?,
            segments: self.retransmit_segments.optional()?,
            bytes: self.retransmit_bytes.optional()?,
        })
    }
}

/// The name of a number of [`super::Codes`], as the output has it.
///
/// # Errors
/// When it is not one.
pub fn code_name(
    event_kind: EventKind,
    code: u64,
    texts: &Texts,
) -> Result<Option<Cow<'static, str>>, Malformed> {
    let errno = |number: u64| small(number).map(tracer_model::errno::display);
    Ok(match event_kind {
        EventKind::Retransmit => Some(pick(&CAUSES, code)?.name().into()),
        EventKind::SendError => Some(errno(code)?),
        EventKind::Connection => code.checked_sub(1).map(errno).transpose()?,
        EventKind::Drop | EventKind::Reset => {
            let text = code
                .checked_sub(1)
                .map(|text| texts.copy(text))
                .transpose()?;
            text.map(Cow::Owned)
        }
        EventKind::Device => {
            let code = i32::try_from(unzigzag(code)).map_err(|_| TOO_LARGE)?;
            Some(transmit_code_name(code))
        }
        EventKind::Waiting => Some(pick(&WAIT_REASONS, code)?.name().into()),
        EventKind::Send | EventKind::Lost | EventKind::Blocked => None,
    })
}

const TOO_LARGE: Malformed = Malformed("a code is too large");

fn pick<T: Copy>(all: &[T], number: u64) -> Result<T, Malformed> {
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    all.get(index)
        .copied()
        .ok_or(Malformed("a word has a number that is not known"))
}

fn code(column: &mut Unpacked) -> Result<i32, Malformed> {
    i32::try_from(column.signed()?).map_err(|_| TOO_LARGE)
}

fn direction(column: &mut Unpacked) -> Result<Option<Direction>, Malformed> {
    column
        .optional()?
        .map(|number| pick(&DIRECTIONS, number))
        .transpose()
}

fn string(column: &mut Unpacked, texts: &Texts) -> Result<Option<String>, Malformed> {
    column
        .optional()?
        .map(|number| texts.copy(number))
        .transpose()
}

fn name(column: &mut Unpacked, texts: &Texts) -> Result<Option<RawName>, Malformed> {
    let name = column
        .optional()?
        .map(|number| texts.bytes(number))
        .transpose()?;
    Ok(name.map(RawName::new))
}
