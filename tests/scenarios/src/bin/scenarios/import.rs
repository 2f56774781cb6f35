//! Traces that virtual machines have recorded.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use scenarios::faults::all;
use serde_json::Value;

/// Takes the traces out of what machines have said: lines with a line of JSON in them.
pub fn import(file: &Path, into: &Path) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut count = 0;
    for said in text.lines() {
        let said: Value = serde_json::from_str(said).with_context(|| file.display().to_string())?;
        let line = said["line"].as_str().unwrap_or_default();
        // The harness of the tests does not end its own line.
        let Some(begin) = line.find(r#"{"type":"trace""#) else {
            continue;
        };
        let trace: Value = serde_json::from_str(&line[begin..])?;
        let (Some(name), Some(base64)) = (trace["name"].as_str(), trace["base64"].as_str()) else {
            bail!("{}: a trace without name or content", file.display());
        };
        if all().all(|scenario| scenario.name != name) {
            bail!("{}: there is no scenario {name}", file.display());
        }
        let bytes = base64::engine::general_purpose::STANDARD.decode(base64)?;
        let to = into.join(format!("{name}.sendtrace"));
        fs::write(&to, bytes).with_context(|| to.display().to_string())?;
        count += 1;
    }
    match count {
        0 => bail!("{}: no trace in it", file.display()),
        _ => Ok(()),
    }
}
