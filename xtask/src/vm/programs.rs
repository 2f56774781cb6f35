//! The programs that run inside: static, so that one build is for all kernels, and without debug symbols.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::build::{self, Linkage, Profile};
use crate::setup::Ready;
use crate::workspace;

/// Built and stripped.
pub struct Programs {
    pub guest: PathBuf,
    /// All in one folder: tests look for their helpers beside them.
    pub under_test: Vec<PathBuf>,
    /// Names of the test programs among them, sorted.
    pub tests: Vec<String>,
}

/// Builds everything into a folder.
pub fn build(ready: &Ready, into: &Path) -> Result<Programs> {
    let sendtrace = build::sendtrace(ready, Profile::Release, Linkage::Static)?;
    let helper =
        |name: &str| build::program(ready, "vm-guest", name, Profile::Release, Linkage::Static);
    let (guest, cripple) = (helper("guest")?, helper("cripple")?);
    let scenarios = build_tests(ready)?;

    let mut under_test = vec![strip(&sendtrace, into, "sendtrace")?];
    under_test.push(strip(&cripple, into, "cripple")?);
    let mut tests = Vec::new();
    for Artifact {
        name,
        path,
        is_test,
    } in &scenarios
    {
        under_test.push(strip(path, into, name)?);
        if *is_test {
            tests.push(name.clone());
        }
    }
    tests.sort();
    Ok(Programs {
        guest: strip(&guest, into, "guest")?,
        under_test,
        tests,
    })
}

/// The scenario tests and the programs that they start.
fn build_tests(ready: &Ready) -> Result<Vec<Artifact>> {
    let mut cargo = ready.cargo()?;
    cargo.args([
        "test",
        "--no-run",
        "--release",
        "--package",
        "scenarios",
        "--test",
        "*",
    ]);
    cargo.arg("--message-format=json-render-diagnostics");
    build::make_static(&mut cargo, ready);
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
    is_test: bool,
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
        Some(Artifact {
            name: target.get("name")?.as_str()?.to_owned(),
            path: path.into(),
            is_test: match (kind, harness) {
                ("test", true) => true,
                ("bin", false) => false,
                _ => return None,
            },
        })
    };
    messages.lines().filter_map(artifact).collect()
}

fn strip(from: &Path, into: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    let to = into.join(name);
    let mut strip = Command::new("strip");
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
        let found: Vec<_> = found.iter().map(|a| (a.name.as_str(), a.is_test)).collect();
        assert_eq!(found, [("owner", true), ("peer", false)]);
    }
}
