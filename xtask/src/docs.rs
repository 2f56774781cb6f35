//! `cargo xtask docs`: the parts of `docs/architecture.md` that the sources say.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace;

const PAGE: &str = "docs/architecture.md";
const BEGIN: &str = "<!-- crates -->\n";
const END: &str = "<!-- /crates -->\n";

/// Writes the page anew.
pub fn command() -> Result<()> {
    let (page, new) = pages()?;
    if page != new {
        fs::write(workspace::root().join(PAGE), new)
            .with_context(|| format!("cannot write {PAGE}"))?;
    }
    Ok(())
}

/// Says what is stale.
///
/// # Errors
/// When the graph is not what cargo says, or a function is named that is not there.
pub fn check() -> Result<()> {
    let (page, new) = pages()?;
    if page != new {
        bail!("{PAGE} shows another graph than cargo: run `cargo xtask docs`");
    }
    let read = |file: &str| fs::read_to_string(workspace::root().join(file)).ok();
    let gone = missing(&page, read);
    if !gone.is_empty() {
        bail!("{PAGE} names what is not there: {}", gone.join(", "));
    }
    Ok(())
}

fn pages() -> Result<(String, String)> {
    let page = fs::read_to_string(workspace::root().join(PAGE))
        .with_context(|| format!("cannot read {PAGE}"))?;
    let mut cargo = workspace::cargo();
    cargo.args(["tree", "--package", "tracer", "--edges", "normal"]);
    cargo.args(["--prefix", "depth", "--format", " {p}"]);
    let graph = graph(&workspace::capture(&mut cargo)?);
    let new = with(&page, &graph).with_context(|| format!("{PAGE} has no place for the graph"))?;
    Ok((page, new))
}

/// The page with this graph.
fn with(page: &str, graph: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}```text\n{graph}```\n{END}{after}"))
}

/// The crates of the workspace, which cargo prints with their paths, out of lines of depth and package.
fn graph(tree: &str) -> String {
    let mut graph = String::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        let (Some(depth), Some(name)) = (words.next(), words.next()) else {
            continue;
        };
        let (Ok(depth), true) = (depth.parse::<usize>(), line.contains(" (/")) else {
            continue;
        };
        let known = if line.ends_with("(*)") {
            " (above)"
        } else {
            ""
        };
        _ = writeln!(graph, "{:1$}{name}{known}", "", 4 * depth);
    }
    graph
}

/// What the page names as "`function` in `file`", where the file has no such function.
fn missing(page: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut missing = Vec::new();
    for line in page.lines() {
        let parts: Vec<&str> = line.split('`').collect();
        for named in parts.windows(3).skip(1).step_by(2) {
            let [function, between, file] = named else {
                continue;
            };
            let names_a_file = file.ends_with(".rs") && between.trim() == "in";
            let text = names_a_file.then(|| read(file).unwrap_or_default());
            if text.is_some_and(|text| !text.contains(&format!("fn {function}"))) {
                missing.push(format!("{function} in {file}"));
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graph_has_the_crates_of_the_workspace_alone() {
        let tree = "0 tracer v0.1.0 (/w/tracer)\n1 anyhow v1.0.1\n1 tracer-format v0.1.0 (/w/tracer-format)\n\
                    2 tracer-model v0.1.0 (/w/tracer-model)\n1 tracer-model v0.1.0 (/w/tracer-model) (*)\n";
        assert_eq!(
            graph(tree),
            "tracer\n    tracer-format\n        tracer-model\n    tracer-model (above)\n"
        );
    }

    #[test]
    fn the_graph_stands_between_its_marks_and_nothing_else_changes() {
        let page = "a\n<!-- crates -->\nold\n<!-- /crates -->\nb\n";
        let new = with(page, "tracer\n").unwrap();
        assert_eq!(
            new,
            "a\n<!-- crates -->\n```text\ntracer\n```\n<!-- /crates -->\nb\n"
        );
        assert_eq!(with(&new, "tracer\n").as_ref(), Some(&new));
        assert_eq!(with("no marks", "x"), None);
    }

    #[test]
    fn a_function_that_went_is_named() {
        let read = |file: &str| (file == "a.rs").then(|| "pub fn here() {}".to_owned());
        let page = "1. `here` in `a.rs` calls `gone` in `a.rs`, and `here` in `b.rs`.\n`a.rs`\n";
        assert_eq!(missing(page, read), ["gone in a.rs", "here in b.rs"]);
    }
}
