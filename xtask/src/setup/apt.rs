//! Packages out of another Debian suite, without touching the machine's own apt.
//!
//! The mirror and its key come from the machine's apt sources; the sources, lists and cache that
//! apt uses here are private and are thrown away.

mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use self::sources::{Source, codename, find_security, find_source, read_sources};
use super::say;
use crate::arch::Arch;
use crate::workspace;

/// Where a release that is newer than the machine's own Debian can be, nearest first. They are
/// names by role, so they stay right when Debian moves on.
const SUITES: [&str; 4] = ["stable-backports", "testing", "unstable", "stable"];

/// Fetches `package` in the version `release` (of any Debian revision) and unpacks it into `into`.
pub fn download_and_unpack(package: &str, release: &str, into: &Path) -> Result<()> {
    let machine = Machine::read()?;
    let work = into.with_added_extension("partial");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("cannot empty {}", work.display()))?;
    }
    let own_backports = format!("{}-backports", machine.codename);
    let mut failures = Vec::new();
    for suite in SUITES.into_iter().chain([own_backports.as_str()]) {
        let suite_dir = work.join(suite);
        let fetched = Suite::new(&suite_dir, &machine, suite)
            .and_then(|private| private.fetch(package, release));
        match fetched {
            Ok(deb) => {
                say(&format!("unpacking {package} {release} of {suite}"));
                let tree = work.join("tree");
                unpack(&deb, &tree)?;
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

/// What the machine's own apt knows.
pub struct Machine {
    /// `bookworm`
    codename: String,
    sources: Vec<Source>,
}

impl Machine {
    /// # Errors
    /// When this is not Debian: its mirrors are the ones that have what is wanted.
    pub fn read() -> Result<Self> {
        let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Ok(Self {
            codename: codename(&os).context("this is not Debian")?,
            sources: read_sources(Path::new("/etc/apt")),
        })
    }

    /// The name of its release.
    pub fn codename(&self) -> &str {
        &self.codename
    }

    /// The source to derive a suite from: the archive, or for `…-security` the archive of fixes.
    fn source(&self, suite: &str) -> Result<&Source> {
        let source = if suite.ends_with("-security") {
            find_security(&self.sources, &self.codename)
        } else {
            find_source(&self.sources, &self.codename)
        };
        source.with_context(|| {
            format!(
                "no apt source of {} in /etc/apt that {suite} could be derived from: add one",
                self.codename
            )
        })
    }
}

/// Unpacks a package; its scripts are not run.
pub fn unpack(deb: &Path, into: &Path) -> Result<()> {
    workspace::capture(Command::new("dpkg").arg("-x").arg(deb).arg(into)).map(drop)
}

/// The same without the files and folders that match these patterns of tar.
pub fn unpack_without(deb: &Path, into: &Path, patterns: &[&str]) -> Result<()> {
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("could not start dpkg-deb")?;
    let mut tar = Command::new("tar");
    tar.args(["-x", "--no-same-owner", "--keep-directory-symlink", "-C"]);
    tar.arg(into);
    tar.args(
        patterns
            .iter()
            .map(|pattern| format!("--exclude={pattern}")),
    );
    tar.stdin(archive.stdout.take().context("no pipe")?);
    let unpacked = workspace::run(&mut tar);
    let status = archive.wait()?;
    unpacked?;
    if !status.success() {
        bail!("dpkg-deb cannot read {} ({status})", deb.display());
    }
    Ok(())
}

/// An apt of our own: one suite, its own lists and cache.
pub struct Suite {
    dir: PathBuf,
    config: PathBuf,
}

impl Suite {
    /// Prepares the folder; nothing is fetched yet.
    pub fn new(dir: &Path, machine: &Machine, suite: &str) -> Result<Self> {
        Self::of(dir, machine, suite, None)
    }

    /// The same with the packages for another processor than this machine's.
    pub fn of(dir: &Path, machine: &Machine, suite: &str, arch: Option<Arch>) -> Result<Self> {
        let source = machine.source(suite)?;
        let config = dir.join("apt.conf");
        let write = || {
            for sub in ["lists/partial", "cache/archives/partial", "deb"] {
                fs::create_dir_all(dir.join(sub))?;
            }
            fs::write(dir.join("extra.sources"), source.stanza(suite))?;
            let foreign = arch.map(other_processor).unwrap_or_default();
            fs::write(&config, private_config(dir) + &foreign)
        };
        write().with_context(|| format!("cannot write below {}", dir.display()))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            config,
        })
    }

    fn fetch(&self, package: &str, release: &str) -> Result<PathBuf> {
        self.update()?;
        let known = workspace::capture(self.apt("apt-cache").args(["madison", package]))?;
        let version =
            pick_version(&known, release).with_context(|| format!("has no {package} {release}"))?;
        self.download(&format!("{package}={version}"))
    }

    /// Fetches the list of packages.
    pub fn update(&self) -> Result<()> {
        workspace::capture(self.apt("apt-get").args(["-q", "update"])).map(drop)
    }

    /// Names of packages that match a regular expression.
    pub fn search(&self, pattern: &str) -> Result<Vec<String>> {
        let mut search = self.apt("apt-cache");
        let found = workspace::capture(search.args(["search", "--names-only", pattern]))?;
        let names = found.lines().filter_map(|line| line.split(' ').next());
        Ok(names.map(str::to_owned).collect())
    }

    /// Downloads one package, `NAME` or `NAME=VERSION`, and returns its file.
    pub fn download(&self, package: &str) -> Result<PathBuf> {
        let into = self.dir.join("deb").join(package.replace('/', "_"));
        fs::create_dir_all(&into).with_context(|| format!("cannot make {}", into.display()))?;
        let mut get = self.apt("apt-get");
        get.args(["-q", "download", package]).current_dir(&into);
        workspace::capture(&mut get)?;
        let debs = fs::read_dir(&into).context("cannot list the download")?;
        let mut debs = debs.flatten().map(|entry| entry.path());
        let deb = debs.find(|path| path.extension().is_some_and(|e| e == "deb"));
        deb.context("apt-get download left no package behind")
    }

    /// Downloads packages and all that they depend on, and returns the files. Only for another processor: what
    /// this machine has installed would be left out.
    pub fn download_with_needs(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let mut get = self.apt("apt-get");
        get.args([
            "-q",
            "--yes",
            "--no-install-recommends",
            "--download-only",
            "install",
        ]);
        workspace::capture(get.args(packages))?;
        let debs =
            fs::read_dir(self.dir.join("cache/archives")).context("cannot list the download")?;
        let debs = debs.flatten().map(|entry| entry.path());
        let mut debs: Vec<_> = debs
            .filter(|path| path.extension().is_some_and(|e| e == "deb"))
            .collect();
        debs.sort();
        Ok(debs)
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

/// To apt nothing is installed then.
fn other_processor(arch: Arch) -> String {
    let arch = arch.debian();
    format!(
        "Dir::State::status \"/dev/null\";\n\
         APT::Architecture \"{arch}\";\n\
         #clear APT::Architectures;\n\
         APT::Architectures \"{arch}\";\n"
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
