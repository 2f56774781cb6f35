//! The one place where what a process can name becomes safe to print.
//!
//! A comm, a path or an interface name may hold any bytes: sequences that steer the terminal, marks that
//! turn the direction of writing around, characters that cannot be seen. All of these become visible.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Bytes as text for a terminal: what could steer, hide or reorder becomes `\n`, `\x1b` or `\u{202e}`, a
/// byte that is not UTF-8 `\xff`, and a backslash `\\`.
pub fn name(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                // Writing to a String cannot fail.
                '\0'..='\x7f' if c.is_control() => _ = write!(text, "\\x{:02x}", u32::from(c)),
                c if is_unsafe(c) => _ = write!(text, "\\u{{{:x}}}", u32::from(c)),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A line of JSON, its unsafe characters written as `\uXXXX`: the same value, safe on a terminal. JSON has
/// such characters in strings only, where that is allowed; its writer has escaped those below U+0020.
pub fn json(line: String) -> String {
    if !line.chars().any(|c| is_unsafe(c) && c != '\n') {
        return line;
    }
    let mut text = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if is_unsafe(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// Whether a character steers the terminal, reorders text, or cannot be seen.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// How many columns an escaped text takes at most; East Asian wide characters and pictures take two.
pub fn width(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.chars().map(columns).sum()
    }
}

fn columns(c: char) -> usize {
    match u32::from(c) {
        0x1100..=0x11ff | 0x2300..=0x2bff | 0x2e80..=0xa4cf | 0xa960..=0xa97f => 2,
        0xac00..=0xd7ff | 0xf900..=0xfaff | 0xfe10..=0xfe6f | 0xff01..=0xff60 | 0xffe0..=0xffe6 => {
            2
        }
        0x16fe0..=0x1b2ff | 0x1f000..=0x1faff | 0x20000..=0x3ffff => 2,
        _ => 1,
    }
}

/// Cuts the middle out of a text that is wider than `max` columns; the end, which tells more apart in paths
/// and endpoints, keeps the larger part.
pub fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return text.into();
    }
    let Some(room) = max.checked_sub(1) else {
        return "".into();
    };
    let head_end = fitting(
        text.char_indices().map(|(at, c)| (at + c.len_utf8(), c)),
        room * 2 / 5,
        0,
    );
    let left = room - width(&text[..head_end]);
    let tail_start = fitting(text.char_indices().rev(), left, text.len());
    format!("{}…{}", &text[..head_end], &text[tail_start..]).into()
}

/// The last boundary at which the characters so far still fit into `room` columns.
fn fitting(boundaries: impl Iterator<Item = (usize, char)>, room: usize, start: usize) -> usize {
    let mut used = 0;
    boundaries
        .take_while(|(_, c)| {
            used += columns(*c);
            used <= room
        })
        .last()
        .map_or(start, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_names_stay_as_they_are() {
        for text in [
            "batchd",
            "kworker/0:1-ev",
            "Ünïcode",
            "夜間処理",
            "a b",
            "café☕",
        ] {
            assert_eq!(name(text.as_bytes()), text);
        }
    }

    #[test]
    fn hostile_bytes_become_visible() {
        assert_eq!(
            name(b"\x1b[2J\x1b]0;owned\x07"),
            "\\x1b[2J\\x1b]0;owned\\x07"
        );
        assert_eq!(name(b"a\nb\rc\td\0e\x7f"), "a\\nb\\rc\\td\\x00e\\x7f");
        assert_eq!(name("\u{9b}31m".as_bytes()), "\\u{9b}31m");
        assert_eq!(name(b"\x9b31m\xff"), "\\x9b31m\\xff");
        assert_eq!(name("x\u{202e}txt".as_bytes()), "x\\u{202e}txt");
        assert_eq!(
            name("a\u{200b}b\u{feff}\u{e0041}".as_bytes()),
            "a\\u{200b}b\\u{feff}\\u{e0041}"
        );
        assert_eq!(name(b"\\x1b"), "\\\\x1b");
        assert_eq!(name(b"\xe5\xa4"), "\\xe5\\xa4");
    }

    #[test]
    fn every_control_character_is_escaped() {
        for byte in 0..=u8::MAX {
            assert!(
                !name(&[b'a', byte, b'b']).chars().any(is_unsafe),
                "{byte:#x}"
            );
        }
        for c in '\0'..=char::MAX {
            let text = name(c.to_string().as_bytes());
            assert!(!text.chars().any(is_unsafe), "{c:?}");
            assert!(!text.chars().any(char::is_control), "{c:?}");
        }
    }

    #[test]
    fn json_keeps_its_value_and_loses_its_power() {
        let value =
            serde_json::Value::from("\u{1b}[2J \u{9b}31m \u{202e} \u{e0041} 夜 \u{7f} \\ \" \n");
        let line = json(value.to_string());
        assert!(!line.chars().any(is_unsafe), "{line}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&line).unwrap(),
            value
        );
    }

    #[test]
    fn a_long_text_loses_its_middle() {
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(
            shorten("/var/lib/some/deep/place/socket", 16),
            "/var/l…ce/socket"
        );
        assert_eq!(shorten("夜間処理夜間処理", 9), "夜…間処理");
        assert_eq!(shorten("long", 1), "…");
        assert_eq!(shorten("long", 0), "");
    }

    #[test]
    fn a_shortened_text_is_never_too_wide() {
        let text = "[2001:db8::夜間:処理]:44300/☕x";
        for max in 0..40 {
            assert!(width(&shorten(text, max)) <= max, "{max}");
        }
    }
}
