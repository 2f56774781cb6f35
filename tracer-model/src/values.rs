//! Values as people type them, on the command line and in triggers. Each error says what was expected, with an
//! example.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use tracer_common::ERRNO_WORDS;

use crate::event::EventKind;
use crate::filter::{Comm, Proto};

/// A duration longer than 0: `30s`, `1h30m`.
///
/// # Errors
/// What was expected, with an example.
pub fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("a duration longer than 0 is needed, for example 30s".to_string()),
        Err(_) => Err("expected a number with a unit, for example 30s, 5m or 1h30m".to_string()),
    }
}

/// A process id.
///
/// # Errors
/// What was expected, with an example.
pub fn pid(text: &str) -> Result<u32, String> {
    // PID_MAX_LIMIT of the kernel is 2^22, but any pid_t is a clear "no process" later.
    text.parse()
        .ok()
        .filter(|pid| (1..=i32::MAX as u32).contains(pid))
        .ok_or_else(|| {
            "expected a process id, for example 4242; for a process name use --comm".to_string()
        })
}

/// A port, or a range of ports with both ends: `443`, `8000-8099`.
///
/// # Errors
/// What was expected, with an example.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
    port(first)
        .zip(port(last))
        .filter(|(first, last)| first <= last)
        .map(|(first, last)| first..=last)
        .ok_or_else(|| {
            "expected a port from 1 to 65535, for example 443, or a range, for example 8000-8099"
                .to_string()
        })
}

/// An address, or a network in CIDR form.
///
/// # Errors
/// What was expected, with an example.
pub fn remote(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(address.into());
    }
    IpNet::from_str(text).map_err(|_| {
        "expected an address or a network in CIDR form, for example 10.0.0.12, 10.0.0.0/8 or \
         2001:db8::/32"
            .to_string()
    })
}

/// An event kind that can be asked for.
///
/// # Errors
/// What was expected, with an example.
pub fn event_kind(text: &str) -> Result<EventKind, String> {
    match EventKind::from_str(text) {
        Ok(EventKind::Lost) => Err("lost events are always shown: leave it out".to_string()),
        Ok(event_kind) => Ok(event_kind),
        Err(_) => {
            let names: Vec<_> = EventKind::ALL
                .iter()
                .filter(|event_kind| **event_kind != EventKind::Lost)
                .map(|s| s.name())
                .collect();
            Err(format!("expected one of {}", names.join(", ")))
        }
    }
}

/// An errno by name or number.
///
/// # Errors
/// What was expected, with an example.
pub fn errno(text: &str) -> Result<u32, String> {
    let errno = crate::errno::parse(text)?;
    if errno == 0 || errno as usize >= ERRNO_WORDS * 64 {
        return Err(format!(
            "expected an errno from 1 to {}, for example 70 or ECOMM",
            ERRNO_WORDS * 64 - 1
        ));
    }
    Ok(errno)
}

/// The name of a process, as the kernel keeps it.
///
/// # Errors
/// What was expected, with an example.
pub fn comm(bytes: &[u8]) -> Result<Comm, String> {
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

/// A protocol by its name.
///
/// # Errors
/// What was expected, with an example.
pub fn proto(name: &str) -> Result<Proto, String> {
    Proto::ALL
        .into_iter()
        .find(|proto| proto.name().eq_ignore_ascii_case(name))
        .ok_or_else(|| {
            let names = Proto::ALL.map(Proto::name).join(", ");
            format!("expected one of {names}")
        })
}
