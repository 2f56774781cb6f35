//! Integers in bytes: varints (LEB128) and zigzag, and a cursor that never reads past its end.
//!
//! Whatever is read here may come from a hostile file: every failure is a [`Malformed`], never a panic.

use std::fmt;

/// Bytes that cannot be what the format says. The text says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// Appends `value`, seven bits a byte, least significant first.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign become small numbers: 0, -1, 1, -2… become 0, 1, 2, 3…
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The way back from [`zigzag`].
#[inline]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Has everything been read?
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that are left.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// # Errors
    /// When the bytes end within the number, or it does not fit into 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        // Nearly all numbers of a column take one byte.
        if let [first @ 0..0x80, rest @ ..] = self.bytes {
            self.bytes = rest;
            return Ok(u64::from(*first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self
                .bytes
                .split_first()
                .ok_or(Malformed("a number is cut off"))?;
            self.bytes = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("a number is too long"))
    }

    /// # Errors
    /// When there are fewer than `count` bytes left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or(Malformed("bytes are cut off"))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A varint that counts or measures something that is still to come in these bytes; so it is never larger
    /// than what is left, and safe to allocate for.
    ///
    /// # Errors
    /// When it is larger.
    pub fn length(&mut self) -> Result<usize, Malformed> {
        let length = self.varint()?;
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.bytes.len())
            .ok_or(Malformed("a length goes past the end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were() {
        let powers = (0..64).flat_map(|bit| {
            let power = 1_u64 << bit;
            [power - 1, power, power | 1]
        });
        for value in powers.chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.varint(), Ok(value));
            assert!(cursor.is_empty());
            let signed = value as i64;
            assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }

    #[test]
    fn a_cut_or_overlong_number_is_refused() {
        assert!(Cursor::new(&[]).varint().is_err());
        assert!(Cursor::new(&[0x80]).varint().is_err());
        assert!(Cursor::new(&[0xff; 9]).varint().is_err());
        assert!(Cursor::new(&[0xff; 20]).varint().is_err());
        let mut most = vec![0xff; 9];
        most.push(2);
        assert!(Cursor::new(&most).varint().is_err());
    }

    #[test]
    fn a_length_is_believed_only_as_far_as_there_are_bytes() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, 3);
        bytes.extend([1, 2, 3]);
        assert_eq!(Cursor::new(&bytes).length(), Ok(3));
        assert!(Cursor::new(&bytes[..3]).length().is_err());
        let mut huge = Vec::new();
        put_varint(&mut huge, u64::MAX);
        assert!(Cursor::new(&huge).length().is_err());
    }
}
