//! The number that the running kernel's BTF gives to a function: what a program that attaches to it needs.

use std::fs;

use anyhow::{Context, Result, bail};

const HEADER: usize = 24;
const KIND_FUNC: u32 = 12;

/// The BTF id of a function of the kernel proper (not of a module).
pub(crate) fn function(wanted: &str) -> Result<u32> {
    let path = "/sys/kernel/btf/vmlinux";
    let data = fs::read(path).context(path)?;
    let word = |at: usize| -> Result<u32> {
        let bytes = data.get(at..at + 4).context("BTF ends early")?;
        Ok(u32::from_le_bytes(bytes.try_into()?))
    };
    let base = word(4)? as usize;
    let (types, types_len) = (base + word(8)? as usize, word(12)? as usize);
    let names = base + word(16)? as usize;
    if base < HEADER {
        bail!("{path} is not BTF");
    }
    let (mut at, mut id) = (types, 1);
    while at < types + types_len {
        let (name, info) = (word(at)? as usize, word(at + 4)?);
        let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let text = data.get(names + name..).context("BTF ends early")?;
        if kind == KIND_FUNC
            && text.starts_with(wanted.as_bytes())
            && text.get(wanted.len()) == Some(&0)
        {
            return Ok(id);
        }
        // What follows the common part of 12 bytes (include/uapi/linux/btf.h).
        at += 12
            + match kind {
                1 | 14 | 17 => 4,        // int, var, decl tag
                3 => 12,                 // array
                4 | 5 => 12 * members,   // struct, union
                6 | 13 => 8 * members,   // enum, function prototype
                15 | 19 => 12 * members, // section, 64-bit enum
                _ => 0,
            };
        id += 1;
    }
    bail!("no function {wanted} in {path}")
}
