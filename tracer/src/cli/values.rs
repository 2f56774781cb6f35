//! Parsers of single values. Each error says what was expected, with an example; clap puts the flag in front.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use ipnet::IpNet;
use jiff::SignedDuration;
use tracer_common::ERRNO_WORDS;

use super::Comm;
use crate::event::Signal;
use crate::kernel::plan::programs;

/// Default of `--rate`, events per second and signal.
pub const DEFAULT_RATE: u64 = 5000;
/// Least `--ring`, bytes.
pub const RING_MIN: u64 = 64 << 10;
/// Most `--ring`, bytes.
pub const RING_MAX: u64 = 1 << 30;

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("a duration longer than 0 is needed, for example 30s".to_string()),
        Err(_) => Err("expected a number with a unit, for example 30s, 5m or 1h30m".to_string()),
    }
}

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
    if programs().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    let names: Vec<_> = programs().collect();
    Err(format!("expected one of: {}", names.join(", ")))
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

pub(crate) fn pid(text: &str) -> Result<u32, String> {
    // PID_MAX_LIMIT of the kernel is 2^22, but any pid_t is a clear "no process" later.
    text.parse()
        .ok()
        .filter(|pid| (1..=i32::MAX as u32).contains(pid))
        .ok_or_else(|| {
            "expected a process id, for example 4242; for a process name use --comm".to_string()
        })
}

pub(crate) fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| "expected a port from 1 to 65535, for example 443".to_string())
}

pub(crate) fn remote(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(address.into());
    }
    IpNet::from_str(text).map_err(|_| {
        "expected an address or a network in CIDR form, for example 10.0.0.12, 10.0.0.0/8 or \
         2001:db8::/32"
            .to_string()
    })
}

pub(crate) fn signal(text: &str) -> Result<Signal, String> {
    match Signal::from_str(text) {
        Ok(Signal::Lost) => Err("lost events are always shown: leave it out".to_string()),
        Ok(signal) => Ok(signal),
        Err(_) => {
            let names: Vec<_> = Signal::ALL
                .iter()
                .filter(|signal| **signal != Signal::Lost)
                .map(|s| s.name())
                .collect();
            Err(format!("expected one of {}", names.join(", ")))
        }
    }
}

pub(crate) fn errno(text: &str) -> Result<u32, String> {
    let errno = crate::errno::parse(text)?;
    if errno == 0 || errno as usize >= ERRNO_WORDS * 64 {
        return Err(format!(
            "expected an errno from 1 to {}, for example 70 or ECOMM",
            ERRNO_WORDS * 64 - 1
        ));
    }
    Ok(errno)
}

pub(crate) fn comm_parser() -> impl TypedValueParser<Value = Comm> {
    OsStringValueParser::new().try_map(|text: OsString| comm(&text))
}

pub(crate) fn comm(text: &OsStr) -> Result<Comm, String> {
    let bytes = text.as_bytes();
    let mut comm = [0; 16];
    match bytes.len() {
        0 => Err("expected a process name, for example batchd".to_string()),
        1..=15 => {
            comm[..bytes.len()].copy_from_slice(bytes);
            Ok(Comm(comm))
        }
        _ => Err(format!(
            "the kernel cuts names at 15 bytes: use \"{}\"",
            String::from_utf8_lossy(&bytes[..15]).escape_debug()
        )),
    }
}
