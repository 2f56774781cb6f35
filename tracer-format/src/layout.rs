//! The header of a block, byte for byte. `docs/trace-format.md` says the same in words.
//!
//! All numbers are little-endian. A header is believed only when its marker and its own checksum are right;
//! then its lengths are checked against [`MOST_BYTES`] before anything is allocated for them.

use super::wire::Malformed;

/// Starts every block. Its first byte is no text, and a transfer that changes line ends spoils it visibly.
pub const MARKER: [u8; 8] = [0xd5, b'S', b'T', b'B', b'\r', b'\n', 0x1a, b'\n'];
/// Length of a header, bytes.
pub const HEADER_BYTES: usize = 96;
/// Grows when a reader of the version before could not read the file rightly. What can be skipped (sections,
/// notes, keys of notes) is added without a new version.
pub const VERSION: u16 = 1;
/// No payload, stored or unpacked, is longer than this, bytes: a bomb is refused before it is unpacked.
pub const MOST_BYTES: u32 = 4 << 20;

/// Bits of [`Header::flags`].
pub mod flag {
    /// Begins a file or segment: carries the note `header`, and the counters as they stood before.
    pub const START: u16 = 1;
    /// Ends a recording that ended cleanly: carries the totals.
    pub const END: u16 = 2;
    /// With [`START`]: begins a window of the flight recorder. It may begin with blocks of the window before; and what
    /// lies between two windows was not wanted. Its file got its name when it was complete.
    pub const WINDOW: u16 = 4;
    /// All that are known; others are ignored.
    pub const ALL: u16 = START | END | WINDOW;
}

/// The header of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Bits of [`flag`].
    pub flags: u16,
    /// Length of the payload that follows, bytes.
    pub payload_bytes: u32,
    /// The same random number in all blocks of a recording: leftovers of other files do not mix in.
    pub trace_id: [u8; 16],
    /// Counts the blocks of a recording, over all its segments.
    pub seq: u64,
    /// When the block was closed, nanoseconds of CLOCK_BOOTTIME; never less than that of the block before.
    pub sealed_boot_ns: u64,
    /// Earliest event, nanoseconds of CLOCK_BOOTTIME; `sealed_boot_ns` when there is none.
    pub first_boot_ns: u64,
    /// Latest event, nanoseconds of CLOCK_BOOTTIME; `sealed_boot_ns` when there is none.
    pub last_boot_ns: u64,
    /// CLOCK_REALTIME minus CLOCK_BOOTTIME for all events of the block, nanoseconds.
    pub wall_minus_boot_ns: i64,
    /// Events in the block.
    pub events: u32,
    /// How often the wall clock has been stepped since the recording began.
    pub clock_steps: u32,
    /// Length of all sections once unpacked, bytes.
    pub raw_bytes: u32,
    /// CRC32C of the payload.
    pub payload_crc: u32,
}

/// Why 96 bytes are no header of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// Marker or checksum are wrong, or a number makes no sense.
    Malformed(Malformed),
    /// A whole header of a newer format: its version.
    Newer(u16),
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MARKER);
        put(&VERSION.to_le_bytes());
        put(&self.flags.to_le_bytes());
        put(&self.payload_bytes.to_le_bytes());
        put(&self.trace_id);
        put(&self.seq.to_le_bytes());
        put(&self.sealed_boot_ns.to_le_bytes());
        put(&self.first_boot_ns.to_le_bytes());
        put(&self.last_boot_ns.to_le_bytes());
        put(&self.wall_minus_boot_ns.to_le_bytes());
        put(&self.events.to_le_bytes());
        put(&self.clock_steps.to_le_bytes());
        put(&self.raw_bytes.to_le_bytes());
        put(&[0; 4]);
        put(&self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// # Errors
    /// See [`NoHeader`].
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, NoHeader> {
        let malformed = |what| NoHeader::Malformed(Malformed(what));
        if !bytes.starts_with(&MARKER) {
            return Err(malformed("no marker of a block"));
        }
        let (fields, crc) = bytes.split_at(HEADER_BYTES - 4);
        if crc != crc32c::crc32c(fields).to_le_bytes() {
            return Err(malformed("the checksum of a block's header is wrong"));
        }
        let version = u16::from_le_bytes(field(bytes, 8));
        if version > VERSION {
            return Err(NoHeader::Newer(version));
        }
        let header = Self {
            flags: u16::from_le_bytes(field(bytes, 10)),
            payload_bytes: u32::from_le_bytes(field(bytes, 12)),
            trace_id: field(bytes, 16),
            seq: u64::from_le_bytes(field(bytes, 32)),
            sealed_boot_ns: u64::from_le_bytes(field(bytes, 40)),
            first_boot_ns: u64::from_le_bytes(field(bytes, 48)),
            last_boot_ns: u64::from_le_bytes(field(bytes, 56)),
            wall_minus_boot_ns: i64::from_le_bytes(field(bytes, 64)),
            events: u32::from_le_bytes(field(bytes, 72)),
            clock_steps: u32::from_le_bytes(field(bytes, 76)),
            raw_bytes: u32::from_le_bytes(field(bytes, 80)),
            payload_crc: u32::from_le_bytes(field(bytes, 88)),
        };
        if header.payload_bytes > MOST_BYTES || header.raw_bytes > MOST_BYTES {
            return Err(malformed("a block is longer than any may be"));
        }
        // Each event takes a byte in some column at least.
        if header.events > header.raw_bytes {
            return Err(malformed("a block says more events than it has bytes"));
        }
        if version == 0 || header.first_boot_ns > header.last_boot_ns {
            return Err(malformed("a block's header contradicts itself"));
        }
        Ok(header)
    }

    /// Is this the first block of a file or segment?
    pub const fn starts(&self) -> bool {
        self.flags & flag::START != 0
    }

    /// Is this the first block of a window of the flight recorder?
    pub const fn begins_window(&self) -> bool {
        self.starts() && self.flags & flag::WINDOW != 0
    }

    /// Is this the last block of a recording that ended cleanly?
    pub const fn ends(&self) -> bool {
        self.flags & flag::END != 0
    }

    /// Nanoseconds of the wall clock (since 1970) at a time of CLOCK_BOOTTIME.
    pub const fn wall_ns(&self, boot_ns: u64) -> i128 {
        boot_ns as i128 + self.wall_minus_boot_ns as i128
    }
}

/// `N` bytes at an offset that lies within the header.
fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            flags: flag::START,
            payload_bytes: 1000,
            trace_id: *b"0123456789abcdef",
            seq: 7,
            sealed_boot_ns: 30,
            first_boot_ns: 10,
            last_boot_ns: 20,
            wall_minus_boot_ns: -5,
            events: 3,
            clock_steps: 1,
            raw_bytes: 2000,
            payload_crc: 0xdead_beef,
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn any_flipped_bit_spoils_a_header() {
        let bytes = header().encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut spoiled = bytes;
            spoiled[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&spoiled).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = header().encode();
        bytes[8] = 9;
        let crc = crc32c::crc32c(&bytes[..92]);
        bytes[92..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(NoHeader::Newer(9)));
    }

    #[test]
    fn a_bomb_is_refused() {
        let most = MOST_BYTES + 1;
        for bomb in [
            Header {
                payload_bytes: most,
                ..header()
            },
            Header {
                raw_bytes: most,
                ..header()
            },
            Header {
                events: u32::MAX,
                ..header()
            },
        ] {
            assert!(Header::decode(&bomb.encode()).is_err());
        }
    }
}
