//! Explanations, for people and for programs.

use std::fmt::Write as _;

use anstyle::Style;
use serde_json::Value;

use super::Renderer;
use super::json::line;
use super::report::part;
use tracer_diagnose::explain::{Entry, Kind};
use tracer_diagnose::rule::{Layer, Symptom};

/// Each word with what is said about it.
pub fn entries(entries: &[Entry], renderer: Renderer) -> String {
    match renderer {
        Renderer::Json => entries.iter().map(json).collect(),
        Renderer::Text { colour } => {
            let texts = entries.iter().map(|entry| text(entry, colour));
            texts.collect::<Vec<_>>().join("\n")
        }
    }
}

/// What can be explained, by kind.
pub fn list(entries: &[Entry], renderer: Renderer) -> String {
    let mut list = String::new();
    for kind in Kind::ALL {
        let words = entries.iter().filter(|entry| entry.kind == kind);
        let words: Vec<&str> = words.map(|entry| entry.word.as_ref()).collect();
        match renderer {
            Renderer::Json => list.push_str(&line(&[
                ("type", "explainable".into()),
                ("kind", kind.name().into()),
                ("words", words.into()),
            ])),
            Renderer::Text { colour } => {
                let strong = strong(colour);
                _ = writeln!(list, "{strong}{}{strong:#}", kind.title());
                part(&mut list, "", &words.join(" "));
            }
        }
    }
    list
}

fn text(entry: &Entry, colour: bool) -> String {
    let mut text = String::new();
    let strong = strong(colour);
    _ = match entry.number {
        Some(number) => writeln!(text, "{strong}{}{strong:#} · errno {number}", entry.word),
        None => writeln!(
            text,
            "{strong}{}{strong:#} · {}",
            entry.word,
            entry.kind.title()
        ),
    };
    let worse = match entry.kind {
        Kind::Diagnosis => "do not",
        _ => "makes worse",
    };
    let parts = [
        ("means", Some(entry.means)),
        ("why", entry.why),
        ("comes from", entry.from),
        ("symptom", entry.symptom.map(Symptom::name)),
        ("points to", entry.points_to.map(Layer::name)),
        ("not to", entry.not_layer),
        ("refuted by", entry.refuted_by),
        ("next step", entry.next),
        (worse, entry.worse),
    ];
    for (label, words) in parts {
        if let Some(words) = words {
            part(&mut text, label, words);
        }
    }
    text
}

fn json(entry: &Entry) -> String {
    let said = |text: Option<&str>| -> Value { text.into() };
    line(&[
        ("type", "explanation".into()),
        ("word", entry.word.as_ref().into()),
        ("kind", entry.kind.name().into()),
        ("number", entry.number.into()),
        ("means", entry.means.into()),
        ("why", said(entry.why)),
        ("comes_from", said(entry.from)),
        ("symptom", entry.symptom.map(Symptom::name).into()),
        ("points_to", entry.points_to.map(Layer::name).into()),
        ("not_to", said(entry.not_layer)),
        ("refuted_by", said(entry.refuted_by)),
        ("next_step", said(entry.next)),
        ("makes_worse", said(entry.worse)),
    ])
}

fn strong(colour: bool) -> Style {
    if colour {
        Style::new().bold()
    } else {
        Style::new()
    }
}

#[cfg(test)]
mod tests;
