use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A root directory with these files.
fn root(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, contents) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    root
}

#[test]
fn an_empty_root_gives_none_and_never_a_zero() {
    let root = root(&[]);
    let facts = Facts::probe(root.path());
    assert!(facts.btf.unwrap_err().contains("No such file"));
    assert_eq!(facts.capabilities, None);
    assert_eq!(facts.knows_cap_bpf, None);
    assert_eq!(facts.initial_user_namespace, None);
    assert_eq!(facts.kernel_release, None);
    assert_eq!(facts.jit, None);
    assert_eq!(facts.lockdown, None);
    assert_eq!(facts.unprivileged_bpf_disabled, None);
    assert_eq!(facts.kptr_restrict, None);
    assert_eq!(facts.kernel_addresses, None);
    assert_eq!(facts.cgroup2, None);
    assert_eq!(facts.cpus_possible, None);
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn the_numbers_of_calls_are_those_that_this_program_makes_itself() {
    let calls = match cfg!(target_arch = "x86_64") {
        true => Processor::X86_64.calls(),
        false => Processor::Arm64.calls(),
    };
    let ours = [
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_pwritev2,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_sendmmsg,
        libc::SYS_sendfile,
        libc::SYS_splice,
    ];
    let theirs = [
        calls.write,
        calls.writev,
        calls.pwritev2,
        calls.sendto,
        calls.sendmsg,
        calls.sendmmsg,
        calls.sendfile,
        calls.splice,
    ];
    assert_eq!(theirs, ours.map(|number| u64::try_from(number).unwrap()));
}

#[test]
fn a_whole_root_is_read() {
    let root = root(&[
        (
            "proc/self/status",
            "Name:\tsendtrace\nCapPrm:\t0000000000000000\nCapEff:\t000000c000080000\n",
        ),
        ("proc/self/uid_map", "         0          0 4294967295\n"),
        ("proc/sys/kernel/osrelease", "6.18.44\n"),
        ("proc/sys/kernel/cap_last_cap", "40\n"),
        ("proc/sys/kernel/unprivileged_bpf_disabled", "2\n"),
        ("proc/sys/kernel/kptr_restrict", "1\n"),
        ("proc/sys/net/core/bpf_jit_enable", "1\n"),
        (
            "sys/kernel/security/lockdown",
            "none [integrity] confidentiality\n",
        ),
        ("sys/devices/system/cpu/possible", "0-3,8\n"),
    ]);
    let facts = Facts::probe(root.path());
    assert!(
        facts.has(Capability::Bpf)
            && facts.has(Capability::Perfmon)
            && facts.has(Capability::SysPtrace)
    );
    assert!(!facts.has(Capability::SysAdmin) && !facts.has(Capability::SysResource));
    assert_eq!(facts.knows_cap_bpf, Some(true));
    assert_eq!(facts.initial_user_namespace, Some(true));
    assert_eq!(facts.kernel_release.as_deref(), Some("6.18.44"));
    assert_eq!(facts.unprivileged_bpf_disabled, Some(2));
    assert_eq!(facts.kptr_restrict, Some(1));
    assert_eq!(facts.jit, Some(true));
    assert_eq!(facts.lockdown.as_deref(), Some("integrity"));
    assert_eq!(facts.cpus_possible, Some(5));
}

#[test]
fn the_root_of_a_container_is_not_the_root_of_the_host() {
    let root = root(&[("proc/self/uid_map", "0 100000 65536\n")]);
    assert_eq!(
        Facts::probe(root.path()).initial_user_namespace,
        Some(false)
    );
}

#[test]
fn the_cgroup2_mount_is_found_among_the_others_and_its_name_unescaped() {
    let mounts = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                  32 31 0:29 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n\
                  41 31 0:38 / /my\\040cgroups rw,relatime shared:4 master:1 - cgroup2 cgroup2 rw\n";
    let root = root(&[("proc/self/mountinfo", mounts)]);
    assert_eq!(
        host::cgroup2(root.path()).unwrap(),
        Path::new("/my cgroups")
    );
}

#[test]
fn systemd_s_v1_hierarchy_counts_where_v2_says_less() {
    const V1: &str = "32 31 0:29 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,name=systemd\n\
                      33 31 0:30 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n";
    const V2: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n";
    let found = |mounts: &[&str], cgroups: &str| {
        let root = root(&[
            ("proc/self/mountinfo", &mounts.concat()),
            ("proc/self/cgroup", cgroups),
            ("proc/1/cgroup", "1:name=systemd:/\n0::/\n"),
        ]);
        host::systemd_cgroups(root.path())
    };
    let place = Some("/sys/fs/cgroup/systemd".into());
    let service = "8:cpu:/\n1:name=systemd:/system.slice/a.service\n";
    assert_eq!(found(&[V1], service), place);
    assert_eq!(found(&[V1], &format!("{service}0::/\n")), place);
    assert_eq!(found(&[V1, V2], &format!("{service}0::/\n")), place);
    let hybrid = format!("{service}0::/system.slice/a.service\n");
    assert_eq!(found(&[V1, V2], &hybrid), None);
    assert_eq!(found(&[V2], "0::/system.slice/a.service\n"), None);
    assert_eq!(found(&[V1, V2], "1:name=systemd:/\n0::/\n"), None);
    assert_eq!(found(&[], service), None);

    // A shell of its own making, beside a systemd that has no v2.
    let root = root(&[
        ("proc/self/mountinfo", &[V1, V2].concat()),
        ("proc/self/cgroup", "1:name=systemd:/\n0::/\n"),
        ("proc/1/cgroup", "1:name=systemd:/init.scope\n0::/\n"),
    ]);
    assert_eq!(host::systemd_cgroups(root.path()), place);
}

#[test]
fn the_line_of_systemd_is_found_by_its_name_and_its_path_kept_whole() {
    let path = |text: &str| systemd_cgroup(text.as_bytes());
    assert_eq!(
        path("8:name=other:/x\n4:name=systemd:/a:b/c d\n0::/y\n").as_deref(),
        Some("/a:b/c d")
    );
    assert_eq!(path("4:name=systemd:/../outside\n"), None);
    assert_eq!(path("8:cpu,name=systemd:/x\n0::/y\n"), None);
    assert_eq!(path(""), None);
}

#[test]
fn malformed_files_are_unknown_facts() {
    let root = root(&[
        ("proc/self/status", "CapEff:\tmany\n"),
        ("proc/self/mountinfo", "cgroup2\n - cgroup2\n\n"),
        ("proc/sys/kernel/kptr_restrict", "\n"),
        ("sys/kernel/security/lockdown", "integrity\n"),
        ("sys/devices/system/cpu/possible", "3-0\n"),
        ("sys/kernel/btf/vmlinux", "not BTF at all, only text\n"),
    ]);
    let facts = Facts::probe(root.path());
    assert_eq!(facts.capabilities, None);
    assert_eq!(facts.cgroup2, None);
    assert_eq!(facts.kptr_restrict, None);
    assert_eq!(facts.lockdown, None);
    assert_eq!(facts.cpus_possible, None);
    assert!(facts.btf.unwrap_err().contains("not little-endian BTF"));
}

#[test]
fn the_length_of_a_tick_is_known_to_anybody() {
    let facts = Facts::probe(root(&[]).path());
    assert!([100, 250, 300, 1000].contains(&facts.hz().unwrap()));
}

#[test]
fn a_moment_since_boot_becomes_wall_clock_time() {
    let anchor = ClockAnchor {
        boot_ns: 1_000,
        wall_ns: 50_000,
    };
    assert_eq!(anchor.wall_ns(1_500), 50_500);
    assert_eq!(anchor.wall_ns(0), 49_000);
    let now = ClockAnchor::now();
    assert!(now.boot_ns > 0 && now.wall_ns > 1_500_000_000_000_000_000);
}

#[test]
fn a_network_namespace_is_named_by_pid_path_name_or_link() {
    let root = root(&[
        ("proc/self/ns/net", ""),
        ("proc/42/ns/net", ""),
        ("run/netns/blue", ""),
    ]);
    let own = netns_of_self(root.path()).unwrap();
    assert_eq!(netns_of_text(root.path(), "self").unwrap(), own);
    let other = netns_of_pid(root.path(), 42).unwrap();
    assert_ne!(own, other);
    assert_eq!(netns_of_text(root.path(), "42").unwrap(), other);
    assert_eq!(
        netns_of_text(root.path(), "net:[4026531840]").unwrap(),
        4_026_531_840
    );
    let blue = netns_of_text(root.path(), "blue").unwrap();
    let path = root.path().join("run/netns/blue");
    assert_eq!(
        netns_of_text(root.path(), path.to_str().unwrap()).unwrap(),
        blue
    );
}

#[test]
fn what_names_no_network_namespace_says_where_it_was_sought() {
    let root = root(&[]);
    for text in ["green", "4194305", "/no/such/path", "", ".."] {
        let message = netns_of_text(root.path(), text).unwrap_err().to_string();
        assert!(message.starts_with("no network namespace at "), "{message}");
    }
}

#[test]
fn an_interface_is_found_by_its_index() {
    assert_eq!(interface_name(1).as_deref(), Some("lo"));
    assert_eq!(interface_name(u32::MAX), None);
}

#[test]
#[ignore = "needs root"]
fn root_an_interface_is_found_in_the_namespace_that_was_entered_without_its_sysfs() {
    let is_root = nix::unistd::geteuid().is_root();
    assert!(is_root, "needs root: run `cargo xtask test` as root");
    // A namespace of this thread alone: it has nothing but `lo`, whatever /sys shows.
    let names = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        (interface_name(1), interface_name(2))
    });
    assert_eq!(names.join().unwrap(), (Some("lo".to_owned()), None));
}

#[test]
fn the_running_kernels_btf_has_what_the_programs_are_written_for() {
    let Ok(btf) = Facts::probe(Path::new("/")).btf else {
        eprintln!("skipped: this kernel shows no BTF");
        return;
    };
    assert!(btf.features.contains(&Feature::RingBuffer));
    assert_eq!(btf.tracepoints.get("inet_sock_set_state"), Some(&3));
    assert_eq!(btf.tracepoint_types["tcp_receive_reset"], ["struct sock *"]);
    let unresolved: Vec<_> = btf.unresolved().map(|field| field.name).collect();
    for field in [
        "sk_family",
        "sk_state",
        "sk_daddr",
        "tcp_rto",
        "skb_sk",
        "task_tgid",
    ] {
        assert!(!unresolved.contains(&field), "{field} is not resolved");
    }
    if let Some(reasons) = &btf.drop_reasons {
        assert!(reasons.values().any(|name| name == "NO_SOCKET"));
        assert!(reasons.values().any(|name| name == "CONSUMED"));
    }
}
