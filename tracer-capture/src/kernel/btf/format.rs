//! The format of BTF: kinds, and the words that start a type (`include/uapi/linux/btf.h`).

/// `BTF_KIND_*` of `include/uapi/linux/btf.h`.
pub(super) mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FWD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

/// Why bytes are not BTF that this program can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BtfError {
    /// Not BTF, another byte order, or another version.
    Format(&'static str),
    /// A section ends early.
    Truncated,
    /// A kind of type that did not exist when this was written; its length is unknown.
    UnknownKind(u32),
}

impl std::fmt::Display for BtfError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Format(what) => f.write_str(what),
            Self::Truncated => f.write_str("BTF ends early"),
            Self::UnknownKind(kind) => write!(f, "BTF has types of an unknown kind ({kind})"),
        }
    }
}

impl std::error::Error for BtfError {}

/// The three words that start every type.
#[derive(Clone, Copy)]
pub(super) struct Type {
    /// Where the words after these three start.
    pub rest: usize,
    pub name: u32,
    pub info: u32,
    /// Size in bytes, or the id of another type.
    pub target: u32,
}

impl Type {
    pub const fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }
    pub const fn count(self) -> usize {
        (self.info & 0xffff) as usize
    }
    pub const fn kind_flag(self) -> bool {
        self.info >> 31 != 0
    }
    /// Bytes after the three words.
    pub fn rest_bytes(self) -> Result<usize, BtfError> {
        Ok(match self.kind() {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => self.count() * 12,
            kind::ENUM | kind::FUNC_PROTO => self.count() * 8,
            kind::PTR..=kind::TYPE_TAG => 0,
            unknown => return Err(BtfError::UnknownKind(unknown)),
        })
    }
}

/// A little-endian word; `None` beyond the end.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at.checked_add(4)?)?
        .try_into()
        .ok()
        .map(u32::from_le_bytes)
}
