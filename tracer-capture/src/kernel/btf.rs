//! What the running kernel's BTF says: offsets of fields, values of enumerations, prototypes of tracepoints.
//!
//! The bytes are indexed once, in place, and nothing is copied out of them: two small tables beside the file
//! itself (offset of each type; hash of each name). The whole of it is dropped before tracing starts. The
//! format is `Documentation/bpf/btf.rst`; only little-endian, stand-alone sections (vmlinux) are read.

mod format;

use std::collections::BTreeMap;

use tracer_common::{FIELDS, Field, Form, OFFSET_COUNT, UNRESOLVED};

pub use format::BtfError;
use format::{Type, kind, word};

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
const TYPE_BYTES: usize = 12;
/// Longest chain of typedefs and pointers that is followed; hostile input may be cyclic.
const MAX_DEPTH: usize = 32;
/// Deepest nesting of anonymous members; the kernel's is 4 or so, and each level may branch.
const MAX_ANONYMOUS: usize = 8;

/// An indexed BTF section.
pub struct Btf {
    bytes: Vec<u8>,
    /// Offset in `bytes` of each type; type 0 is `void` and has none.
    types: Vec<u32>,
    /// (hash of the name, id), sorted: structs, unions, enums, typedefs and functions.
    names: Vec<(u32, u32)>,
    /// Offset in `bytes` of the strings, and their length.
    strings: (usize, usize),
}

impl Btf {
    /// Indexes the kernel's own BTF, vmlinux (5 to 10 MB; some 10 ms).
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let word = |at| word(&bytes, at).ok_or(BtfError::Truncated);
        let first = word(0)?;
        if first as u16 != MAGIC {
            return Err(BtfError::Format("not little-endian BTF"));
        }
        if first >> 16 != 1 {
            return Err(BtfError::Format("unknown version of BTF"));
        }
        let header = word(4)? as usize;
        if header < HEADER_BYTES {
            return Err(BtfError::Format("BTF header is too short"));
        }
        let section = |offset: u32, length: u32| {
            let start = header
                .checked_add(offset as usize)
                .ok_or(BtfError::Truncated)?;
            let end = start
                .checked_add(length as usize)
                .ok_or(BtfError::Truncated)?;
            if end > bytes.len() {
                Err(BtfError::Truncated)
            } else {
                Ok((start, end))
            }
        };
        let (mut at, types_end) = section(word(8)?, word(12)?)?;
        let (strings_start, strings_end) = section(word(16)?, word(20)?)?;
        u32::try_from(types_end).map_err(|_| BtfError::Format("BTF is too large"))?;

        let mut btf = Self {
            types: Vec::with_capacity((types_end - at) / 24),
            names: Vec::with_capacity((types_end - at) / 36),
            strings: (strings_start, strings_end - strings_start),
            bytes,
        };
        while at < types_end {
            let ty = btf.type_at(at).ok_or(BtfError::Truncated)?;
            let next = ty.rest + ty.rest_bytes()?;
            if next > types_end {
                return Err(BtfError::Truncated);
            }
            btf.types.push(at as u32);
            let indexed = matches!(
                ty.kind(),
                kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::TYPEDEF | kind::FUNC
            );
            if indexed && ty.name != 0 {
                let hash = hash(btf.string(ty.name).ok_or(BtfError::Truncated)?);
                btf.names.push((hash, btf.types.len() as u32));
            }
            at = next;
        }
        btf.names.sort_unstable();
        Ok(btf)
    }

    /// Offset of a field as [`tracer_common::Offsets`] wants it: bytes, or for a bit-field that is read as one
    /// `byte | shift << 16 | width << 24`. `None` when no alternative exists that can be read in the field's form.
    pub fn offset(&self, field: &Field) -> Option<u32> {
        field.paths.iter().find_map(|path| {
            self.named(field.container, &[kind::STRUCT, kind::UNION])
                .find_map(|container| self.path_offset(container, path, field.form))
        })
    }

    /// All of [`FIELDS`], in their order, and those that this kernel does not have.
    pub fn offsets(&self) -> ([u32; OFFSET_COUNT], Vec<&'static Field>) {
        let mut unresolved = Vec::new();
        let mut offsets = [UNRESOLVED; OFFSET_COUNT];
        for (slot, field) in offsets.iter_mut().zip(FIELDS) {
            match self.offset(field) {
                Some(offset) => *slot = offset,
                None => unresolved.push(field),
            }
        }
        (offsets, unresolved)
    }

    /// Values of an enumeration and their full names; of two names for one value the first wins.
    pub fn enum_names(&self, name: &str) -> Option<BTreeMap<u32, String>> {
        let ty = self.named(name, &[kind::ENUM, kind::ENUM64]).next()?;
        let step = if ty.kind() == kind::ENUM { 8 } else { 12 };
        let mut names = BTreeMap::new();
        for index in 0..ty.count() {
            let at = ty.rest + index * step;
            let name = self.text(word(&self.bytes, at)?)?;
            names.entry(word(&self.bytes, at + 4)?).or_insert(name);
        }
        Some(names)
    }

    /// [`Btf::enum_names`] without a common prefix; names that lack it stay whole.
    pub fn enum_names_without(&self, name: &str, prefix: &str) -> Option<BTreeMap<u32, String>> {
        let mut names = self.enum_names(name)?;
        for name in names.values_mut() {
            if let Some(short) = name.strip_prefix(prefix) {
                *name = short.to_owned();
            }
        }
        Some(names)
    }

    /// Number of a tracepoint's type, which programs with typed arguments name, and how many arguments it has.
    pub fn tracepoint(&self, name: &str) -> Option<(u32, usize)> {
        let typedef = format!("btf_trace_{name}");
        let (id, _) = self.ids(&typedef, &[kind::TYPEDEF]).next()?;
        Some((id, self.tracepoint_args(name)?))
    }

    /// How many arguments a tracepoint has, without the leading `void *__data`.
    pub fn tracepoint_args(&self, name: &str) -> Option<usize> {
        self.tracepoint_proto(name)?.count().checked_sub(1)
    }

    /// The C types of those arguments.
    pub fn tracepoint_arg_types(&self, name: &str) -> Option<Vec<String>> {
        let proto = self.tracepoint_proto(name)?;
        (1..proto.count())
            .map(|index| self.type_name(word(&self.bytes, proto.rest + index * 8 + 4)?, 0))
            .collect()
    }

    /// How many arguments a function has. That it is in BTF does not mean that every call goes through it:
    /// the compiler may have inlined some.
    pub fn func_args(&self, name: &str) -> Option<usize> {
        let func = self.named(name, &[kind::FUNC]).next()?;
        let proto = self.by_id(func.target)?;
        (proto.kind() == kind::FUNC_PROTO).then(|| proto.count())
    }

    /// Whether a function of that name is in BTF.
    pub fn has_func(&self, name: &str) -> bool {
        self.named(name, &[kind::FUNC]).next().is_some()
    }

    /// Whether a struct of that name is defined.
    pub fn has_struct(&self, name: &str) -> bool {
        self.named(name, &[kind::STRUCT]).next().is_some()
    }

    /// Size of a struct in bytes.
    pub fn struct_bytes(&self, name: &str) -> Option<u32> {
        // Its size stands where other kinds have their target.
        Some(self.named(name, &[kind::STRUCT]).next()?.target)
    }

    /// Whether an enumeration has a constant of that name.
    pub fn has_enum_value(&self, enumeration: &str, constant: &str) -> bool {
        self.enum_names(enumeration)
            .is_some_and(|names| names.values().any(|name| name == constant))
    }

    fn tracepoint_proto(&self, name: &str) -> Option<Type> {
        let typedef = self
            .named(&format!("btf_trace_{name}"), &[kind::TYPEDEF])
            .next()?;
        let pointer = self.by_id(typedef.target)?;
        let proto = self.by_id(pointer.target)?;
        (pointer.kind() == kind::PTR && proto.kind() == kind::FUNC_PROTO).then_some(proto)
    }

    fn path_offset(&self, container: Type, path: &str, form: Form) -> Option<u32> {
        let mut ty = container;
        let mut bits = 0u32;
        let (mut width, mut target) = (0, 0);
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let (part, element) = element(part)?;
            let offset;
            (offset, width, target) = self.member(ty, part.as_bytes(), 0)?;
            bits = bits.checked_add(offset)?;
            if let Some(index) = element {
                let place;
                (place, target) = self.word_of_array(target, index)?;
                bits = bits.checked_add(place)?;
            }
            if parts.peek().is_some() {
                ty = self.resolve(target)?;
            }
        }
        let (byte, shift) = (bits / 8, bits % 8);
        if byte > 0xffff {
            return None;
        }
        let is_whole = |wanted| match width {
            0 => shift == 0 && self.bits_of(target) == Some(wanted),
            _ => width == wanted && bits.is_multiple_of(wanted),
        };
        match form {
            Form::Plain => (width == 0 && shift == 0).then_some(byte),
            Form::Wide(wanted) => is_whole(wanted).then_some(byte),
            Form::Bits if is_whole(8) => Some(byte),
            Form::Bits => {
                (width != 0 && shift + width <= 8).then_some(byte | shift << 16 | width << 24)
            }
        }
    }

    /// Width of a number: what is laid out as a bit-field in the old way (`BTF_INT_BITS`) has another.
    fn bits_of(&self, id: u32) -> Option<u32> {
        let ty = self.resolve(id)?;
        match ty.kind() {
            kind::INT => Some(word(&self.bytes, ty.rest)? & 0xff),
            kind::ENUM => ty.target.checked_mul(8),
            _ => None,
        }
    }

    /// (bit offset, width of a bit-field or 0, type) of a member, also inside anonymous members.
    fn member(&self, ty: Type, name: &[u8], depth: usize) -> Option<(u32, u32, u32)> {
        if depth > MAX_ANONYMOUS || !matches!(ty.kind(), kind::STRUCT | kind::UNION) {
            return None;
        }
        for index in 0..ty.count() {
            let at = ty.rest + index * 12;
            let member_name = word(&self.bytes, at)?;
            let target = word(&self.bytes, at + 4)?;
            let raw = word(&self.bytes, at + 8)?;
            let (bits, width) = if ty.kind_flag() {
                (raw & 0xff_ffff, raw >> 24)
            } else {
                (raw, 0)
            };
            if member_name == 0 {
                let inner = self
                    .resolve(target)
                    .and_then(|inner| self.member(inner, name, depth + 1));
                if let Some((inner_bits, inner_width, inner_target)) = inner {
                    return Some((bits.checked_add(inner_bits)?, inner_width, inner_target));
                }
            } else if self.string(member_name) == Some(name) {
                return Some((bits, width, target));
            }
        }
        None
    }

    /// Offset in bits and type of an element of an array of 64-bit words.
    fn word_of_array(&self, id: u32, index: u32) -> Option<(u32, u32)> {
        let array = self.resolve(id)?;
        if array.kind() != kind::ARRAY {
            return None;
        }
        // Type of the elements, type of the index, how many.
        let target = word(&self.bytes, array.rest)?;
        let element = self.resolve(target)?;
        let count = word(&self.bytes, array.rest + 8)?;
        let fits = element.kind() == kind::INT && element.target == 8 && index < count;
        fits.then_some((index.checked_mul(64)?, target))
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<Type> {
        for _ in 0..MAX_DEPTH {
            let ty = self.by_id(id)?;
            match ty.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = ty.target
                }
                _ => return Some(ty),
            }
        }
        None
    }

    fn type_name(&self, id: u32, depth: usize) -> Option<String> {
        if id == 0 {
            return Some("void".to_owned());
        }
        if depth > MAX_DEPTH {
            return None;
        }
        let ty = self.by_id(id)?;
        Some(match ty.kind() {
            kind::PTR => {
                let target = self.type_name(ty.target, depth + 1)?;
                if target.ends_with('*') {
                    format!("{target}*")
                } else {
                    format!("{target} *")
                }
            }
            kind::CONST => format!("const {}", self.type_name(ty.target, depth + 1)?),
            kind::VOLATILE | kind::RESTRICT | kind::TYPE_TAG => {
                self.type_name(ty.target, depth + 1)?
            }
            kind::STRUCT => format!("struct {}", self.text(ty.name)?),
            kind::FWD if !ty.kind_flag() => format!("struct {}", self.text(ty.name)?),
            kind::UNION | kind::FWD => format!("union {}", self.text(ty.name)?),
            kind::ENUM | kind::ENUM64 => format!("enum {}", self.text(ty.name)?),
            kind::FUNC_PROTO => "function".to_owned(),
            kind::ARRAY => "array".to_owned(),
            _ => self.text(ty.name)?,
        })
    }

    /// Number of a function in BTF.
    pub fn func_id(&self, name: &str) -> Option<u32> {
        self.ids(name, &[kind::FUNC]).next().map(|(id, _)| id)
    }

    /// Number of a struct in BTF.
    pub fn struct_id(&self, name: &str) -> Option<u32> {
        self.ids(name, &[kind::STRUCT]).next().map(|(id, _)| id)
    }

    fn named<'a>(
        &'a self,
        name: &'a str,
        kinds: &'static [u32],
    ) -> impl Iterator<Item = Type> + 'a {
        self.ids(name, kinds).map(|(_, ty)| ty)
    }

    fn ids<'a>(
        &'a self,
        name: &'a str,
        kinds: &'static [u32],
    ) -> impl Iterator<Item = (u32, Type)> + 'a {
        let hash = hash(name.as_bytes());
        let start = self.names.partition_point(|&(other, _)| other < hash);
        self.names[start..]
            .iter()
            .take_while(move |&&(other, _)| other == hash)
            .filter_map(|&(_, id)| Some((id, self.by_id(id)?)))
            .filter(|(_, ty)| {
                kinds.contains(&ty.kind()) && self.string(ty.name) == Some(name.as_bytes())
            })
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        self.type_at(*self.types.get((id as usize).checked_sub(1)?)? as usize)
    }

    fn type_at(&self, at: usize) -> Option<Type> {
        let words = self.bytes.get(at..at + TYPE_BYTES)?;
        Some(Type {
            rest: at + TYPE_BYTES,
            name: word(words, 0)?,
            info: word(words, 4)?,
            target: word(words, 8)?,
        })
    }

    fn string(&self, offset: u32) -> Option<&[u8]> {
        let (start, length) = self.strings;
        let text = self
            .bytes
            .get(start..start + length)?
            .get(offset as usize..)?;
        text.get(..text.iter().position(|&byte| byte == 0)?)
    }

    fn text(&self, offset: u32) -> Option<String> {
        Some(String::from_utf8_lossy(self.string(offset)?).into_owned())
    }
}

/// A part of a path, `regs[2]`: the member and the element of it.
fn element(part: &str) -> Option<(&str, Option<u32>)> {
    match part.strip_suffix(']') {
        None => Some((part, None)),
        Some(part) => {
            let (name, index) = part.split_once('[')?;
            Some((name, Some(index.parse().ok()?)))
        }
    }
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests;
