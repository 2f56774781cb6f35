//! This process itself: its program, its cgroup, and the counters of its network namespace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The program that runs, also when its file was replaced or removed.
pub const fn own_program() -> &'static str {
    "/proc/self/exe"
}

/// Numbers of the descriptors that this process has open; the one that lists them is among them, and closed
/// when this returns.
pub fn open_descriptors(root: &Path) -> io::Result<Vec<i32>> {
    let names = fs::read_dir(root.join("proc/self/fd"))?;
    names
        .map(|name| {
            Ok(name?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok()))
        })
        .filter_map(io::Result::transpose)
        .collect()
}

/// The directory of this process's cgroup (v2), from where the hierarchy is mounted.
pub fn own_cgroup(root: &Path, mount: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // Outside of what this cgroup namespace shows.
    (!path.starts_with("..")).then(|| mount.join(path))
}

/// `TcpRetransSegs` of the network namespace of this process: segments sent again, SYN and SYN-ACK included.
pub fn retransmitted_segments(root: &Path) -> Option<u64> {
    counter(
        &fs::read_to_string(root.join("proc/self/net/snmp")).ok()?,
        "Tcp:",
        "RetransSegs",
    )
}

/// proc_net_snmp has two lines per protocol, names and values.
fn counter(snmp: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix(protocol));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|found| found == name)?;
    values.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let snmp = "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: ActiveOpens RetransSegs InErrs\nTcp: 5 42 0\n";
        assert_eq!(counter(snmp, "Tcp:", "RetransSegs"), Some(42));
        assert_eq!(counter(snmp, "Tcp:", "Unheard"), None);
        assert_eq!(counter(snmp, "Udp:", "RetransSegs"), None);
    }

    #[test]
    fn a_cgroup_is_looked_for_below_the_mount() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let say = |text: &str| fs::write(root.path().join("proc/self/cgroup"), text).unwrap();
        let found = || own_cgroup(root.path(), Path::new("/mnt"));
        say("12:cpu:/a\n0::/system.slice/b.service\n");
        assert_eq!(found(), Some("/mnt/system.slice/b.service".into()));
        say("0::/\n");
        assert_eq!(found(), Some("/mnt/".into()));
        say("0::/../outside\n");
        assert_eq!(found(), None);
        say("1:cpu:/a\n");
        assert_eq!(found(), None);
    }
}
