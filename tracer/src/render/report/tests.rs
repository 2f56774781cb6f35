use serde_json::Value;
use tracer_diagnose::testing::{SECOND, header, refused, report_of};

use crate::render::Renderer;

#[test]
fn a_process_cannot_steer_the_terminal_of_who_reads_the_report() {
    let name = "a\x1b[2Jb\u{202e}";
    let burst: Vec<_> = (0..5)
        .flat_map(|n| refused(SECOND + n * 50_000_000, name, 7, "10.0.0.2:443", n))
        .collect();
    let report = report_of(&header(), &burst, 10);
    for renderer in [Renderer::Text { colour: false }, Renderer::Json] {
        let text = renderer.report(&report);
        assert!(text.contains("connection_refused"), "{text}");
        assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
        assert!(text.ends_with('\n'));
    }
}

#[test]
fn text_fits_and_json_is_one_object_per_line_with_the_totals_last() {
    let burst: Vec<_> = (0..5)
        .flat_map(|n| refused(SECOND + n * 50_000_000, "orders", 7, "[2001:db8::2]:443", n))
        .collect();
    let report = report_of(&header(), &burst, 10);
    let json = Renderer::Json.report(&report);
    let lines: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["type"], "report");
    assert_eq!(lines[0]["verdict"], "findings");
    assert_eq!(lines[1]["type"], "finding");
    assert_eq!(lines[1]["evidence"][0]["boot_ns"][0], SECOND);
    assert_eq!(lines[1]["flow"]["remote"], "[2001:db8::2]:443");
    assert_eq!(lines[lines.len() - 1]["type"], "totals");
    let text = Renderer::Text { colour: false }.report(&report);
    for line in text.lines() {
        let width = tracer_model::escape::width(line);
        assert!(width <= crate::render::text::COLUMNS, "{width}: {line}");
    }
}
