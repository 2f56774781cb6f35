//! What the program itself says that it does not see on this host.

use serde_json::Value;

/// The words of `sendtrace doctor` about sends that are not seen.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    texts: Vec<String>,
}

impl Losses {
    /// Reads `doctor --format json`.
    pub fn of_doctor() -> Self {
        let output = crate::program::run_sendtrace(&["doctor", "--format", "json"]);
        let texts = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["type"] == "loss")
            .map(|line| line.to_string())
            .collect();
        Self { texts }
    }

    /// What doctor says about this path, if it says that it is not seen.
    pub fn about(&self, path: &str) -> Option<&str> {
        self.texts
            .iter()
            .find(|text| text.contains(path))
            .map(String::as_str)
    }
}
