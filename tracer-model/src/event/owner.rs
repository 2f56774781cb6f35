//! Who owns a socket, and how we know.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Bytes that a process or an administrator chose: a comm, a path, an interface name. Any byte may be in
/// it, so it has no `Display`: text for a terminal is made by [`crate::render::escape`] alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RawName(Vec<u8>);

impl RawName {
    /// Takes the bytes as they are.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes before the first NUL of a padded field; `None` when there are none.
    pub fn from_padded(field: &[u8]) -> Option<Self> {
        let end = field
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(field.len());
        (end > 0).then(|| Self(field[..end].to_vec()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as UTF-8, with U+FFFD for what is not. Not fit for a terminal.
    pub fn lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl fmt::Debug for RawName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl From<&str> for RawName {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for RawName {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

/// How the owner is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Attribution {
    /// The process that sent.
    AtSend,
    /// The process that called connect(2).
    AtConnect,
    /// The process that called accept(2).
    AtAccept,
    /// The process that called listen(2).
    AtListen,
    /// Found among the open files of a process at start.
    Seeded,
    /// Nobody holds the socket any more: the process that held it last.
    LastKnown,
    /// Several processes hold the socket: all are listed.
    Shared,
    /// The kernel's own socket.
    Kernel,
    /// Nobody is known; `why` says why.
    #[default]
    Unknown,
}

impl Attribution {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AtSend,
        Self::AtConnect,
        Self::AtAccept,
        Self::AtListen,
        Self::Seeded,
        Self::LastKnown,
        Self::Shared,
        Self::Kernel,
        Self::Unknown,
    ];

    /// The name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtSend => "at_send",
            Self::AtConnect => "at_connect",
            Self::AtAccept => "at_accept",
            Self::AtListen => "at_listen",
            Self::Seeded => "seeded",
            Self::LastKnown => "last_known",
            Self::Shared => "shared",
            Self::Kernel => "kernel",
            Self::Unknown => "unknown",
        }
    }
}

/// A process that holds a shared socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Start of the process, nanoseconds of CLOCK_BOOTTIME.
    pub started_boot_ns: Option<u64>,
    /// Its comm.
    pub comm: Option<RawName>,
    /// Descriptor of the socket in it.
    pub fd: Option<u32>,
}

/// The process that a socket belongs to. Identity is `pid` and `started_boot_ns` together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Owner {
    /// How we know.
    pub grade: Attribution,
    /// Process id (`tgid`).
    pub pid: Option<u32>,
    /// Thread id.
    pub tid: Option<u32>,
    /// `comm` of the process.
    pub comm: Option<RawName>,
    /// Real user id.
    pub uid: Option<u32>,
    /// Path of the cgroup (v2) below its root, `/system.slice/…`.
    pub cgroup: Option<String>,
    /// Start of the process, nanoseconds of CLOCK_BOOTTIME.
    pub started_boot_ns: Option<u64>,
    /// All holders of a shared socket; empty otherwise.
    pub holders: Vec<Holder>,
    /// Why the owner is not known, or not known better.
    pub why: Option<String>,
}

/// Thread and start tell owners apart nearly always, and are hashed for every event.
impl Hash for Owner {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.pid, self.tid, self.started_boot_ns).hash(state);
        if self.pid.is_none() {
            self.why.hash(state);
        }
    }
}

impl Owner {
    /// Nobody is known, because of `why`.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self {
            why: Some(why.into()),
            ..Self::default()
        }
    }

    /// What it takes in memory beyond its own size, bytes.
    pub fn heap_bytes(&self) -> usize {
        let of_text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let of_name = |name: &Option<RawName>| name.as_ref().map_or(0, |name| name.0.len());
        let holders = self.holders.iter();
        let holders = holders.map(|holder| size_of::<Holder>() + of_name(&holder.comm));
        of_name(&self.comm) + of_text(&self.cgroup) + of_text(&self.why) + holders.sum::<usize>()
    }
}
