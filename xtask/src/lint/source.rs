//! A look at Rust source that knows comments, strings and test modules apart from code.
//!
//! Not a parser: the rules only need to know which words are code and which text is a string.

/// The lines of a file, each as code without comments and strings, and with its strings apart.
#[derive(Debug, Default)]
pub struct Line {
    pub code: String,
    /// The content of each string that starts on this line.
    pub strings: Vec<String>,
    /// Inside of a `#[cfg(test)]` item.
    pub in_tests: bool,
}

impl Line {
    /// Does the code contain this word, or path of words, not as a part of a longer one?
    pub fn has_word(&self, word: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        self.code.match_indices(word).any(|(at, _)| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
    }
}

pub fn lines(text: &str) -> Vec<Line> {
    let mut lines = split(text);
    mark_tests(&mut lines);
    lines
}

fn split(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let mut lines = vec![Line::default()];
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let rest = &chars[at..];
        let line_count = lines.len();
        let previous = lines[line_count - 1].code.chars().next_back();
        let skip = if starts(rest, "//") {
            rest.iter().take_while(|c| **c != '\n').count()
        } else if starts(rest, "/*") {
            block_comment(rest)
        } else if let Some((length, content)) = string(rest, previous) {
            lines[line_count - 1].strings.push(content);
            lines[line_count - 1].code.push('"');
            length
        } else if let Some(length) = character(rest) {
            length
        } else {
            if c != '\n' {
                lines[line_count - 1].code.push(c);
                at += 1;
                continue;
            }
            1
        };
        // What was skipped may hold line ends; they count for what follows.
        for _ in rest[..skip].iter().filter(|c| **c == '\n') {
            lines.push(Line::default());
        }
        at += skip;
    }
    lines
}

fn starts(rest: &[char], word: &str) -> bool {
    word.chars()
        .enumerate()
        .all(|(i, c)| rest.get(i) == Some(&c))
}

/// Block comments nest in Rust.
fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if starts(&rest[at..], "/*") {
            depth += 1;
            at += 2;
        } else if starts(&rest[at..], "*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at.min(rest.len())
}

/// A string here: its length in the source, and its content as written. Prefixes (`b`, `c`) were
/// taken for code before, only `r` changes how the string ends.
fn string(rest: &[char], previous: Option<char>) -> Option<(usize, String)> {
    let in_word =
        previous.is_some_and(|c| (c.is_alphanumeric() && c != 'b' && c != 'c') || c == '_');
    let hashes = rest.iter().skip(1).take_while(|c| **c == '#').count();
    let raw = rest[0] == 'r' && !in_word && rest.get(1 + hashes) == Some(&'"');
    if !raw && rest[0] != '"' {
        return None;
    }
    let start = if raw { hashes + 2 } else { 1 };
    let mut at = start;
    while at < rest.len() {
        if raw {
            let closes = rest[at] == '"'
                && rest[at + 1..]
                    .iter()
                    .take(hashes)
                    .filter(|c| **c == '#')
                    .count()
                    == hashes;
            if closes {
                return Some((at + 1 + hashes, rest[start..at].iter().collect()));
            }
        } else if rest[at] == '\\' {
            at += 1;
        } else if rest[at] == '"' {
            return Some((at + 1, rest[start..at].iter().collect()));
        }
        at += 1;
    }
    Some((rest.len(), rest[start.min(rest.len())..].iter().collect()))
}

/// A character literal here, which may be a quote or a brace; a lifetime is not one.
fn character(rest: &[char]) -> Option<usize> {
    if rest[0] != '\'' {
        return None;
    }
    if rest.get(1) == Some(&'\\') {
        let end = rest.iter().skip(3).position(|c| *c == '\'')?;
        return Some(end + 4);
    }
    (rest.get(2) == Some(&'\'')).then_some(3)
}

/// `#[cfg(test)]` holds for the next item: up to its closing brace, or to a `;` before any brace.
fn mark_tests(lines: &mut [Line]) {
    let mut waiting = false;
    let mut depth = 0_usize;
    for line in lines {
        if depth == 0 && line.code.replace(' ', "").contains("#[cfg(test)]") {
            waiting = true;
        }
        line.in_tests = waiting || depth > 0;
        if !line.in_tests {
            continue;
        }
        for c in line.code.chars() {
            match c {
                '{' => {
                    depth += 1;
                    waiting = false;
                }
                '}' => depth = depth.saturating_sub(1),
                ';' if depth == 0 => waiting = false,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_not_code() {
        let found = lines("let a = \"unsafe\"; // unsafe\n/* unsafe\nunsafe */ let b = 'x';");
        assert!(found.iter().all(|line| !line.has_word("unsafe")));
        assert_eq!(found[0].strings, ["unsafe"]);
        assert!(found[2].has_word("let"));
    }

    #[test]
    fn a_word_is_not_found_inside_of_a_longer_one() {
        let found = lines("unsafe_op(); not_unsafe(); Instantly");
        assert!(!found[0].has_word("unsafe"));
        assert!(!found[0].has_word("Instant"));
    }

    #[test]
    fn raw_strings_and_escaped_quotes_end_where_they_end() {
        let found = lines("f(r#\"a \"b\" c\"#, \"d\\\"e\", b\"g\", '\"', '\\''); unsafe {}");
        assert_eq!(found[0].strings, ["a \"b\" c", "d\\\"e", "g"]);
        assert!(found[0].has_word("unsafe"));
    }

    #[test]
    fn a_lifetime_does_not_open_a_character() {
        assert!(lines("fn f<'a>(x: &'a str) { unsafe {} }")[0].has_word("unsafe"));
    }

    #[test]
    fn a_string_over_several_lines_keeps_the_line_numbers() {
        let found = lines("let a = \"one\ntwo\";\nunsafe {}");
        assert_eq!(found.len(), 3);
        assert!(found[2].has_word("unsafe"));
    }

    #[test]
    fn a_test_module_ends_with_its_brace() {
        let found = lines("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}");
        let marks: Vec<bool> = found.iter().map(|line| line.in_tests).collect();
        assert_eq!(marks, [false, true, true, true, true, false]);
    }

    #[test]
    fn a_test_module_in_another_file_marks_only_its_declaration() {
        let found = lines("#[cfg(test)]\nmod tests;\nfn c() {}");
        assert!(found[1].in_tests && !found[2].in_tests);
    }
}
