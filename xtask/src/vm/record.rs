//! What one kernel has said: its frames, sorted by step.

use std::time::Duration;

use serde_json::Value;
use vm_guest::protocol::{Frame, Stream};

/// Everything from one kernel.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// `uname -r`, when init has come that far.
    pub release: Option<String>,
    pub trouble: Vec<String>,
    pub steps: Vec<Step>,
    /// What the kernel said while it ran, with the step that ran.
    pub kernel: Vec<(Option<String>, String)>,
}

/// One step as it went.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub name: String,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
    /// What fired while it ran and this host may keep from BPF programs.
    pub withheld: u64,
    /// `None`: it never ended.
    pub end: Option<End>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub timed_out: bool,
    pub took: Duration,
}

impl Record {
    pub fn add(&mut self, frame: Frame) {
        match frame {
            Frame::Started { release } => self.release = Some(release),
            Frame::Trouble { text } => self.trouble.push(text),
            Frame::Begin { step } => self.steps.push(Step {
                name: step,
                ..Step::default()
            }),
            Frame::Line { step, stream, text } => {
                if let Some(step) = self.step_mut(&step) {
                    match stream {
                        Stream::Stdout => step.stdout.push(text),
                        Stream::Stderr => step.stderr.push(text),
                    }
                }
            }
            Frame::Withheld { step, firings } => {
                if let Some(step) = self.step_mut(&step) {
                    step.withheld += firings;
                }
            }
            Frame::End {
                step,
                code,
                signal,
                timed_out,
                milliseconds,
            } => {
                if let Some(step) = self.step_mut(&step) {
                    step.end = Some(End {
                        code,
                        signal,
                        timed_out,
                        took: Duration::from_millis(milliseconds),
                    });
                }
            }
            Frame::Kernel { step, text, .. } => self.kernel.push((step, text)),
            Frame::Done => {}
        }
    }

    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Takes a step as it went later; what the kernel said meanwhile stays.
    pub fn replace(&mut self, later: Record) {
        for step in later.steps {
            if let Some(known) = self.step_mut(&step.name) {
                *known = step;
            }
        }
        self.kernel.extend(later.kernel);
    }

    fn step_mut(&mut self, name: &str) -> Option<&mut Step> {
        self.steps.iter_mut().rev().find(|step| step.name == name)
    }
}

impl Step {
    pub fn succeeded(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.code == Some(0))
    }

    /// In one phrase how it ended, for people.
    pub fn ending(&self) -> String {
        match &self.end {
            None => "never ended".to_owned(),
            Some(end) if end.timed_out => {
                format!("did not end within {} s", end.took.as_secs())
            }
            Some(End {
                code: Some(code), ..
            }) => format!("ended with {code}"),
            Some(End {
                signal: Some(signal),
                ..
            }) => format!("was killed by signal {signal}"),
            Some(_) => "could not be started".to_owned(),
        }
    }
}

/// The name of the file for what `doctor --facts` printed: vendor, series, flavour and architecture, all that two
/// kernels of different types may differ in.
pub fn facts_file(facts: &Value) -> Option<String> {
    let release = facts["kernel_release"].as_str()?;
    let architecture = facts["architecture"].as_str()?;
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .filter(|run| !run.is_empty());
    let mut series = format!("{}.{}", numbers.next()?, numbers.next()?);
    let mut vendor = "linux";
    let mut flavours = String::new();
    for word in release.split(['-', '+', '.']) {
        // `el8_10` is of RHEL 8.10, `deb13` of Debian, as are these names of architectures.
        let number = |prefix| {
            let number = word.strip_prefix(prefix)?;
            number
                .starts_with(|c: char| c.is_ascii_digit())
                .then_some(number)
        };
        if let Some(version) = number("el") {
            vendor = "rhel";
            series = version.replace('_', ".");
        } else if number("deb").is_some() || ["amd64", "arm64"].contains(&word) {
            vendor = "debian";
        } else if !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic()) {
            flavours.push('-');
            flavours.push_str(word);
        }
    }
    Some(format!("{vendor}-{series}{flavours}-{architecture}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(release: &str, architecture: &str) -> Option<String> {
        facts_file(&serde_json::json!({
            "kernel_release": release, "architecture": architecture,
        }))
    }

    #[test]
    fn kernels_of_another_vendor_flavour_or_architecture_have_another_file() {
        for (release, architecture, file) in [
            (
                "5.10.0-46-cloud-amd64",
                "x86_64",
                "debian-5.10-cloud-x86_64",
            ),
            (
                "6.12.117+deb13-cloud-amd64",
                "x86_64",
                "debian-6.12-cloud-x86_64",
            ),
            (
                "6.12.118+deb13-cloud-arm64",
                "aarch64",
                "debian-6.12-cloud-aarch64",
            ),
            ("6.12.118+deb13-rt-amd64", "x86_64", "debian-6.12-rt-x86_64"),
            ("6.12.118+deb13-amd64", "x86_64", "debian-6.12-x86_64"),
            ("7.2.13+deb14-amd64", "x86_64", "debian-7.2-x86_64"),
            ("6.12.0-55.24.1.el10_0.x86_64", "x86_64", "rhel-10.0-x86_64"),
            (
                "4.18.0-553.66.1.el8_10.x86_64",
                "x86_64",
                "rhel-8.10-x86_64",
            ),
            (
                "5.14.0-570.32.1.el9_6.x86_64+rt",
                "x86_64",
                "rhel-9.6-rt-x86_64",
            ),
            ("5.14.0-1.el9.aarch64", "aarch64", "rhel-9-aarch64"),
            ("6.18.44-fc-v657", "x86_64", "linux-6.18-fc-x86_64"),
        ] {
            assert_eq!(named(release, architecture), Some(format!("{file}.json")));
        }
        assert_eq!(named("unknown", "x86_64"), None);
    }

    #[test]
    fn each_record_that_is_kept_has_the_name_that_it_would_be_given() {
        let folder = crate::workspace::root().join("tests/kernels");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).expect("tests/kernels") {
            let path = entry.expect("a readable folder").path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let text = std::fs::read(&path).expect("a readable record");
            let facts = serde_json::from_slice(&text).expect("JSON");
            assert_eq!(
                facts_file(&facts).as_deref(),
                path.file_name().and_then(|n| n.to_str())
            );
            seen += 1;
        }
        assert!(seen >= 11, "{seen}");
    }
}
