//! The TCP socket of an event: differences to the last event of the same flow.

use crate::column::{Column, Columns, Unpacked, Writer, optional, small};
use crate::wire::Malformed;
use tracer_model::event::{CaState, Tcp, TcpState};

/// Columns of [`Fields`], in their order.
const COLUMNS: [Column; 17] = [
    Column::TcpState,
    Column::TcpSendQueue,
    Column::TcpSndbuf,
    Column::TcpCwnd,
    Column::TcpSsthresh,
    Column::TcpSrtt,
    Column::TcpBackoff,
    Column::TcpMss,
    Column::TcpPmtu,
    Column::TcpPeerWindow,
    Column::TcpUnacked,
    Column::TcpLost,
    Column::TcpCaState,
    Column::TcpWmemQueued,
    // From here on: times that the kernel keeps in jiffies.
    Column::TcpRto,
    Column::TcpLastSend,
    Column::TcpLastAck,
];
const TIMES: usize = 14;

/// The fields as [`optional`] turns them into numbers.
pub type Fields = [u64; COLUMNS.len()];

fn fields(tcp: &Tcp) -> Fields {
    let small = |value: Option<u32>| optional(value.map(u64::from));
    [
        small(tcp.state.map(TcpState::number)),
        small(tcp.send_queue_bytes),
        small(tcp.sndbuf_bytes),
        small(tcp.cwnd_segments),
        small(tcp.ssthresh_segments),
        optional(tcp.srtt_us),
        small(tcp.backoff),
        small(tcp.mss_bytes),
        small(tcp.pmtu_bytes),
        small(tcp.peer_window_bytes),
        small(tcp.unacked_segments),
        small(tcp.lost_segments),
        small(tcp.ca_state.map(CaState::number)),
        small(tcp.wmem_queued_bytes),
        optional(tcp.rto_us),
        optional(tcp.last_send_us_ago),
        optional(tcp.last_ack_us_ago),
    ]
}

fn tcp(fields: &Fields) -> Result<Tcp, Malformed> {
    let wide = |index: usize| fields[index].checked_sub(1);
    let narrow = |index: usize| wide(index).map(small).transpose();
    Ok(Tcp {
        state: narrow(0)?.and_then(TcpState::from_number),
        send_queue_bytes: narrow(1)?,
        sndbuf_bytes: narrow(2)?,
        cwnd_segments: narrow(3)?,
        ssthresh_segments: narrow(4)?,
        srtt_us: wide(5),
        backoff: narrow(6)?,
        mss_bytes: narrow(7)?,
        pmtu_bytes: narrow(8)?,
        peer_window_bytes: narrow(9)?,
        unacked_segments: narrow(10)?,
        lost_segments: narrow(11)?,
        ca_state: narrow(12)?.and_then(CaState::from_number),
        wmem_queued_bytes: narrow(13)?,
        rto_us: wide(14),
        last_send_us_ago: wide(15),
        last_ack_us_ago: wide(16),
    })
}

/// Times wait until the block is full: all of them are multiples of the tick (1000 to 10000 µs), which is the
/// same for all, and much smaller without it.
#[derive(Default)]
pub struct Times {
    tick: u64,
    waiting: [Vec<u64>; COLUMNS.len() - TIMES],
}

impl Times {
    pub fn clear(&mut self) {
        self.tick = 0;
        self.waiting.iter_mut().for_each(Vec::clear);
    }

    pub fn waiting_bytes(&self) -> usize {
        // Divided by the tick they take two bytes or less.
        self.waiting.iter().map(|times| 2 * times.len()).sum()
    }

    fn push(&mut self, index: usize, value: u64) {
        if let Some(micros) = value.checked_sub(1)
            && micros.checked_rem(self.tick) != Some(0)
        {
            self.tick = greatest_common_divisor(self.tick, micros);
        }
        self.waiting[index].push(value);
    }

    /// Writes tick and times.
    pub fn write(&mut self, out: &mut Writer) {
        let tick = self.tick.max(1);
        if self.waiting.iter().all(Vec::is_empty) {
            return;
        }
        out.number(Column::TcpTick, tick);
        for (times, column) in self.waiting.iter().zip(&COLUMNS[TIMES..]) {
            for value in times {
                out.optional(*column, value.checked_sub(1).map(|micros| micros / tick));
            }
        }
        self.clear();
    }
}

const fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Appends a socket; `last` is that of the same flow before.
pub fn write(out: &mut Writer, times: &mut Times, last: &mut Fields, socket: &Tcp) {
    let now = fields(socket);
    for (index, column) in COLUMNS.iter().enumerate() {
        if let Some(time) = index.checked_sub(TIMES) {
            times.push(time, now[index]);
        } else {
            out.signed(*column, now[index].wrapping_sub(last[index]) as i64);
        }
    }
    *last = now;
}

/// Reads sockets.
pub struct Reader {
    there: Unpacked,
    tick: u64,
    columns: [Unpacked; COLUMNS.len()],
}

impl Reader {
    /// # Errors
    /// When a column does not unpack.
    pub fn new(columns: &Columns) -> Result<Self, Malformed> {
        let mut tick = columns.unpack(Column::TcpTick)?;
        let mut all: [Unpacked; COLUMNS.len()] = Default::default();
        for (unpacked, column) in all.iter_mut().zip(COLUMNS) {
            *unpacked = columns.unpack(column)?;
        }
        Ok(Self {
            there: columns.unpack(Column::TcpThere)?,
            tick: if tick.is_empty() { 1 } else { tick.number()? },
            columns: all,
        })
    }

    /// The socket of the next event; `last` is that of the same flow before.
    ///
    /// # Errors
    /// When a column ends too early, or a number does not fit its field.
    pub fn next(&mut self, last: &mut Fields) -> Result<Option<Tcp>, Malformed> {
        if self.there.number()? == 0 {
            return Ok(None);
        }
        for (index, column) in self.columns.iter_mut().enumerate() {
            last[index] = if index < TIMES {
                last[index].wrapping_add(column.signed()? as u64)
            } else {
                optional(column.optional()?.map(|time| time.wrapping_mul(self.tick)))
            };
        }
        tcp(last).map(Some)
    }
}
