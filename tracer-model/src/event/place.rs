//! What the path of a cgroup says about a process: its systemd unit, its container, its pod.
//!
//! Of the names that systemd, container engines and the kubelet give to cgroups. What follows none of them says
//! nothing: a guess would name the wrong thing.

/// Where a process runs, as the path of its cgroup tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Place<'a> {
    /// The innermost systemd unit that is no slice: `batch.service`. That of a container is left out: it is the
    /// container's name again.
    pub unit: Option<&'a str>,
    /// The container.
    pub container: Option<Container<'a>>,
    /// Uid of the Kubernetes pod, with `-` or `_` between its parts.
    pub pod_uid: Option<&'a str>,
}

/// A container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container<'a> {
    /// Its id, 64 hexadecimal digits.
    pub id: &'a str,
    /// `docker`, `podman`, `containerd` or `cri-o`, where the path tells.
    pub runtime: Option<&'static str>,
}

/// Prefixes of `PREFIX-ID.scope`.
const SCOPES: [(&str, &str); 5] = [
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
];

impl<'a> Place<'a> {
    /// Of a path below the root of cgroups, `/system.slice/batch.service`.
    pub fn of(cgroup: &'a str) -> Self {
        let mut place = Self::default();
        let mut parent = "";
        for name in cgroup.split('/') {
            if let Some(container) = container(parent, name) {
                place.container = Some(container);
                place.unit = None;
            } else if name.ends_with(".service") || name.ends_with(".scope") {
                place.unit = Some(name);
            } else if let Some(uid) = pod_uid(name) {
                place.pod_uid = Some(uid);
            }
            parent = name;
        }
        place
    }
}

fn container<'a>(parent: &str, name: &'a str) -> Option<Container<'a>> {
    if let Some(scope) = name.strip_suffix(".scope") {
        return SCOPES.iter().find_map(|(prefix, runtime)| {
            let id = scope.strip_prefix(prefix).filter(|id| is_id(id))?;
            let runtime = Some(*runtime);
            Some(Container { id, runtime })
        });
    }
    // Without systemd the engine's own group holds them: `/docker/ID`, `/kubepods/burstable/podUID/ID`.
    let runtime = match parent {
        "docker" => Some("docker"),
        "libpod_parent" => Some("podman"),
        _ if pod_uid(parent).is_some() => None,
        _ => return None,
    };
    let id = name.strip_prefix("libpod-").unwrap_or(name);
    is_id(id).then_some(Container { id, runtime })
}

fn is_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `podUID`, or `kubepods-burstable-podUID.slice`.
fn pod_uid(name: &str) -> Option<&str> {
    let uid = match name.strip_suffix(".slice") {
        Some(slice) if slice.contains("kubepods") => slice.rsplit_once("-pod")?.1,
        Some(_) => return None,
        None => name.strip_prefix("pod")?,
    };
    let is_uid = uid.len() >= 32
        && uid
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-' || byte == b'_');
    is_uid.then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4e2a1c0d9b8f7a6e5d4c3b2a19080706f5e4d3c2b1a0998877665544332211ff";

    /// Unit, container with its runtime, and the pod's uid.
    type Found = (
        Option<String>,
        Option<(String, Option<&'static str>)>,
        Option<String>,
    );

    fn of(path: &str) -> Found {
        let path = path.replace("ID", ID);
        let place = Place::of(&path);
        let container = place
            .container
            .map(|found| (found.id.to_owned(), found.runtime));
        (
            place.unit.map(ToOwned::to_owned),
            container,
            place.pod_uid.map(ToOwned::to_owned),
        )
    }

    fn unit(name: &str) -> Found {
        (Some(name.to_owned()), None, None)
    }

    fn in_container(runtime: Option<&'static str>, pod_uid: Option<&str>) -> Found {
        let pod_uid = pod_uid.map(ToOwned::to_owned);
        (None, Some((ID.to_owned(), runtime)), pod_uid)
    }

    #[test]
    fn the_innermost_unit_is_the_one_that_systemctl_status_shows() {
        assert_eq!(of("/system.slice/batch.service"), unit("batch.service"));
        assert_eq!(
            of("/system.slice/batch.service/worker"),
            unit("batch.service")
        );
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice/player.service";
        assert_eq!(of(user), unit("player.service"));
        let session = "/user.slice/user-0.slice/session-3.scope";
        assert_eq!(of(session), unit("session-3.scope"));
    }

    #[test]
    fn containers_are_told_by_the_names_that_their_engines_give() {
        let docker = in_container(Some("docker"), None);
        assert_eq!(of("/system.slice/docker-ID.scope"), docker);
        assert_eq!(of("/docker/ID"), docker);
        let podman = in_container(Some("podman"), None);
        assert_eq!(of("/machine.slice/libpod-ID.scope/container"), podman);
        let nerdctl = in_container(Some("containerd"), None);
        assert_eq!(of("/system.slice/nerdctl-ID.scope"), nerdctl);
        // A service of systemd inside of one.
        let inside = of("/machine.slice/libpod-ID.scope/system.slice/a.service");
        assert_eq!(
            (inside.0.as_deref(), inside.1),
            (Some("a.service"), podman.1)
        );
    }

    #[test]
    fn pods_are_told_with_either_driver_of_cgroups() {
        let systemd = "/kubepods.slice/kubepods-burstable.slice/\
                       kubepods-burstable-pod0a1b2c3d_0000_1111_2222_333344445555.slice/cri-containerd-ID.scope";
        let uid = Some("0a1b2c3d_0000_1111_2222_333344445555");
        assert_eq!(of(systemd), in_container(Some("containerd"), uid));
        let cgroupfs = "/kubepods/besteffort/pod0a1b2c3d-0000-1111-2222-333344445555/ID";
        let uid = Some("0a1b2c3d-0000-1111-2222-333344445555");
        assert_eq!(of(cgroupfs), in_container(None, uid));
        let crio =
            "/kubepods.slice/kubepods-pod0a1b2c3d_0000_1111_2222_333344445555.slice/crio-ID.scope";
        let uid = Some("0a1b2c3d_0000_1111_2222_333344445555");
        assert_eq!(of(crio), in_container(Some("cri-o"), uid));
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for path in [
            "/",
            "",
            "/podium/ID",
            "/system.slice",
            "/a/docker",
            "/docker/short",
        ] {
            assert_eq!(of(path), (None, None, None), "{path}");
        }
        // The process that watches a container is not in it.
        let conmon = "libpod-conmon-ID.scope".replace("ID", ID);
        assert_eq!(of(&format!("/machine.slice/{conmon}")), unit(&conmon));
    }
}
