//! One package out of a newer Debian suite, without touching the machine's own apt.
//!
//! The mirror and its key come from the machine's apt sources; the sources, lists and cache that
//! apt uses here are private and are thrown away.

mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use self::sources::{Source, codename, find_source, read_sources};
use super::say;
use crate::workspace;

/// Where a release that is newer than the machine's own Debian can be, nearest first. They are
/// names by role, so they stay right when Debian moves on.
const SUITES: [&str; 4] = ["stable-backports", "testing", "unstable", "stable"];

/// Fetches `package` in the version `release` (of any Debian revision) and unpacks it into `into`.
pub fn download_and_unpack(package: &str, release: &str, into: &Path) -> Result<()> {
    let apt_dir = Path::new("/etc/apt");
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = codename(&os).context("this is not Debian")?;
    let sources = read_sources(apt_dir);
    let source = find_source(&sources, &codename).with_context(|| {
        format!(
            "no apt source for {codename} in {}: add one",
            apt_dir.display()
        )
    })?;

    let work = into.with_added_extension("partial");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("cannot empty {}", work.display()))?;
    }
    let own_backports = format!("{codename}-backports");
    let mut failures = Vec::new();
    for suite in SUITES.into_iter().chain([own_backports.as_str()]) {
        let private = Private::new(&work.join(suite), source, suite)?;
        match private.fetch(package, release) {
            Ok(deb) => {
                say(&format!("unpacking {package} {release} of {suite}"));
                let tree = work.join("tree");
                workspace::capture(Command::new("dpkg").arg("-x").arg(&deb).arg(&tree))?;
                fs::rename(&tree, into).with_context(|| {
                    format!("cannot move the unpacked package to {}", into.display())
                })?;
                return fs::remove_dir_all(&work)
                    .with_context(|| format!("cannot remove {}", work.display()));
            }
            Err(error) => failures.push(format!("{suite}: {error:#}")),
        }
    }
    // Nobody cleans a cache folder by hand.
    fs::remove_dir_all(&work).ok();
    bail!("no suite has {package} {release}:\n{}", failures.join("\n"))
}

/// An apt of our own: one source, its own lists and cache.
struct Private {
    dir: PathBuf,
    config: PathBuf,
}

impl Private {
    fn new(dir: &Path, source: &Source, suite: &str) -> Result<Self> {
        let config = dir.join("apt.conf");
        let write = || {
            for sub in ["lists/partial", "cache/archives/partial", "deb"] {
                fs::create_dir_all(dir.join(sub))?;
            }
            fs::write(dir.join("extra.sources"), source.stanza(suite))?;
            fs::write(&config, private_config(dir))
        };
        write().with_context(|| format!("cannot write below {}", dir.display()))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            config,
        })
    }

    fn fetch(&self, package: &str, release: &str) -> Result<PathBuf> {
        workspace::capture(self.apt("apt-get").args(["-q", "update"]))?;
        let known = workspace::capture(self.apt("apt-cache").args(["madison", package]))?;
        let version =
            pick_version(&known, release).with_context(|| format!("has no {package} {release}"))?;
        let mut get = self.apt("apt-get");
        get.arg("-q")
            .arg("download")
            .arg(format!("{package}={version}"));
        workspace::capture(get.current_dir(self.dir.join("deb")))?;
        let debs = fs::read_dir(self.dir.join("deb")).context("cannot list the download")?;
        let mut debs = debs.flatten().map(|entry| entry.path());
        let deb = debs.find(|path| path.extension().is_some_and(|e| e == "deb"));
        deb.context("apt-get download left no package behind")
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.config);
        command
    }
}

fn private_config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "Dir::Etc::sourcelist \"{dir}/extra.sources\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::State::lists \"{dir}/lists\";\n\
         Dir::Cache \"{dir}/cache\";\n\
         // The folder belongs to the user, apt's sandbox user could not enter it.\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n\
         // Hooks are about the machine's own packages.\n\
         #clear APT::Update::Pre-Invoke;\n\
         #clear APT::Update::Post-Invoke;\n\
         #clear APT::Update::Post-Invoke-Success;\n"
    )
}

/// From `apt-cache madison`: `rust-src | 1.95.0+dfsg1-1~bpo13+1 | …`.
fn pick_version(madison: &str, release: &str) -> Option<String> {
    let versions = madison
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .map(str::trim);
    versions
        .filter(|version| {
            version
                .strip_prefix(release)
                .is_some_and(|r| r.starts_with(['+', '-']))
        })
        .map(str::to_owned)
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_release_with_the_same_beginning_is_not_taken() {
        let madison = "rust-src | 1.95.01-1 | x\nrust-src | 1.95.0+dfsg1-1~bpo13+1 | x\n";
        assert_eq!(
            pick_version(madison, "1.95.0").as_deref(),
            Some("1.95.0+dfsg1-1~bpo13+1")
        );
        assert_eq!(pick_version(madison, "1.94.0"), None);
    }
}
