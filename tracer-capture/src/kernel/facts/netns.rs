//! Network namespaces and interfaces.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a text names no network namespace.
#[derive(Debug)]
pub struct NetnsError {
    /// What was looked at.
    pub path: PathBuf,
    pub source: io::Error,
}

impl fmt::Display for NetnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no network namespace at {}: {}",
            self.path.display(),
            self.source
        )
    }
}

impl std::error::Error for NetnsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Inode number of the initial pid namespace (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Does this process live in a pid namespace of its own? Its pids are then not those that the BPF programs see.
pub fn in_pid_namespace(root: &Path) -> bool {
    inode(root.join("proc/self/ns/pid")).is_ok_and(|inode| inode != INITIAL_PID_NAMESPACE)
}

/// Inode number of this process's network namespace.
pub fn netns_of_self(root: &Path) -> Result<u64, NetnsError> {
    inode(root.join("proc/self/ns/net"))
}

/// Inode number of a process's network namespace.
pub fn netns_of_pid(root: &Path, pid: u32) -> Result<u64, NetnsError> {
    inode(root.join(format!("proc/{pid}/ns/net")))
}

/// Inode number of the network namespace that `--netns` names: `self`, a pid, a name given by `ip netns add`,
/// a path (it contains a slash), or `net:[4026531840]` as `ls -l /proc/PID/ns` prints it.
pub fn netns_of_text(root: &Path, text: &str) -> Result<u64, NetnsError> {
    if text == "self" {
        return netns_of_self(root);
    }
    if let Some(inode) = text
        .strip_prefix("net:[")
        .and_then(|rest| rest.strip_suffix(']')?.parse().ok())
    {
        return Ok(inode);
    }
    if let Ok(pid) = text.parse() {
        return netns_of_pid(root, pid);
    }
    if text.contains('/') {
        // A path is the user's own word and is taken as it is, relative ones from here.
        return inode(PathBuf::from(text));
    }
    if text.is_empty() || text == "." || text == ".." {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "not a name");
        return Err(NetnsError {
            path: PathBuf::from(text),
            source,
        });
    }
    let path = root.join("run/netns").join(text);
    if path.exists() {
        inode(path)
    } else {
        inode(root.join("var/run/netns").join(text))
    }
}

fn inode(path: PathBuf) -> Result<u64, NetnsError> {
    match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.ino()),
        Err(source) => Err(NetnsError { path, source }),
    }
}

/// Name of an interface of the own network namespace, by its index. Other namespaces number theirs alike,
/// so the answer is wrong for them: compare the namespace first. Not read from /sys, which shows the namespace that it
/// was mounted in, whatever namespace the process has entered since.
pub fn interface_name(index: u32) -> Option<String> {
    let name = nix::net::if_::if_indextoname(index).ok()?;
    let name = name.to_string_lossy().into_owned();
    // What there is not has an empty name here.
    (!name.is_empty()).then_some(name)
}
