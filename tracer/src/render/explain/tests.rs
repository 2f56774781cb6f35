use tracer_diagnose::explain::{all, of};
use tracer_model::escape;

use super::*;
use crate::render::text::COLUMNS;

const TEXT: Renderer = Renderer::Text { colour: false };

#[test]
fn every_explanation_fits_into_the_columns() {
    for entry in all() {
        for line in entries(std::slice::from_ref(&entry), TEXT).lines() {
            assert!(escape::width(line) <= COLUMNS, "{line}");
        }
    }
    for line in list(&all(), TEXT).lines() {
        assert!(escape::width(line) <= COLUMNS, "{line}");
    }
}

#[test]
fn json_has_every_key_on_one_line() {
    let text = entries(&of("unknown"), Renderer::Json);
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["type"], "explanation");
        assert_eq!(value["word"], "unknown");
        assert!(value["points_to"].is_null());
        assert_eq!(value.as_object().unwrap().len(), 13);
    }
    let kinds = list(&all(), Renderer::Json);
    assert_eq!(kinds.lines().count(), Kind::ALL.len());
}
