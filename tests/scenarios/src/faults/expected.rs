//! What a diagnosis must find in the trace of each scenario.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// What must be found, all of it; nothing: silence.
pub type Expected = Vec<Finding>;

/// The words of a finding that must be right.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    pub symptom: String,
    pub layer: String,
    pub cause: String,
    /// Name of the process or thread that it is about; `null`: of the host, or of many.
    pub owner: Option<String>,
    /// Address, or address and port; `null`: about no destination, or about several.
    pub remote: Option<String>,
}

/// `tests/traces/diagnose`, where the traces lie beside what is expected of them.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/diagnose")
}

/// Of each scenario, by name.
///
/// # Errors
/// When it says what it must not.
pub fn expectations() -> Result<BTreeMap<String, Expected>> {
    // Built in: the tests also run in machines without the repository.
    let text = include_str!("../../../traces/diagnose/expected.json");
    serde_json::from_str(text).context("expected.json")
}
