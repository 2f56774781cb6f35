//! Who started this program, and with which environment their commands run.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Context as _, bail};

/// Where commands are looked for.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The user who started this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoker {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Another user than the one of this process: root was lent by sudo, and the groups are not theirs.
    pub through_sudo: bool,
    /// Root was lent by another program than sudo, as this variable of the environment shows: it names no group.
    pub lent_by: Option<&'static str>,
}

impl Invoker {
    /// The user of this process, or the one that sudo names when this process is root's.
    ///
    /// # Errors
    /// When sudo's words make no sense: to run a command as root then would be a guess.
    pub fn find() -> anyhow::Result<Self> {
        let (uid, gid) = (
            nix::unistd::getuid().as_raw(),
            nix::unistd::getgid().as_raw(),
        );
        Self::of(uid, gid, |name| std::env::var_os(name))
    }

    /// [`Self::find`] for real ids and an environment.
    fn of(uid: u32, gid: u32, variable: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Self> {
        let itself = Self {
            uid,
            gid,
            through_sudo: false,
            lent_by: None,
        };
        // Whoever is not root can set these as they like, and gains nothing.
        if uid != 0 {
            return Ok(itself);
        }
        if variable("SUDO_UID").is_none() {
            let mut others = ["DOAS_USER", "PKEXEC_UID"].into_iter();
            let lent_by = others.find(|name| variable(name).is_some());
            return Ok(Self { lent_by, ..itself });
        }
        let id = |name: &str| -> anyhow::Result<u32> {
            let text =
                variable(name).with_context(|| format!("{name} is not set, though SUDO_UID is"))?;
            match text.to_str().and_then(|text| text.parse().ok()) {
                // This one means "leave it as it is" to setresuid(2).
                Some(id) if id != u32::MAX => Ok(id),
                _ => bail!(
                    "{name} is no id of a user or group: unset SUDO_UID to run commands as root"
                ),
            }
        };
        let (uid, gid) = (id("SUDO_UID")?, id("SUDO_GID")?);
        Ok(Self {
            uid,
            gid,
            through_sudo: uid != 0,
            lent_by: None,
        })
    }

    /// Is it known as whom commands are to run?
    ///
    /// # Errors
    /// When root would be more than who called has.
    pub fn check(&self) -> anyhow::Result<()> {
        match self.lent_by {
            None => Ok(()),
            Some(name) => bail!(
                "--exec: {name} is set, and only of sudo it is known as whom commands are to run: use sudo, or unset \
                 {name} to run them as root"
            ),
        }
    }

    /// For the command line of the helper.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![format!("--uid={}", self.uid), format!("--gid={}", self.gid)];
        arguments.extend(self.through_sudo.then(|| "--look-up-groups".to_owned()));
        arguments
    }
}

/// What commands keep of our environment: the language, unless it could lead a program to a file.
pub(super) fn kept(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> BTreeMap<OsString, OsString> {
    let is_language =
        |name: &OsStr| name == "LANG" || name == "LANGUAGE" || name.as_bytes().starts_with(b"LC_");
    let harmless = |value: &OsStr| !value.as_bytes().iter().any(|byte| b"/%".contains(byte));
    variables
        .filter(|(name, value)| is_language(name) && harmless(value))
        .collect()
}

/// The environment of commands: what was kept, and what the account of the user says.
pub(super) fn environment(
    kept: BTreeMap<OsString, OsString>,
    uid: u32,
    account: Option<&Account>,
) -> BTreeMap<OsString, OsString> {
    let name = account.map_or_else(|| uid.to_string(), |account| account.name.clone());
    let home = account.map_or("/", |account| account.home.as_str());
    let shell = account.map_or("/bin/sh", |account| account.shell.as_str());
    let mut environment = kept;
    environment.extend(
        [
            ("PATH", PATH),
            ("HOME", home),
            ("USER", &name),
            ("LOGNAME", &name),
            ("SHELL", shell),
        ]
        .map(|(name, value)| (name.into(), value.into())),
    );
    environment
}

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub name: String,
    pub home: String,
    pub shell: String,
}

impl Account {
    /// A line of passwd(5).
    pub fn read(line: &str) -> Option<Self> {
        let fields: Vec<_> = line.trim_end().split(':').collect();
        let &[name, _, _, _, _, home, shell] = fields.as_slice() else {
            return None;
        };
        let or = |text: &str, default: &str| {
            let text = if text.is_empty() { default } else { text };
            text.to_owned()
        };
        (!name.is_empty()).then(|| Self {
            name: name.to_owned(),
            home: or(home, "/"),
            shell: or(shell, "/bin/sh"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(uid: u32, variables: &[(&str, &str)]) -> anyhow::Result<Invoker> {
        Invoker::of(uid, 7, |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.into())
        })
    }

    fn invoker(uid: u32, gid: u32, through_sudo: bool) -> Invoker {
        Invoker {
            uid,
            gid,
            through_sudo,
            lent_by: None,
        }
    }

    #[test]
    fn behind_sudo_it_is_who_called_sudo() {
        let sudo = [("SUDO_UID", "1000"), ("SUDO_GID", "100")];
        assert_eq!(found(0, &sudo).unwrap(), invoker(1000, 100, true));
        assert_eq!(found(0, &[]).unwrap(), invoker(0, 7, false));
        let root = [("SUDO_UID", "0"), ("SUDO_GID", "0")];
        assert_eq!(found(0, &root).unwrap(), invoker(0, 0, false));
    }

    #[test]
    fn behind_doas_or_pkexec_no_command_becomes_root_by_surprise() {
        for (name, value) in [("DOAS_USER", "kim"), ("PKEXEC_UID", "1000")] {
            let error = found(0, &[(name, value)]).unwrap().check().unwrap_err();
            assert!(error.to_string().contains("use sudo"), "{error}");
            assert!(found(1000, &[(name, value)]).unwrap().check().is_ok());
        }
        assert!(found(0, &[]).unwrap().check().is_ok());
    }

    #[test]
    fn whoever_is_not_root_cannot_name_another_user() {
        let forged = [("SUDO_UID", "0"), ("SUDO_GID", "0")];
        assert_eq!(found(1000, &forged).unwrap(), invoker(1000, 7, false));
    }

    #[test]
    fn nobody_is_guessed_from_a_broken_environment() {
        for (uid, gid) in [
            ("", "100"),
            ("root", "100"),
            ("-1", "100"),
            ("4294967295", "100"),
            ("4294967296", "100"),
            ("1000", "4294967295"),
            ("1000", "x"),
        ] {
            let sudo = [("SUDO_UID", uid), ("SUDO_GID", gid)];
            assert!(found(0, &sudo).is_err(), "{uid} {gid}");
        }
        let error = found(0, &[("SUDO_UID", "1000")]).unwrap_err();
        assert_eq!(error.to_string(), "SUDO_GID is not set, though SUDO_UID is");
    }

    #[test]
    fn the_language_is_kept_and_nothing_else() {
        let variables = [
            ("LANG", "de_DE.UTF-8"),
            ("LC_ALL", "C"),
            ("LC_TIME", "../../tmp/x"),
            ("LANGUAGE", "de%n"),
            ("LD_PRELOAD", "x.so"),
            ("PATH", "."),
            ("IFS", "x"),
            ("BASH_ENV", "x"),
        ];
        let kept = kept(
            variables
                .map(|(name, value)| (name.into(), value.into()))
                .into_iter(),
        );
        let names: Vec<_> = kept.keys().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["LANG", "LC_ALL"]);
    }

    #[test]
    fn the_rest_comes_from_the_account() {
        let account = Account::read("ann:x:1000:100:Ann,,,:/home/ann:/bin/zsh\n").unwrap();
        let of = |account| environment(BTreeMap::new(), 1000, account);
        let get = |environment: &BTreeMap<OsString, OsString>, name: &str| {
            environment[OsStr::new(name)].to_str().unwrap().to_owned()
        };
        let known = of(Some(&account));
        assert_eq!(get(&known, "USER"), "ann");
        assert_eq!(get(&known, "HOME"), "/home/ann");
        assert_eq!(get(&known, "SHELL"), "/bin/zsh");
        let unknown = of(None);
        assert_eq!(get(&unknown, "LOGNAME"), "1000");
        assert_eq!(get(&unknown, "HOME"), "/");
        assert_eq!(get(&unknown, "PATH"), PATH);
        assert_eq!(unknown.len(), 5);
    }

    #[test]
    fn a_line_that_is_none_of_passwd_is_no_account() {
        for line in [
            "",
            "ann",
            "ann:x:1000:100:Ann:/home/ann",
            ":x:0:0::/:/bin/sh",
            "a:b:c:d:e:f:g:h",
        ] {
            assert_eq!(Account::read(line), None, "{line}");
        }
        let bare = Account::read("ann:x:1000:100:::").unwrap();
        assert_eq!((bare.home.as_str(), bare.shell.as_str()), ("/", "/bin/sh"));
    }
}
