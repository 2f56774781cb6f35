//! Parsers of single values. Each error says what was expected, with an example; clap puts the flag in front.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use jiff::SignedDuration;
#[cfg(feature = "capture")]
use tracer_capture::kernel::plan::programs;
use tracer_model::filter::{Comm, Proto};
pub(crate) use tracer_model::values::{
    comm, duration, errno, event_kind, pid, ports, proto, remote,
};

/// Default of `--rate`, events per second and event kind.
pub const DEFAULT_RATE: u64 = 5000;
/// How often `live --report` samples the host, and `record` if nothing else is said.
pub const DEFAULT_SAMPLES: Duration = Duration::from_secs(10);
/// Least `--ring`, bytes.
pub const RING_MIN: u64 = 64 << 10;
/// Most `--ring`, bytes.
pub const RING_MAX: u64 = 1 << 30;

/// A duration that may be negative: `2s`, `+2s`, `-350ms`.
pub(crate) fn signed_duration(text: &str) -> Result<SignedDuration, String> {
    let (negative, bare) = match text.strip_prefix('-') {
        Some(bare) => (true, bare),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let time = humantime::parse_duration(bare).ok();
    let time = time.and_then(|time| SignedDuration::try_from(time).ok());
    let time = time.ok_or("expected a number with a unit, for example 2s or -350ms")?;
    Ok(if negative { -time } else { time })
}

/// A duration of a second or more: for what costs something each time.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time < Duration::from_secs(1) {
        return Err("expected a second or more, for example 10s or 5m".to_string());
    }
    Ok(time)
}

pub(crate) fn positive(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| "expected a whole number above 0, for example 100".to_string())
}

/// The name of a BPF program.
pub(crate) fn program(text: &str) -> Result<String, String> {
    #[cfg(feature = "capture")]
    if !programs().any(|name| name == text) {
        let names: Vec<_> = programs().collect();
        return Err(format!("expected one of: {}", names.join(", ")));
    }
    Ok(text.to_owned())
}

pub(crate) fn ring_size(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if (RING_MIN..=RING_MAX).contains(&bytes) {
        Ok(bytes)
    } else {
        Err("expected a size from 64K to 1G".to_string())
    }
}

/// A size of a file, or of what stands for one: a trace cannot be cut finer than its blocks.
pub(crate) fn large_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if bytes >= 1 << 20 => Ok(bytes),
        _ => Err("expected 1M or more, for example 256M or 10G".to_string()),
    }
}

/// Whether a path stands for standard input or output; a file of that name is `./-`.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Bytes, or bytes with a binary unit: `65536`, `64K`, `64KiB`, `8M`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        _ => None,
    };
    number
        .parse::<u64>()
        .ok()
        .zip(shift)
        .and_then(|(number, shift)| number.checked_mul(1 << shift))
        .ok_or_else(|| {
            "expected bytes, or a number with K, M or G, for example 64K or 8M".to_string()
        })
}

pub(crate) fn comm_parser() -> impl TypedValueParser<Value = Comm> {
    OsStringValueParser::new().try_map(|text: OsString| comm(text.as_encoded_bytes()))
}

pub(crate) fn proto_parser() -> impl TypedValueParser<Value = Proto> {
    PossibleValuesParser::new(Proto::ALL.map(Proto::name)).try_map(|name: String| proto(&name))
}
