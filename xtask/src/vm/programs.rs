//! The programs that run inside: static, so that one build is for all kernels, and without debug symbols.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::arch::Arch;
use crate::build::{self, Linkage, Profile};
use crate::setup::Ready;
use crate::workspace;

/// Built and stripped, all in one folder: tests look for their helpers beside them.
pub struct Programs {
    pub guest: PathBuf,
    /// `sendtrace` first.
    pub under_test: Vec<PathBuf>,
}

/// The names of all scenario tests, sorted: a file or a folder each.
pub fn all_tests() -> Result<Vec<String>> {
    let dir = workspace::root().join("tests/scenarios/tests");
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut tests = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_test = path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").is_file();
        let name = path.file_stem().and_then(|name| name.to_str());
        tests.extend(name.filter(|_| is_test).map(str::to_owned));
    }
    tests.sort();
    Ok(tests)
}

/// Builds everything into a folder.
pub fn build(ready: &Ready, arch: Option<Arch>, tests: &[String], into: &Path) -> Result<Programs> {
    let (release, linkage) = (Profile::Release, Linkage::Static);
    let program = |package: &str, name: &str| {
        build::program_for(ready, package, name, release, linkage, arch)
    };
    let sendtrace = program("tracer", "sendtrace")?;
    let (guest, restrict) = (
        program("vm-guest", "guest")?,
        program("vm-guest", "restrict")?,
    );
    let tool = arch.map_or("strip".to_owned(), |arch| arch.tool(ready, "strip"));
    let strip = |from: &Path, into: &Path, name: &str| strip(&tool, from, into, name);
    let mut under_test = vec![strip(&sendtrace, into, "sendtrace")?];
    under_test.push(strip(&restrict, into, "restrict")?);
    for Artifact { name, path } in &build_tests(ready, arch, tests)? {
        under_test.push(strip(path, into, name)?);
    }
    Ok(Programs {
        guest: strip(&guest, into, "guest")?,
        under_test,
    })
}

/// Scenario tests and the programs that they start.
fn build_tests(ready: &Ready, arch: Option<Arch>, tests: &[String]) -> Result<Vec<Artifact>> {
    if tests.is_empty() {
        return Ok(Vec::new());
    }
    let mut cargo = ready.cargo()?;
    cargo.args(["test", "--no-run", "--release", "--package", "scenarios"]);
    for test in tests {
        cargo.args(["--test", test]);
    }
    cargo.arg("--message-format=json-render-diagnostics");
    build::aim(&mut cargo, ready, Linkage::Static, arch)?;
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("could not start cargo")?;
    if !output.status.success() {
        bail!("the scenario tests do not build; the compiler's words are above");
    }
    Ok(artifacts(&String::from_utf8_lossy(&output.stdout)))
}

/// A program that cargo has built.
#[derive(Debug, PartialEq)]
struct Artifact {
    name: String,
    path: PathBuf,
}

/// Finds tests and programs among cargo's messages, one JSON object per line.
fn artifacts(messages: &str) -> Vec<Artifact> {
    let artifact = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message.get("executable")?.as_str()?;
        let target = message.get("target")?;
        let kind = target.get("kind")?.as_array()?.first()?.as_str()?;
        // The unit tests of a program have its name and kind.
        let harness = message.get("profile")?.get("test")?.as_bool()?;
        let wanted = matches!((kind, harness), ("test", true) | ("bin", false));
        wanted.then_some(Artifact {
            name: target.get("name")?.as_str()?.to_owned(),
            path: path.into(),
        })
    };
    messages.lines().filter_map(artifact).collect()
}

fn strip(tool: &str, from: &Path, into: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    let to = into.join(name);
    let mut strip = Command::new(tool);
    strip.arg("--strip-debug").arg("-o").arg(&to).arg(from);
    workspace::capture(&mut strip).context("strip comes with the C compiler (binutils)")?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_their_helpers_are_found_but_not_the_helpers_own_tests() {
        let line = |kind: &str, name: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}","kind":["{kind}"]}},"profile":{{"test":{test}}},"executable":"/x/{name}"}}"#
            )
        };
        let messages = [
            line("test", "owner", true),
            line("bin", "peer", false),
            line("bin", "peer", true),
            "not json".to_owned(),
        ]
        .join("\n");
        let found = artifacts(&messages);
        let found: Vec<_> = found.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(found, ["owner", "peer"]);
    }

    #[test]
    fn scenario_tests_are_found_by_their_files() {
        let tests = all_tests().expect("a folder");
        assert!(tests.contains(&"owner".to_owned()), "{tests:?}");
    }
}
