//! No address of a package registry in the repository.
//!
//! Cargo, rustup and apt know where they download from, and a user may have told them another
//! place. An address in a script would go around that.

use super::Violation;

/// In halves, so that this file does not break its own rule.
const HOSTS: [(&str, &str); 11] = [
    ("crates", ".io"),
    ("static.rust-lang", ".org"),
    ("sh.rustup", ".rs"),
    ("deb.debian", ".org"),
    ("security.debian", ".org"),
    ("snapshot.debian", ".org"),
    ("archive.ubuntu", ".com"),
    ("proxy.golang", ".org"),
    ("registry.npmjs", ".org"),
    ("pypi", ".org"),
    ("docker", ".io"),
];

pub fn check(file: &str, text: &str) -> Vec<Violation> {
    if file.rsplit('/').next() == Some("Cargo.lock") {
        return Vec::new();
    }
    let lines = text.lines().enumerate();
    let named = lines.filter_map(|(index, line)| Some((index + 1, find(line)?)));
    named
        .map(|(line, host)| Violation {
            file: file.to_owned(),
            line,
            rule: format!(
                "names {host}: downloads go through cargo, rustup or apt as the user set them up, \
                 never through an address in the repository"
            ),
        })
        .collect()
}

fn find(line: &str) -> Option<String> {
    let host = HOSTS
        .iter()
        .map(|(a, b)| format!("{a}{b}"))
        .find(|host| line.contains(host));
    let release = || {
        let (_, path) = line.split_once("github.com/")?;
        path.contains("/releases")
            .then(|| "a download from GitHub".to_owned())
    };
    host.or_else(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_host_in_a_script_is_found_with_its_line() {
        let text = format!("#!/bin/sh\ncurl http://{}{}/x\n", "deb.debian", ".org");
        let found = check(".ci/run", &text);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].file.as_str(), found[0].line), (".ci/run", 2));
    }

    #[test]
    fn a_release_download_is_found_but_a_link_to_a_project_is_not() {
        let download = format!("https://github.{}/a/b/releases/download/v1/x", "com");
        assert_eq!(check("x.sh", &download).len(), 1);
        assert_eq!(
            check("README.md", &format!("https://github.{}/a/b", "com")),
            []
        );
    }

    #[test]
    fn the_lock_file_may_name_the_registry() {
        for file in ["Cargo.lock", "fuzz/Cargo.lock"] {
            assert_eq!(check(file, &format!("{}{}", "crates", ".io")), []);
        }
    }
}
