//! One line of an application's log: JSON or logfmt, told apart by its first byte. Whatever it holds, at worst it is
//! a bad line.

use std::net::{IpAddr, SocketAddr};

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::fields::{Fields, Meaning};
use super::time::{self, LogTime};
use tracer_model::errno;

/// No longer line is read, bytes.
pub const LONGEST: usize = 64 * 1024;
/// Fields of a line that are read.
const PAIRS: usize = 256;
/// The key under which words without a value are kept: no field can have this name.
const FREE_TEXT: &str = "";
/// Characters of an id that are kept.
const ID: usize = 128;

/// What a line says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From 1.
    pub line: u64,
    pub time: LogTime,
    /// The name of the field, and the id.
    pub id: Option<(String, String)>,
    pub peer: Option<Named>,
    /// The own end, which tells connections to one destination apart.
    pub local: Option<Named>,
    pub errno: Option<u32>,
    /// Which retry, and of how many.
    pub retry: Option<(u64, Option<u64>)>,
    pub bytes: Option<u64>,
    pub pid: Option<u32>,
}

/// A destination as a log names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// `None`: a name, which is not looked up.
    pub address: Option<IpAddr>,
    pub port: Option<u16>,
    /// As it stands there, cut.
    pub text: String,
}

/// Reads a line without its end. `None`: there is nothing on it.
///
/// # Errors
/// Why it cannot be used, in a few words.
pub fn line(
    number: u64,
    bytes: &[u8],
    fields: &Fields,
    zone: &TimeZone,
) -> Result<Option<Entry>, &'static str> {
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() {
        return Ok(None);
    }
    let map = if bytes.starts_with(b"{") {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => map,
            _ => return Err("begins with { but is no JSON object"),
        }
    } else {
        logfmt(&String::from_utf8_lossy(bytes))?
    };
    let time = fields.get(&map, Meaning::Time).ok_or("has no time")?;
    let time = time::parse(time, zone).ok_or("has a time that cannot be read")?;
    let text = |meaning| fields.get(&map, meaning).and_then(plain);
    let number_of = |meaning| text(meaning).and_then(|text| text.parse::<u64>().ok());
    let errors = fields.all(&map, Meaning::Errno);
    Ok(Some(Entry {
        line: number,
        time,
        id: fields.named(&map, Meaning::Id).and_then(|(name, id)| {
            let cut = |text: &str| text.chars().take(ID).collect();
            Some((cut(name), cut(&plain(id)?)))
        }),
        peer: text(Meaning::Peer).map(|peer| {
            let port = number_of(Meaning::Port).and_then(|port| u16::try_from(port).ok());
            named(&peer, port)
        }),
        local: text(Meaning::Local).map(|local| named(&local, None)),
        errno: errors
            .filter_map(plain)
            .find_map(|text| error(&text))
            .or_else(|| messages(&map).find_map(|text| error(&text))),
        retry: text(Meaning::Retry).and_then(|text| {
            let (retry, most) = text.split_once('/').unwrap_or((&text, ""));
            let most = most
                .trim()
                .parse()
                .ok()
                .or_else(|| number_of(Meaning::Retries));
            Some((retry.trim().parse().ok()?, most))
        }),
        bytes: number_of(Meaning::Bytes),
        pid: number_of(Meaning::Pid).and_then(|pid| u32::try_from(pid).ok()),
    }))
}

/// The words of a line for people. A number alone is no errno there.
fn messages(map: &Map<String, Value>) -> impl Iterator<Item = String> {
    let texts = ["msg", "message", "exception", "reason", FREE_TEXT].into_iter();
    let texts = texts.filter_map(|key| plain(map.get(key)?));
    texts.filter(|text| text.parse::<i64>().is_err())
}

/// Texts and numbers alike as text.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `key=value key="value with \"quotes\"" word`; words without a value are the free text of the line. A line that has
/// nothing but free text may begin with its time, of one word or two.
fn logfmt(text: &str) -> Result<Map<String, Value>, &'static str> {
    let mut map = Map::new();
    let mut words: Vec<&str> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() && map.len() < PAIRS {
        let end = rest
            .find(|c: char| c == '=' || c.is_whitespace())
            .unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            if words.len() < PAIRS {
                words.push(key);
            }
            rest = after.trim_start();
            continue;
        };
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or("has a quote that does not end")?,
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        if !key.is_empty() {
            map.insert(key.to_owned(), Value::String(value));
        }
        rest = after.trim_start();
    }
    let time = [2, 1].into_iter().find_map(|count| {
        let begin = words.get(..count)?.join("T").replace(',', ".");
        let is_date = begin.contains('-');
        is_date.then(|| time::parse(&Value::String(begin.clone()), &TimeZone::UTC))??;
        Some(begin)
    });
    match time {
        Some(time) if !map.contains_key("time") && !map.contains_key("ts") => {
            map.insert("time".to_owned(), Value::String(time));
        }
        None if map.is_empty() => return Err("is neither JSON nor key=value"),
        _ => {}
    }
    if !words.is_empty() {
        map.insert(FREE_TEXT.to_owned(), Value::String(words.join(" ")));
    }
    Ok(map)
}

/// What stands before the closing quote, and what comes after it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

fn named(text: &str, port: Option<u16>) -> Named {
    let kept: String = text.chars().take(ID).collect();
    let of = |address: Option<IpAddr>, found: Option<u16>| Named {
        address,
        port: found.or(port),
        text: kept.clone(),
    };
    // tcp://10.0.0.12:443/path, tcp:10.0.0.12:443
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split('/').next().unwrap_or(bare);
    if let Ok(address) = bare.parse::<SocketAddr>() {
        return of(Some(address.ip().to_canonical()), Some(address.port()));
    }
    let address = bare.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = address.parse::<IpAddr>() {
        return of(Some(address.to_canonical()), None);
    }
    let found = bare
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    of(None, found)
}

/// The errno that a text speaks of: a number, a name, `errno 70`, `os error 70`, or the words of strerror(3).
pub fn error(text: &str) -> Option<u32> {
    if let Ok(number) = text.trim_start_matches('-').parse::<u32>() {
        return (1..=4095).contains(&number).then_some(number);
    }
    let words = || text.split(|c: char| !c.is_ascii_alphanumeric());
    let name = |word: &str| {
        let is = word.len() > 2
            && word.starts_with('E')
            && !word.bytes().any(|b| b.is_ascii_lowercase());
        is.then(|| errno::parse(word).ok()).flatten()
    };
    if let Some(number) = words().find_map(name) {
        return Some(number);
    }
    let lower = text.to_ascii_lowercase();
    for mark in ["errno", "os error"] {
        let after = lower.split_once(mark).map(|(_, after)| after);
        let digits = after.map(|after| {
            let after = after.trim_start_matches(|c: char| " :=#(".contains(c));
            after
                .chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        });
        if let Some(number) = digits.and_then(|digits| digits.parse().ok()) {
            return (1..=4095).contains(&number).then_some(number);
        }
    }
    let known = (1..134).filter_map(|number| Some((number, errno::described(number)?)));
    known
        .filter(|(_, words)| words.len() > 8 && lower.contains(&words.to_ascii_lowercase()))
        .max_by_key(|(_, words)| words.len())
        .map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Entry>, &'static str> {
        line(7, text.as_bytes(), &Fields::default(), &TimeZone::UTC)
    }

    fn good(text: &str) -> Entry {
        read(text).unwrap().unwrap()
    }

    #[test]
    fn json_and_logfmt_say_the_same() {
        let json = good(
            r#"{"ts":"2026-11-22T03:14:15.5Z","req_id":"8f3","peer":"10.0.0.12:443","errno":"ECOMM","attempt":3,"max_retries":5,"bytes":100,"pid":42}"#,
        );
        assert_eq!(json.id, Some(("req_id".to_owned(), "8f3".to_owned())));
        let logfmt = good(
            r#"level=warn ts=2026-11-22T03:14:15.5Z req_id=8f3 peer=10.0.0.12:443 msg="it \"failed\"" err="send: Communication error on send (errno 70)" retry=3/5 bytes=100 pid=42"#,
        );
        assert_eq!(json, logfmt);
        assert_eq!(json.errno, Some(70));
        assert_eq!(json.retry, Some((3, Some(5))));
    }

    #[test]
    fn errors_are_read_as_programs_write_them() {
        let cases = [
            ("110", Some(110)),
            ("-110", Some(110)),
            ("ETIMEDOUT", Some(110)),
            ("[Errno 32] Broken pipe", Some(32)),
            ("Connection refused (os error 111)", Some(111)),
            (
                "write tcp 10.0.0.1:5->10.0.0.2:80: write: connection reset by peer",
                Some(104),
            ),
            ("errno=70", Some(70)),
            ("ok", None),
            ("", None),
            ("0", None),
            ("EVERYTHING is lost", None),
            ("errno 99999999999999999999", None),
        ];
        for (text, errno) in cases {
            assert_eq!(error(text), errno, "{text:?}");
        }
    }

    #[test]
    fn the_message_of_a_line_speaks_of_its_failure_when_no_field_does() {
        for line in [
            r#"{"ts":1,"msg":"send failed: [Errno 70] Communication error on send"}"#,
            r#"ts=1 level=error message="[Errno 70] Communication error on send""#,
            "ts=1 ERROR send failed: [Errno 70] Communication error on send",
            "2026-11-22T03:14:15Z ERROR batch: [Errno 70] Communication error on send",
            "2026-11-22 03:14:15,123 ERROR batch: [Errno 70] Communication error on send",
        ] {
            assert_eq!(good(line).errno, Some(70), "{line}");
        }
        assert_eq!(good(r#"{"ts":1,"msg":"110"}"#).errno, None);
        assert_eq!(good("ts=1 sent 110 bytes").errno, None);
    }

    #[test]
    fn destinations_are_read_as_programs_write_them() {
        let at = |text: &str| {
            let named = named(text, None);
            (named.address.map(|address| address.to_string()), named.port)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(at("10.0.0.12:443"), (some("10.0.0.12"), Some(443)));
        assert_eq!(at("[::1]:80"), (some("::1"), Some(80)));
        assert_eq!(at("::ffff:10.0.0.1"), (some("10.0.0.1"), None));
        assert_eq!(
            at("https://10.0.0.12:8443/path"),
            (some("10.0.0.12"), Some(8443))
        );
        assert_eq!(at("db.example:5432"), (None, Some(5432)));
        assert_eq!(at("::::"), (None, None));
        assert_eq!(named("10.0.0.1", Some(5)).port, Some(5));
    }

    #[test]
    fn a_line_that_cannot_be_used_says_why() {
        assert_eq!(
            read(r#"{"ts":"#),
            Err("begins with { but is no JSON object")
        );
        assert_eq!(
            read("nothing of the kind"),
            Err("is neither JSON nor key=value")
        );
        assert_eq!(read("a=b"), Err("has no time"));
        assert_eq!(read("ts=soon"), Err("has a time that cannot be read"));
        assert_eq!(
            read(r#"ts=1 msg="open"#),
            Err("has a quote that does not end")
        );
        assert_eq!(read(" \t "), Ok(None));
    }

    #[test]
    fn hostile_bytes_are_at_worst_a_bad_line() {
        let deep = "[".repeat(60_000);
        let cases: [Vec<u8>; 7] = [
            format!(r#"{{"ts":{deep}"#).into_bytes(),
            b"\xff\xfe=\xff \x1b[2J=1 ts=1".to_vec(),
            b"ts=1 =\"".to_vec(),
            b"= = = ts=1".to_vec(),
            "ts=1 err=".repeat(5000).into_bytes(),
            "ts=\u{202e}1\u{0}".as_bytes().to_vec(),
            b"{\"ts\":1,\"retry\":\"/\",\"pid\":-1,\"bytes\":1e99,\"peer\":\"\\u0000:99999\"}"
                .to_vec(),
        ];
        for bytes in cases {
            let _ = line(1, &bytes, &Fields::default(), &TimeZone::UTC);
            for cut in 0..bytes.len().min(80) {
                let _ = line(1, &bytes[..cut], &Fields::default(), &TimeZone::UTC);
            }
        }
    }
}
