//! Names for people: on many hosts every process is called `python3` or `java`. The command line, and what
//! Kubernetes calls the container; unit and container are read off the cgroup's path ([`Place`]).

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracer_model::event::{Kubernetes, Owner, Place, RawName};

use super::Processes;

/// No more of a command line is kept, bytes.
const CMDLINE_BYTES: usize = 256;
/// No more processes, and no more containers, are remembered.
const MOST: usize = 16_384;
/// A container that the kubelet does not know yet is asked about again after this.
const RETRY: Duration = Duration::from_secs(5);

/// Reads and remembers them.
#[derive(Debug)]
pub struct Names {
    proc: PathBuf,
    logs: PathBuf,
    with_cmdlines: bool,
    processes: Processes,
    /// By pid, start and comm: execve changes the command line, and nearly always the comm.
    cmdlines: HashMap<(u32, u64, Option<RawName>), Option<Arc<RawName>>>,
    /// By path of the cgroup; when it was asked about in vain.
    pods: HashMap<String, Result<Arc<Kubernetes>, Instant>>,
}

impl Names {
    /// `root` is `/` on a real host. Command lines may hold secrets: they are read only `with_cmdlines`.
    pub fn new(root: &Path, with_cmdlines: bool) -> Self {
        Self {
            proc: root.join("proc"),
            logs: root.join("var/log"),
            with_cmdlines,
            processes: Processes::new(root),
            cmdlines: HashMap::new(),
            pods: HashMap::new(),
        }
    }

    /// Completes an owner whose process and cgroup are known.
    pub fn complete(&mut self, owner: &mut Owner) {
        if let (Some(pid), Some(start_ns)) = (owner.pid, owner.started_boot_ns)
            && self.with_cmdlines
        {
            owner.cmdline = self.cmdline(pid, start_ns, owner.comm.clone());
        }
        if let Some(cgroup) = &owner.cgroup {
            owner.kubernetes = self.kubernetes(cgroup);
        }
    }

    fn cmdline(&mut self, pid: u32, start_ns: u64, comm: Option<RawName>) -> Option<Arc<RawName>> {
        let key = (pid, start_ns, comm);
        if let Some(known) = self.cmdlines.get(&key) {
            return known.clone();
        }
        let read = self.read_cmdline(pid, start_ns).map(Arc::new);
        if self.cmdlines.len() >= MOST {
            self.cmdlines.clear();
        }
        self.cmdlines.insert(key, read.clone());
        read
    }

    fn read_cmdline(&self, pid: u32, start_ns: u64) -> Option<RawName> {
        let mut bytes = Vec::new();
        let file = File::open(self.proc.join(pid.to_string()).join("cmdline")).ok()?;
        file.take(CMDLINE_BYTES as u64)
            .read_to_end(&mut bytes)
            .ok()?;
        // Asked afterwards, and anew: else the number could be another process's by now.
        self.processes.forget();
        if !self.processes.is_alive(pid, start_ns) {
            return None;
        }
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        for byte in &mut bytes {
            if *byte == 0 {
                *byte = b' ';
            }
        }
        (!bytes.is_empty()).then(|| RawName::new(bytes))
    }

    fn kubernetes(&mut self, cgroup: &str) -> Option<Arc<Kubernetes>> {
        match self.pods.get(cgroup) {
            Some(Ok(known)) => return Some(known.clone()),
            Some(Err(asked)) if asked.elapsed() < RETRY => return None,
            _ => {}
        }
        let place = Place::of(cgroup);
        let uid = place.pod_uid?;
        let container = place.container.map(|container| container.id);
        let found = container
            .and_then(|id| self.by_container(id))
            .or_else(|| self.by_pod(&uid.replace('_', "-")));
        let found = found.map(Arc::new);
        if self.pods.len() >= MOST {
            self.pods.clear();
        }
        let kept = found.clone().ok_or_else(Instant::now);
        self.pods.insert(cgroup.to_owned(), kept);
        found
    }

    /// The kubelet links each log as `POD_NAMESPACE_CONTAINER-ID.log`.
    fn by_container(&self, id: &str) -> Option<Kubernetes> {
        let end = format!("-{id}.log");
        names(&self.logs.join("containers")).find_map(|name| {
            let mut parts = name.strip_suffix(&end)?.splitn(3, '_');
            Some(Kubernetes {
                pod: parts.next()?.to_owned(),
                namespace: parts.next()?.to_owned(),
                container: Some(parts.next()?.to_owned()),
            })
        })
    }

    /// Its logs lie in `NAMESPACE_POD_UID`.
    fn by_pod(&self, uid: &str) -> Option<Kubernetes> {
        let end = format!("_{uid}");
        names(&self.logs.join("pods")).find_map(|name| {
            let (namespace, pod) = name.strip_suffix(&end)?.split_once('_')?;
            Some(Kubernetes {
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
                container: None,
            })
        })
    }
}

fn names(folder: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 420_000_000;
    const ID: &str = "4e2a1c0d9b8f7a6e5d4c3b2a19080706f5e4d3c2b1a0998877665544332211ff";

    fn put(root: &Path, ticks: u32, cmdline: &[u8]) {
        let dir = root.join("proc/42");
        fs::create_dir_all(&dir).unwrap();
        let stat = format!("42 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0\n");
        fs::write(dir.join("stat"), stat).unwrap();
        fs::write(dir.join("cmdline"), cmdline).unwrap();
    }

    fn owner(comm: &str) -> Owner {
        Owner {
            pid: Some(42),
            started_boot_ns: Some(START),
            comm: Some(comm.into()),
            ..Owner::default()
        }
    }

    fn cmdline(names: &mut Names, comm: &str) -> Option<Vec<u8>> {
        let mut owner = owner(comm);
        names.complete(&mut owner);
        owner.cmdline.map(|cmdline| cmdline.as_bytes().to_vec())
    }

    #[test]
    fn a_command_line_is_read_once_and_again_after_execve() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), 42, b"python3\0-m\0batch\0");
        let mut names = Names::new(root.path(), true);
        assert_eq!(
            cmdline(&mut names, "sh"),
            Some(b"python3 -m batch".to_vec())
        );
        put(root.path(), 42, b"other\0");
        assert_eq!(
            cmdline(&mut names, "sh"),
            Some(b"python3 -m batch".to_vec())
        );
        assert_eq!(cmdline(&mut names, "other"), Some(b"other".to_vec()));
        assert_eq!(cmdline(&mut Names::new(root.path(), false), "sh"), None);
    }

    #[test]
    fn a_command_line_is_cut_and_never_that_of_the_next_process() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), 42, &[b'x'; 1000]);
        let mut names = Names::new(root.path(), true);
        assert_eq!(cmdline(&mut names, "a").map(|line| line.len()), Some(256));
        put(root.path(), 77, b"stranger");
        assert_eq!(cmdline(&mut names, "b"), None);
    }

    #[test]
    fn a_pod_has_the_name_that_the_kubelet_gives_its_logs() {
        let root = tempfile::tempdir().unwrap();
        let uid = "0a1b2c3d-0000-1111-2222-333344445555";
        let slice = format!("kubepods-burstable-pod{}.slice", uid.replace('-', "_"));
        let mut in_pod = owner("java");
        in_pod.cgroup = Some(format!("/kubepods.slice/{slice}/cri-containerd-{ID}.scope"));
        let found = |container: Option<&str>| Kubernetes {
            namespace: "shop".to_owned(),
            pod: "cart-0".to_owned(),
            container: container.map(ToOwned::to_owned),
        };
        let complete = |mut owner: Owner| {
            Names::new(root.path(), false).complete(&mut owner);
            owner.kubernetes.map(|pod| (*pod).clone())
        };
        assert_eq!(complete(in_pod.clone()), None);
        fs::create_dir_all(root.path().join(format!("var/log/pods/shop_cart-0_{uid}"))).unwrap();
        assert_eq!(complete(in_pod.clone()), Some(found(None)));
        let logs = root.path().join("var/log/containers");
        fs::create_dir_all(&logs).unwrap();
        fs::write(logs.join(format!("cart-0_shop_web-{ID}.log")), "").unwrap();
        assert_eq!(complete(in_pod), Some(found(Some("web"))));
        assert_eq!(complete(owner("java")), None);
    }
}
