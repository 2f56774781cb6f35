//! Who owns a socket, and how we know.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Place;

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

/// What Kubernetes calls the container of a process.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Kubernetes {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container in the pod, where it is known.
    pub container: Option<String>,
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
    /// Path of the cgroup (v2) below its root, `/system.slice/…`; [`Place::of`] tells unit and container.
    pub cgroup: Option<String>,
    /// The command line, its arguments joined by spaces, 256 bytes at most.
    pub cmdline: Option<Arc<RawName>>,
    /// Its pod, where the kubelet of this host says.
    pub kubernetes: Option<Arc<Kubernetes>>,
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
        let cmdline = self.cmdline.as_ref().map_or(0, |cmdline| cmdline.0.len());
        let pod = self.kubernetes.as_ref().map_or(0, |pod| {
            pod.namespace.len() + pod.pod.len() + of_text(&pod.container)
        });
        let texts = of_name(&self.comm) + of_text(&self.cgroup) + of_text(&self.why);
        texts + cmdline + pod + self.holders_bytes()
    }

    /// The part of it that its holders take.
    pub fn holders_bytes(&self) -> usize {
        let of_name = |name: &Option<RawName>| name.as_ref().map_or(0, |name| name.0.len());
        let holders = self.holders.iter();
        holders
            .map(|holder| size_of::<Holder>() + of_name(&holder.comm))
            .sum()
    }

    /// Where it runs, as its cgroup tells.
    pub fn place(&self) -> Place<'_> {
        self.cgroup.as_deref().map(Place::of).unwrap_or_default()
    }

    /// What tells more about it than its comm, where anything does: the pod and its namespace, the container (its
    /// first 12 digits, as engines show it), or the unit.
    pub fn place_name(&self) -> Option<String> {
        if let Some(kubernetes) = &self.kubernetes {
            return Some(format!("{}/{}", kubernetes.namespace, kubernetes.pod));
        }
        let place = self.place();
        if let Some(container) = place.container {
            let engine = container.runtime.unwrap_or("container");
            return Some(format!("{engine} {}", &container.id[..12]));
        }
        let unit = place.unit?;
        let stem = unit.strip_suffix(".service")?;
        let comm = self.comm.as_ref().map_or(&b""[..], RawName::as_bytes);
        // `batchd` of `batch.service`, `systemd-network` of `systemd-networkd.service`: the comm may be cut short. The
        // manager of a user's own units says no more than who it is.
        let is_said = !comm.is_empty()
            && (stem.as_bytes().starts_with(comm) || comm.starts_with(stem.as_bytes()));
        (!is_said && !stem.starts_with("user@")).then(|| unit.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_shown_where_it_tells_more_than_the_comm() {
        let owner = |comm: &str, cgroup: &str| Owner {
            comm: Some(comm.into()),
            cgroup: Some(cgroup.to_owned()),
            ..Owner::default()
        };
        let shown = |comm, cgroup| owner(comm, cgroup).place_name();
        let batch = Some("batch.service".to_owned());
        assert_eq!(shown("python3", "/system.slice/batch.service"), batch);
        assert_eq!(shown("batch", "/system.slice/batch.service"), None);
        assert_eq!(shown("batchd", "/system.slice/batch.service"), None);
        let long = "/system.slice/systemd-networkd.service";
        assert_eq!(shown("systemd-network", long), None);
        assert_eq!(
            shown("bash", "/user.slice/user-0.slice/session-3.scope"),
            None
        );
        assert_eq!(shown("a", "/user.slice/user@1000.service"), None);
        let id = "4e2a1c0d9b8f7a6e5d4c3b2a19080706f5e4d3c2b1a0998877665544332211ff";
        let mut owner = owner("java", &format!("/docker/{id}"));
        assert_eq!(owner.place_name().as_deref(), Some("docker 4e2a1c0d9b8f"));
        owner.kubernetes = Some(Arc::new(Kubernetes {
            namespace: "shop".to_owned(),
            pod: "cart-0".to_owned(),
            container: None,
        }));
        assert_eq!(owner.place_name().as_deref(), Some("shop/cart-0"));
    }
}
