//! `sendtrace explain`: what a word in the output means.

use anyhow::anyhow;

use super::{Failure, print, renderer};
use crate::cli::{Explain as Args, Printed};
use crate::render::{self, Renderer};
use tracer_diagnose::explain::{self, Entry};
use tracer_model::escape;

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    let renderer = renderer(Printed {
        format: args.format,
        color: args.color,
        ..Printed::default()
    });
    let (text, unknown) = answer(&args.words, renderer);
    print(&text)?;
    unknown.map_or(Ok(()), |message| Err(Failure::Failed(anyhow!(message))))
}

/// What goes to stdout, and one line about the words that mean nothing.
fn answer(words: &[String], renderer: Renderer) -> (String, Option<String>) {
    if words.is_empty() {
        return (render::explain::list(&explain::all(), renderer), None);
    }
    // Several words of which one means nothing: a message or a line, as it was pasted.
    let text = words.join(" ");
    let strange: Vec<_> = words
        .iter()
        .filter(|word| explain::of(word).is_empty())
        .collect();
    let is_name = |word: &str| word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    if text.contains(' ') && !strange.is_empty() && !strange.iter().any(|word| is_name(word)) {
        let pasted = explain::of_text(&text);
        if !pasted.is_empty() {
            return (render::explain::entries(&pasted, renderer), None);
        }
    }
    let mut found: Vec<Entry> = Vec::new();
    let mut unknown = Vec::new();
    for word in words {
        let mut meanings = explain::of(word);
        if meanings.is_empty() {
            unknown.push(not_known(word));
        }
        meanings.retain(|entry| !found.contains(entry));
        found.extend(meanings);
    }
    let unknown = (!unknown.is_empty()).then(|| unknown.join("; "));
    (render::explain::entries(&found, renderer), unknown)
}

fn not_known(word: &str) -> String {
    let close = explain::close(word);
    let hint = if close.is_empty() {
        "`sendtrace explain` lists what can be explained".to_owned()
    } else {
        format!("did you mean {}?", close.join(", "))
    };
    let word = escape::name(word.as_bytes());
    format!(
        "\"{}\" is no word that sendtrace prints; {hint}",
        escape::shorten(&word, 60)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &[&str]) -> (String, Option<String>) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        answer(&words, Renderer::Text { colour: false })
    }

    #[test]
    fn a_misspelt_word_is_told_close_ones_and_the_others_are_explained() {
        let (text, unknown) = told(&["ECOM", "rto"]);
        assert!(text.starts_with("rto · cause of a retransmit\n"), "{text}");
        let unknown = unknown.unwrap();
        assert!(
            unknown.starts_with("\"ECOM\" is no word that sendtrace prints; did you mean ECOMM"),
            "{unknown}"
        );
        assert_eq!(unknown.lines().count(), 1);
    }

    #[test]
    fn what_people_paste_is_explained() {
        for (words, expected) in [
            (&["Broken", "pipe"][..], "EPIPE"),
            (&["Broken pipe"], "EPIPE"),
            (&["[Errno 70] Communication error on send"], "ECOMM"),
            (&["cwnd"], "cwnd"),
            (
                &[
                    "12:00:01.5 retransmit 4242~ batchd 10.0.0.1:40 → 10.0.0.2:443 rto #1 rto=224ms 300 B cwnd=18",
                ],
                "retransmit",
            ),
        ] {
            let (text, unknown) = told(words);
            assert!(
                text.contains(&format!("{expected} · ")),
                "{words:?}: {text}"
            );
            assert_eq!(unknown, None, "{words:?}");
        }
    }

    #[test]
    fn what_is_like_nothing_is_sent_to_the_list() {
        let (text, unknown) = told(&["\x1b[2Jnonsense"]);
        assert_eq!(text, "");
        assert_eq!(
            unknown.unwrap(),
            "\"\\x1b[2Jnonsense\" is no word that sendtrace prints; `sendtrace explain` lists what can be explained"
        );
        let (_, unknown) = told(&[&"x".repeat(100_000)]);
        assert!(unknown.unwrap().len() < 200);
    }

    #[test]
    fn a_word_that_is_given_twice_is_explained_once() {
        assert_eq!(told(&["EPIPE", "32", "epipe"]), told(&["EPIPE"]));
    }
}
