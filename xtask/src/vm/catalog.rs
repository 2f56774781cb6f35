//! Which kernels there are: Debian's, by the suites and packages that carry them.

use crate::arch::Arch;

/// A kernel that Debian packages.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub arch: Arch,
    /// What `--kernel` takes and every table says.
    pub id: &'static str,
    /// The first suite that has it is taken.
    pub suites: &'static [&'static str],
    /// Names of the packages: the part before the release, the release as a regular expression.
    pub parts: &'static [&'static str],
    pub release: &'static str,
    pub flavour: &'static str,
    /// The only tests of the default run, where the rest is as on a sister: nothing is taken away there either.
    pub part: Option<&'static [&'static str]>,
}

/// The flavour for virtual machines: a third of the size of the generic one.
const CLOUD: &str = "cloud-amd64";
const CLOUD_ARM64: &str = "cloud-arm64";
/// What a Debian that is not in a cloud runs: nearly everything is a module, CAN and its protocols too.
const GENERIC: &str = "amd64";
/// Where interrupts and softirqs are threads, and most spinning locks can sleep.
const REAL_TIME: &str = "rt-amd64";

const RELEASE_6_12: &str = "6[.]12[.][0-9]+[+]deb13([.][0-9]+)?";
const RELEASE_7: &str = "7[.][0-9]+[.][0-9]+[+]deb13([.][0-9]+)?";

/// Oldest first. By codename: what these tests promise is a kernel, not a place in Debian's life.
pub const ENTRIES: [Entry; 8] = [
    Entry {
        arch: Arch::X86_64,
        id: "5.10",
        suites: &["bullseye-security", "bullseye"],
        parts: &["linux-image-"],
        release: "5[.]10[.]0-[0-9]+",
        flavour: CLOUD,
        part: None,
    },
    Entry {
        arch: Arch::X86_64,
        id: "6.1",
        suites: &["bookworm-security", "bookworm"],
        parts: &["linux-image-"],
        release: "6[.]1[.]0-[0-9]+",
        flavour: CLOUD,
        part: None,
    },
    Entry {
        arch: Arch::X86_64,
        id: "6.12",
        suites: &["trixie-security", "trixie"],
        parts: &["linux-image-"],
        release: RELEASE_6_12,
        flavour: CLOUD,
        part: None,
    },
    Entry {
        arch: Arch::X86_64,
        id: "6.12-generic",
        suites: &["trixie-security", "trixie"],
        parts: &["linux-image-"],
        release: RELEASE_6_12,
        flavour: GENERIC,
        // CAN, the one family whose sends fail with ECOMM by themselves, is not in the others.
        part: Some(&["errno"]),
    },
    Entry {
        arch: Arch::X86_64,
        id: "6.12-rt",
        suites: &["trixie-security", "trixie"],
        parts: &["linux-image-"],
        release: RELEASE_6_12,
        flavour: REAL_TIME,
        // Timers and softirqs, which run in tasks here.
        part: Some(&["netem"]),
    },
    Entry {
        arch: Arch::X86_64,
        id: "7.x",
        suites: &["trixie-backports"],
        // From 7 on the package is split.
        parts: &["linux-binary-", "linux-modules-"],
        release: RELEASE_7,
        flavour: CLOUD,
        part: None,
    },
    Entry {
        arch: Arch::Arm64,
        id: "6.12-arm64",
        suites: &["trixie-security", "trixie"],
        parts: &["linux-image-"],
        release: RELEASE_6_12,
        flavour: CLOUD_ARM64,
        // What is read from the registers of the callers, and what could hurt the host.
        part: Some(&["errno", "nulls"]),
    },
    Entry {
        arch: Arch::Arm64,
        id: "7.x-arm64",
        suites: &["trixie-backports"],
        parts: &["linux-binary-", "linux-modules-"],
        release: RELEASE_7,
        flavour: CLOUD_ARM64,
        part: Some(&[]),
    },
];

impl Entry {
    /// For `apt-cache search`: the packages that hold the image.
    pub fn pattern(&self) -> String {
        format!("^{}{}-{}$", self.parts[0], self.release, self.flavour)
    }

    /// Of the packages found, the release (`6.12.107+deb13-cloud-amd64`) of the newest.
    pub fn newest(&self, packages: &[String]) -> Option<String> {
        let releases = packages
            .iter()
            .filter_map(|package| package.strip_prefix(self.parts[0]));
        // The flavour has a number too, which is none of the release.
        let release = |full: &str| numbers(full.trim_end_matches(self.flavour));
        releases.max_by_key(|full| release(full)).map(str::to_owned)
    }

    /// The packages of one release.
    pub fn packages(&self, release: &str) -> Vec<String> {
        let name = |part: &&str| format!("{part}{release}");
        self.parts.iter().map(name).collect()
    }
}

/// All numbers of a text in order: 6.12.107 is after 6.12.94.
pub fn numbers(text: &str) -> Vec<u64> {
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.filter_map(|run| run.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_is_found_by_number_not_by_letter() {
        let newest = |releases: [&str; 2]| {
            let packages = releases.map(|release| format!("linux-image-{release}-cloud-amd64"));
            ENTRIES[2].newest(&packages)
        };
        for (old, new) in [
            ("6.12.94+deb13", "6.12.107+deb13"),
            ("6.12.115+deb13", "6.12.115+deb13.1"),
        ] {
            let expected = format!("{new}-cloud-amd64");
            assert_eq!(newest([new, old]), Some(expected));
        }
    }

    #[test]
    fn a_split_kernel_is_all_of_its_packages() {
        assert_eq!(
            ENTRIES[5].packages("7.3.4+deb13-cloud-amd64"),
            [
                "linux-binary-7.3.4+deb13-cloud-amd64",
                "linux-modules-7.3.4+deb13-cloud-amd64"
            ]
        );
    }
}
