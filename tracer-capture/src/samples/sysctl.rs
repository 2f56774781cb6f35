//! The settings that decide how connections fail, retry and queue.

use std::collections::BTreeMap;
use std::path::Path;

/// Below `/proc/sys/net`.
const NAMES: [&str; 56] = [
    "core/busy_poll",
    "core/busy_read",
    "core/default_qdisc",
    "core/netdev_budget",
    "core/netdev_budget_usecs",
    "core/netdev_max_backlog",
    "core/optmem_max",
    "core/rmem_default",
    "core/rmem_max",
    "core/somaxconn",
    "core/wmem_default",
    "core/wmem_max",
    "ipv4/ip_forward",
    "ipv4/ip_local_port_range",
    "ipv4/ip_local_reserved_ports",
    "ipv4/ip_no_pmtu_disc",
    "ipv4/tcp_abort_on_overflow",
    "ipv4/tcp_available_congestion_control",
    "ipv4/tcp_congestion_control",
    "ipv4/tcp_early_retrans",
    "ipv4/tcp_ecn",
    "ipv4/tcp_fin_timeout",
    "ipv4/tcp_frto",
    "ipv4/tcp_keepalive_intvl",
    "ipv4/tcp_keepalive_probes",
    "ipv4/tcp_keepalive_time",
    "ipv4/tcp_limit_output_bytes",
    "ipv4/tcp_max_orphans",
    "ipv4/tcp_max_syn_backlog",
    "ipv4/tcp_max_tw_buckets",
    "ipv4/tcp_mem",
    "ipv4/tcp_mtu_probing",
    "ipv4/tcp_notsent_lowat",
    "ipv4/tcp_orphan_retries",
    "ipv4/tcp_recovery",
    "ipv4/tcp_reordering",
    "ipv4/tcp_retries1",
    "ipv4/tcp_retries2",
    "ipv4/tcp_rmem",
    "ipv4/tcp_rto_max_ms",
    "ipv4/tcp_rto_min_us",
    "ipv4/tcp_sack",
    "ipv4/tcp_slow_start_after_idle",
    "ipv4/tcp_syn_linear_timeouts",
    "ipv4/tcp_syn_retries",
    "ipv4/tcp_synack_retries",
    "ipv4/tcp_syncookies",
    "ipv4/tcp_timestamps",
    "ipv4/tcp_tw_reuse",
    "ipv4/tcp_window_scaling",
    "ipv4/tcp_wmem",
    "ipv4/udp_mem",
    "netfilter/nf_conntrack_count",
    "netfilter/nf_conntrack_max",
    "netfilter/nf_conntrack_tcp_timeout_established",
    "netfilter/nf_conntrack_udp_timeout",
];

/// A value is one short line; a longer one is cut.
const LONGEST: usize = 256;

/// The settings that this kernel has, as `sysctl` names them: `net.ipv4.tcp_retries2`. Several values stand with
/// one blank between them.
pub fn read(root: &Path) -> BTreeMap<String, String> {
    let dir = root.join("proc/sys/net");
    let settings = NAMES.iter().filter_map(|name| {
        let bytes = std::fs::read(dir.join(name)).ok()?;
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]).into_owned();
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        Some((format!("net.{}", name.replace('/', ".")), words.join(" ")))
    });
    settings.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn settings_are_named_as_sysctl_does_and_absent_ones_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("proc/sys/net/ipv4");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("tcp_retries2"), "15\n").unwrap();
        fs::write(dir.join("tcp_rmem"), "4096\t131072\t6291456\n").unwrap();
        fs::write(dir.join("ip_local_reserved_ports"), "\n").unwrap();
        fs::write(dir.join("tcp_mem"), "9".repeat(1000)).unwrap();
        let read = read(root.path());
        assert_eq!(read.len(), 4);
        assert_eq!(read["net.ipv4.tcp_retries2"], "15");
        assert_eq!(read["net.ipv4.tcp_rmem"], "4096 131072 6291456");
        assert_eq!(read["net.ipv4.ip_local_reserved_ports"], "");
        assert_eq!(read["net.ipv4.tcp_mem"].len(), LONGEST);
    }
}
