//! The apt sources of this machine: which mirror, which key. Both forms of file are read.

use std::fs;
use std::path::Path;

/// One source of the machine, in the fields that are needed for another suite of the same mirror.
#[derive(Debug, Default, PartialEq)]
pub struct Source {
    uri: String,
    suites: Vec<String>,
    /// A path, or a whole key over several lines: copied as it is.
    signed_by: Option<String>,
}

impl Source {
    pub fn stanza(&self, suite: &str) -> String {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n",
            self.uri
        );
        if let Some(key) = &self.signed_by {
            text.push_str(&format!("Signed-By: {key}\n"));
        }
        text
    }
}

pub fn read_sources(apt_dir: &Path) -> Vec<Source> {
    let mut files = vec![apt_dir.join("sources.list")];
    let parts = fs::read_dir(apt_dir.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten();
    files.extend(parts.map(|entry| entry.path()));
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => sources.extend(text.split("\n\n").filter_map(parse_stanza)),
            Some("list") => sources.extend(text.lines().filter_map(parse_line)),
            _ => {}
        }
    }
    sources
}

/// The deb822 form: fields, whose values may go on in indented lines.
fn parse_stanza(text: &str) -> Option<Source> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
    {
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut()?;
            value.push('\n');
            value.push_str(line);
        } else {
            let (name, value) = line.split_once(':')?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let field = |name: &str| {
        fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    let has = |name: &str, word: &str| field(name)?.split_whitespace().find(|w| *w == word);
    has("types", "deb")?;
    has("components", "main")?;
    if has("enabled", "no").is_some() {
        return None;
    }
    Some(Source {
        uri: field("uris")?.split_whitespace().next()?.to_owned(),
        suites: field("suites")?
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        signed_by: field("signed-by").map(str::to_owned),
    })
}

/// The old form: `deb [signed-by=…] URI SUITE COMPONENTS`.
fn parse_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?.to_owned(), words.next()?.to_owned());
    words.find(|word| *word == "main")?;
    let key = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="));
    Some(Source {
        uri,
        suites: vec![suite],
        signed_by: key.map(str::to_owned),
    })
}

/// The archive itself, not its security part and not a third party: it is the one that offers the
/// plain suite.
pub fn find_source<'a>(sources: &'a [Source], codename: &str) -> Option<&'a Source> {
    let plain = [codename, "stable", "testing", "unstable", "sid"];
    sources.iter().find(|source| {
        source
            .suites
            .iter()
            .any(|suite| plain.contains(&suite.as_str()))
    })
}

/// The archive of security fixes of the machine's own Debian.
pub fn find_security<'a>(sources: &'a [Source], codename: &str) -> Option<&'a Source> {
    let named = |suite: &String| *suite == format!("{codename}-security");
    sources
        .iter()
        .find(|source| source.suites.iter().any(named))
}

pub fn codename(os_release: &str) -> Option<String> {
    let field = |name: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    (field("ID=")? == "debian").then(|| field("VERSION_CODENAME=").unwrap_or("sid".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZA: &str = "Types: deb\n# a remark\nURIs: http://mirror.example/debian\n\
        Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /usr/share/k.gpg\n";

    #[test]
    fn the_mirror_and_its_key_come_from_the_stanza_of_the_machine() {
        let source = parse_stanza(STANZA).expect("a deb source");
        let stanza = source.stanza("testing");
        assert!(stanza.contains("URIs: http://mirror.example/debian\nSuites: testing\n"));
        assert!(stanza.contains("Signed-By: /usr/share/k.gpg\n"));
    }

    #[test]
    fn a_key_inside_of_a_stanza_is_copied_whole() {
        let text = STANZA.replace("/usr/share/k.gpg", "\n -----BEGIN\n .\n abc");
        let source = parse_stanza(&text).expect("a deb source");
        assert!(
            source
                .stanza("sid")
                .ends_with("Signed-By: \n -----BEGIN\n .\n abc\n")
        );
    }

    #[test]
    fn a_disabled_or_foreign_stanza_is_no_source() {
        assert_eq!(parse_stanza(&format!("{STANZA}Enabled: no\n")), None);
        assert_eq!(
            parse_stanza(&STANZA.replace("Types: deb", "Types: deb-src")),
            None
        );
    }

    #[test]
    fn the_old_one_line_form_is_read_too() {
        let line = "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main";
        let source = parse_line(line).expect("a deb source");
        assert_eq!(source.uri, "http://mirror.example/debian");
        assert_eq!(source.signed_by.as_deref(), Some("/k.gpg"));
        assert_eq!(
            parse_line("# deb http://mirror.example/debian bookworm main"),
            None
        );
    }

    #[test]
    fn third_parties_and_the_security_archive_are_passed_over() {
        let source = |uri: &str, suite: &str| Source {
            uri: uri.into(),
            suites: vec![suite.into()],
            signed_by: None,
        };
        let all = [
            source("a", "cloud-bookworm"),
            source("b", "bookworm-security"),
            source("c", "bookworm"),
        ];
        assert_eq!(
            find_source(&all, "bookworm").map(|s| s.uri.as_str()),
            Some("c")
        );
        assert_eq!(
            find_security(&all, "bookworm").map(|s| s.uri.as_str()),
            Some("b")
        );
    }
}
