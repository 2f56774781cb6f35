//! Columns: the same field of all events side by side, as varints, each packed on its own.
//!
//! Values of one field are alike, so a column packs far better than records do; and who needs only some of
//! the fields unpacks only those. On disk a column is a section: its number, how it is packed, its length
//! unpacked and its length packed (varints), and its bytes. A section whose number is not known is skipped.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use super::layout::MOST_BYTES;
use super::wire::{Cursor, Malformed, put_varint, unzigzag, zigzag};

/// How the bytes of a section are packed.
mod codec {
    /// Not at all.
    pub const RAW: u64 = 0;
    /// One frame of Zstandard (RFC 8878).
    pub const ZSTD: u64 = 1;
    /// One byte, which all of them are.
    pub const SAME: u64 = 2;
}

/// Shorter columns are not packed: a frame costs more than it saves.
const WORTH_PACKING: usize = 32;

/// The most that is cheap enough at 100 000 events/s.
const LEVEL: i32 = 3;

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a section holds. The numbers are the format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Column {
            $($(#[$doc])* $name = $number,)*
        }

        impl Column {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

columns! {
    /// Per note: how many events of the block came before it, length, JSON.
    Notes = 1,
    /// Length of each text.
    TextLengths = 2,
    /// The texts, one after the other.
    TextBytes = 3,

    // Owners, a row per owner.
    OwnerGrade = 8,
    OwnerPid = 9,
    /// Minus pid.
    OwnerTid = 10,
    OwnerComm = 11,
    OwnerUid = 12,
    OwnerCgroup = 13,
    /// Minus that of the owner before.
    OwnerStarted = 14,
    OwnerWhy = 15,
    /// Count, then pid, start, comm and descriptor of each.
    OwnerHolders = 16,
    OwnerCmdline = 17,
    /// Namespace, pod and container of each.
    OwnerKubernetes = 18,

    // Flows, a row per flow.
    FlowProto = 20,
    FlowNetns = 21,
    /// Minus that of the flow before.
    FlowSocket = 22,
    FlowLocalKind = 23,
    FlowLocalName = 24,
    FlowLocalNumber = 25,
    FlowRemoteKind = 26,
    FlowRemoteName = 27,
    FlowRemoteNumber = 28,

    // Events, a row per event.
    EventKind = 32,
    /// Minus that of the event before.
    Time = 33,
    Flow = 34,
    Owner = 35,
    Count = 36,

    // A row per event of its kind.
    RetransmitCause = 40,
    RetransmitOutcome = 41,
    RetransmitAttempt = 42,
    RetransmitSegments = 43,
    RetransmitBytes = 44,
    SendErrno = 48,
    SendErrorRequested = 49,
    SendErrorSent = 50,
    SendErrorBlocked = 51,
    DropReason = 56,
    DropLocation = 57,
    DropInterface = 58,
    DropBytes = 59,
    DropDirection = 60,
    DropIfindex = 61,
    DeviceCode = 64,
    DeviceInterface = 65,
    DeviceBytes = 66,
    DeviceIfindex = 67,
    DeviceQueue = 68,
    ResetDirection = 72,
    ResetReason = 73,
    ConnectionStates = 76,
    ConnectionErrno = 77,
    SendRequested = 80,
    SendSent = 81,
    LostAt = 84,
    LostEvent = 85,
    LostCount = 86,

    /// A row per event: whether there is a TCP socket.
    TcpThere = 90,
    /// Of which the times of the block's TCP sockets are multiples, microseconds; one number.
    TcpTick = 91,
    // A row per TCP socket.
    TcpState = 96,
    TcpSendQueue = 97,
    TcpSndbuf = 98,
    TcpCwnd = 99,
    TcpSsthresh = 100,
    TcpSrtt = 101,
    TcpRto = 102,
    TcpBackoff = 103,
    TcpMss = 104,
    TcpPmtu = 105,
    TcpPeerWindow = 106,
    TcpUnacked = 107,
    TcpLost = 108,
    TcpLastSend = 109,
    TcpLastAck = 110,
    TcpCaState = 111,
    TcpWmemQueued = 112,

    // A row per event of its kind, as above.
    WaitingWhy = 128,
    WaitingFor = 129,
    WaitingQueued = 130,
    WaitingTimer = 131,
    WaitingWriters = 132,
    WaitingErrno = 133,
    WaitingSoftErrno = 134,
    WaitingBusy = 135,
    WaitingRwndLimited = 136,
    WaitingSndbufLimited = 137,
    WaitingCongestion = 138,
    WaitingSent = 139,
    WaitingAcked = 140,
    WaitingRetransmitted = 141,
    WaitingReordering = 142,
    WaitingUnfinished = 143,
    BlockedFor = 144,
    BlockedRequested = 145,
    BlockedSent = 146,
}

/// One more than the largest number of a column.
const NUMBERS: usize = 160;

/// No payload has more sections than this: room for those of newer tools, and so few that looking for one is cheap.
const MOST_SECTIONS: usize = 512;

/// Columns being written.
pub struct Writer {
    columns: Vec<Vec<u8>>,
    packer: Compressor<'static>,
}

impl Writer {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            columns: vec![Vec::new(); NUMBERS],
            packer: Compressor::new(LEVEL)?,
        })
    }

    #[inline]
    pub fn number(&mut self, column: Column, value: u64) {
        put_varint(&mut self.columns[column as usize], value);
    }

    #[inline]
    pub fn signed(&mut self, column: Column, value: i64) {
        self.number(column, zigzag(value));
    }

    /// 0 stands for `None`, all else is one more; so `u64::MAX`, which no field reaches, is `None` too.
    #[inline]
    pub fn optional(&mut self, column: Column, value: Option<u64>) {
        self.number(column, optional(value));
    }

    pub fn bytes(&mut self, column: Column, bytes: &[u8]) {
        self.columns[column as usize].extend_from_slice(bytes);
    }

    /// Length of all columns, bytes.
    pub fn raw_bytes(&self) -> usize {
        self.columns.iter().map(Vec::len).sum()
    }

    /// Appends all columns that hold anything as sections, and empties them.
    pub fn seal(&mut self, out: &mut Vec<u8>) {
        for column in Column::ALL {
            let bytes = &mut self.columns[*column as usize];
            if bytes.is_empty() {
                continue;
            }
            let same = bytes.len() > 1 && bytes.iter().all(|byte| *byte == bytes[0]);
            let packed = match bytes.len() {
                ..WORTH_PACKING => None,
                _ if same => None,
                _ => self.packer.compress(bytes).ok(),
            };
            let (codec, stored) = match &packed {
                _ if same => (codec::SAME, &bytes[..1]),
                Some(packed) if packed.len() < bytes.len() => (codec::ZSTD, &packed[..]),
                _ => (codec::RAW, &bytes[..]),
            };
            for number in [
                *column as u64,
                codec,
                bytes.len() as u64,
                stored.len() as u64,
            ] {
                put_varint(out, number);
            }
            out.extend_from_slice(stored);
            bytes.clear();
        }
    }
}

/// See [`Writer::optional`].
#[inline]
pub const fn optional(value: Option<u64>) -> u64 {
    match value {
        Some(value) => value.wrapping_add(1),
        None => 0,
    }
}

thread_local! {
    /// The state of an unpacker is large: one for all blocks.
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The columns of a block that was read, each unpacked when it is first asked for.
#[derive(Debug, Default)]
pub struct Columns<'a> {
    sections: Vec<(u64, Section<'a>)>,
}

#[derive(Clone, Copy, Debug)]
struct Section<'a> {
    codec: u64,
    raw_bytes: usize,
    stored: &'a [u8],
}

impl<'a> Columns<'a> {
    /// Finds the sections of a payload; `raw_bytes` as the block's header says.
    ///
    /// # Errors
    /// When lengths contradict each other or the header.
    pub fn find(payload: &'a [u8], raw_bytes: u32) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        let mut sections: Vec<(u64, Section)> = Vec::new();
        let mut sum: u64 = 0;
        while !cursor.is_empty() {
            let number = cursor.varint()?;
            let codec = cursor.varint()?;
            let raw = cursor.varint()?;
            let stored = cursor.length()?;
            let stored = cursor.take(stored)?;
            sum = sum.saturating_add(raw);
            if sum > u64::from(raw_bytes) {
                return Err(Malformed("sections are longer than the block says"));
            }
            if sections.len() >= MOST_SECTIONS {
                return Err(Malformed("a block has too many sections"));
            }
            if sections.iter().any(|(known, _)| *known == number) {
                return Err(Malformed("a section comes twice"));
            }
            let raw_bytes = usize::try_from(raw).map_err(|_| Malformed("a section is too long"))?;
            let section = Section {
                codec,
                raw_bytes,
                stored,
            };
            sections.push((number, section));
        }
        Ok(Self { sections })
    }

    /// The bytes of a column; empty when the block has none.
    ///
    /// # Errors
    /// When it does not unpack to the length that it says.
    pub fn unpack(&self, column: Column) -> Result<Unpacked, Malformed> {
        let number = column as u64;
        let Some((_, section)) = self.sections.iter().find(|(known, _)| *known == number) else {
            return Ok(Unpacked::default());
        };
        let bytes = match section.codec {
            codec::RAW => section.stored.to_vec(),
            codec::ZSTD => unpack(section.stored, section.raw_bytes)?,
            codec::SAME => match section.stored {
                // No more than the block says of all its sections, which is little.
                [byte] if section.raw_bytes <= MOST_BYTES as usize => {
                    vec![*byte; section.raw_bytes]
                }
                _ => return Err(Malformed("a section of one byte has another length")),
            },
            _ => return Err(Malformed("a section is packed in a way that is not known")),
        };
        if bytes.len() != section.raw_bytes {
            return Err(Malformed("a section has not the length that it says"));
        }
        Ok(Unpacked { bytes, at: 0 })
    }
}

fn unpack(stored: &[u8], raw_bytes: usize) -> Result<Vec<u8>, Malformed> {
    let bad = Malformed("a section does not unpack");
    if raw_bytes > MOST_BYTES as usize {
        return Err(bad);
    }
    UNPACKER.with_borrow_mut(|unpacker| {
        if unpacker.is_none() {
            *unpacker = Decompressor::new().ok();
        }
        let unpacker = unpacker.as_mut().ok_or(bad)?;
        // Never writes more than the capacity.
        unpacker.decompress(stored, raw_bytes).map_err(|_| bad)
    })
}

/// A column being read, value by value.
#[derive(Clone, Debug, Default)]
pub struct Unpacked {
    bytes: Vec<u8>,
    at: usize,
}

impl Unpacked {
    /// # Errors
    /// When the column ends within or before the number.
    #[inline]
    pub fn number(&mut self) -> Result<u64, Malformed> {
        match self.bytes.get(self.at) {
            // Nearly all numbers of a column take one byte.
            Some(byte @ 0..0x80) => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_number(),
        }
    }

    #[inline]
    fn long_number(&mut self) -> Result<u64, Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut value = 0;
        for (index, byte) in rest.iter().take(4).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        let mut cursor = Cursor::new(rest);
        let value = cursor.varint()?;
        self.at += rest.len() - cursor.len();
        Ok(value)
    }

    /// # Errors
    /// As [`Self::number`].
    #[inline]
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        self.number().map(unzigzag)
    }

    /// # Errors
    /// As [`Self::number`].
    #[inline]
    pub fn optional(&mut self) -> Result<Option<u64>, Malformed> {
        self.number().map(|value| value.checked_sub(1))
    }

    /// # Errors
    /// As [`Self::number`], or when the number is larger than 32 bits.
    #[inline]
    pub fn optional_u32(&mut self) -> Result<Option<u32>, Malformed> {
        self.optional()?.map(small).transpose()
    }

    /// # Errors
    /// When fewer than `count` bytes are left.
    pub fn take(&mut self, count: usize) -> Result<&[u8], Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = Cursor::new(rest).take(count)?;
        self.at += count;
        Ok(taken)
    }

    /// Has everything been read?
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Bytes that are left: at least as many as there are values.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.at
    }
}

/// # Errors
/// When the number is larger than 32 bits.
pub fn small(value: u64) -> Result<u32, Malformed> {
    u32::try_from(value).map_err(|_| Malformed("a number is too large for its field"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(fill: impl FnOnce(&mut Writer)) -> (Vec<u8>, u32) {
        let mut writer = Writer::new().expect("memory");
        fill(&mut writer);
        let raw = writer.raw_bytes() as u32;
        let mut out = Vec::new();
        writer.seal(&mut out);
        (out, raw)
    }

    #[test]
    fn every_number_of_a_column_fits() {
        assert!(
            Column::ALL
                .iter()
                .all(|column| (*column as usize) < NUMBERS)
        );
        for (index, column) in Column::ALL.iter().enumerate() {
            assert!(!Column::ALL[..index].contains(column));
        }
    }

    #[test]
    fn columns_come_back_as_they_were_packed_or_not() {
        for count in [1_u64, 10, 10_000] {
            let (bytes, raw) = sealed(|writer| {
                for value in 0..count {
                    writer.number(Column::Count, value % 7);
                    writer.signed(Column::Time, -(value as i64));
                }
            });
            let columns = Columns::find(&bytes, raw).expect("whole");
            let mut counts = columns.unpack(Column::Count).expect("whole");
            let mut times = columns.unpack(Column::Time).expect("whole");
            for value in 0..count {
                assert_eq!(counts.number(), Ok(value % 7));
                assert_eq!(times.signed(), Ok(-(value as i64)));
            }
            assert!(counts.is_empty() && counts.number().is_err());
            assert!(columns.unpack(Column::Flow).expect("none").is_empty());
        }
    }

    #[test]
    fn an_unknown_section_is_skipped() {
        let (mut bytes, raw) = sealed(|writer| writer.number(Column::Count, 5));
        for number in [999, codec::RAW, 3, 3] {
            put_varint(&mut bytes, number);
        }
        bytes.extend(b"new");
        let columns = Columns::find(&bytes, raw + 3).expect("skips");
        assert_eq!(
            columns.unpack(Column::Count).expect("whole").number(),
            Ok(5)
        );
    }

    #[test]
    fn more_sections_than_any_tool_writes_are_refused_at_once() {
        let mut bytes = Vec::new();
        for number in 1000..1_000_000 {
            for number in [number, codec::RAW, 0, 0] {
                put_varint(&mut bytes, number);
            }
        }
        let begun = std::time::Instant::now();
        assert!(Columns::find(&bytes, 0).is_err());
        assert!(begun.elapsed() < std::time::Duration::from_secs(1));
    }

    #[test]
    fn a_column_of_one_byte_takes_one_byte() {
        let (bytes, raw) = sealed(|writer| {
            (0..5000).for_each(|_| writer.number(Column::Count, 9));
        });
        assert!(bytes.len() < 8, "{}", bytes.len());
        let columns = Columns::find(&bytes, raw).expect("whole");
        let mut counts = columns.unpack(Column::Count).expect("whole");
        assert!((0..5000).all(|_| counts.number() == Ok(9)) && counts.is_empty());
        for stored in [&[][..], &[1, 2]] {
            let mut bytes = Vec::new();
            for number in [Column::Count as u64, codec::SAME, 100, stored.len() as u64] {
                put_varint(&mut bytes, number);
            }
            bytes.extend(stored);
            let columns = Columns::find(&bytes, 100).expect("lengths agree");
            assert!(columns.unpack(Column::Count).is_err());
        }
    }

    #[test]
    fn a_section_that_unpacks_to_more_than_it_says_is_refused() {
        let packed = zstd::bulk::compress(&[0; 1 << 20], 1).expect("memory");
        let mut bytes = Vec::new();
        for number in [Column::Count as u64, codec::ZSTD, 100, packed.len() as u64] {
            put_varint(&mut bytes, number);
        }
        bytes.extend(packed);
        let columns = Columns::find(&bytes, 100).expect("lengths agree");
        assert!(columns.unpack(Column::Count).is_err());
        assert!(Columns::find(&bytes, 99).is_err());
    }
}
