use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::time::Instant;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Uid, fork, pipe};

use super::*;

/// Runs `work` in a child, which has a single thread as the caller of `drop_privileges` must, and gives what
/// it says.
fn in_child(work: impl FnOnce() -> anyhow::Result<String>) -> String {
    let (read, write) = pipe().unwrap();
    // SAFETY: the child only runs `work`, whose allocations glibc keeps safe after fork, and leaves by _exit.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let text = work().unwrap_or_else(|error| format!("failed: {error:#}"));
            let written = File::from(write).write_all(text.as_bytes());
            // SAFETY: ends the child without running what the parent's test harness registered.
            unsafe { libc::_exit(i32::from(written.is_err())) }
        }
        ForkResult::Parent { child } => {
            drop(write);
            let mut text = String::new();
            File::from(read).read_to_string(&mut text).unwrap();
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
            text
        }
    }
}

fn is_root() -> bool {
    assert!(
        Uid::effective().is_root(),
        "needs root: run `cargo xtask test` as root"
    );
    true
}

/// The lines about privileges of every thread's status; one set, so threads that agree give one of each.
fn privileges() -> anyhow::Result<String> {
    let mut lines = BTreeSet::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        let wanted = |line: &&str| line.starts_with("Cap") || line.starts_with("NoNewPrivs");
        lines.extend(status.lines().filter(wanted).map(str::to_owned));
    }
    Ok(Vec::from_iter(lines).join("\n"))
}

#[test]
#[ignore = "needs root"]
fn root_keeps_no_capability_in_any_thread_after_the_drop() {
    if !is_root() {
        return;
    }
    let text = in_child(|| {
        drop_privileges(&[])?;
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || stopped.recv());
        let text = privileges();
        drop(stop);
        let _ = thread.join();
        text
    });
    assert_eq!(
        text,
        "CapAmb:\t0000000000000000\nCapBnd:\t0000000000000000\nCapEff:\t0000000000000000\n\
         CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nNoNewPrivs:\t1"
    );
}

#[test]
#[ignore = "needs root"]
fn root_keeps_only_the_capabilities_that_it_asks_to_keep() {
    if !is_root() || !caps::has_cap(None, CapSet::Permitted, Capability::CAP_BPF).unwrap() {
        return;
    }
    let text = in_child(|| {
        drop_privileges(&[Capability::CAP_BPF])?;
        privileges()
    });
    let kept = format!("{:016x}", Capability::CAP_BPF.bitmask());
    assert_eq!(
        text,
        format!(
            "CapAmb:\t0000000000000000\nCapBnd:\t0000000000000000\nCapEff:\t{kept}\n\
             CapInh:\t0000000000000000\nCapPrm:\t{kept}\nNoNewPrivs:\t1"
        )
    );
}

#[test]
#[ignore = "needs root"]
fn root_cannot_get_privileges_back_by_running_another_program() {
    if !is_root() {
        return;
    }
    let text = in_child(|| {
        drop_privileges(&[])?;
        let output = std::process::Command::new("grep")
            .args(["CapEff", "/proc/self/status"])
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    });
    assert_eq!(text, "CapEff:\t0000000000000000\n");
}

#[test]
fn dropping_twice_is_as_good_as_once_and_needs_no_privilege() {
    let text = in_child(|| {
        drop_privileges(&[])?;
        drop_privileges(&[Capability::CAP_SYS_ADMIN])?;
        anyhow::ensure!(caps::read(None, CapSet::Permitted)?.is_empty());
        anyhow::ensure!(prctl::get_no_new_privs()? && !prctl::get_dumpable()?);
        Ok("done".to_owned())
    });
    assert_eq!(text, "done");
}

#[test]
fn privileges_are_not_dropped_while_other_threads_would_keep_them() {
    let text = in_child(|| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || stopped.recv());
        let outcome = drop_privileges(&[]);
        drop(stop);
        let _ = thread.join();
        Ok(outcome.map_or_else(|error| error.to_string(), |()| "dropped".to_owned()))
    });
    assert_eq!(
        text,
        "privileges can only be dropped while the process has a single thread"
    );
}

#[test]
fn the_fewest_capabilities_that_do_are_found_and_the_rest_is_put_back() {
    let text = in_child(|| {
        let before = caps::read(None, CapSet::Effective)?;
        anyhow::ensure!(needed_for(|| true).is_empty());
        anyhow::ensure!(needed_for(|| false) == [Capability::CAP_SYS_ADMIN]);
        let has = |cap| caps::has_cap(None, CapSet::Effective, cap).unwrap_or(false);
        if before.contains(&Capability::CAP_BPF) {
            let needed = needed_for(|| has(Capability::CAP_BPF));
            anyhow::ensure!(needed == [Capability::CAP_BPF], "{needed:?}");
        }
        anyhow::ensure!(caps::read(None, CapSet::Effective)? == before);
        Ok("done".to_owned())
    });
    assert_eq!(text, "done");
}

#[test]
fn the_limit_of_open_files_is_raised_up_to_the_hard_one() {
    let text = in_child(|| {
        setrlimit(Resource::RLIMIT_NOFILE, 64, 256)?;
        anyhow::ensure!(raise_nofile(32)? == 64);
        anyhow::ensure!(raise_nofile(200)? == 200);
        anyhow::ensure!(getrlimit(Resource::RLIMIT_NOFILE)? == (200, 256));
        Ok("done".to_owned())
    });
    assert_eq!(text, "done");
}

#[test]
fn a_limit_of_open_files_that_is_too_low_says_what_to_do() {
    let text = in_child(|| {
        setrlimit(Resource::RLIMIT_NOFILE, 64, 256)?;
        drop_privileges(&[])?;
        Ok(raise_nofile(1000).map_or_else(|error| error.to_string(), |limit| limit.to_string()))
    });
    assert_eq!(
        text,
        "1000 open files are needed, but no more than 256 are allowed (ulimit -n says 64): raise the limit \
         with ulimit -n 1000, or LimitNOFILE=1000 of the service"
    );
}

#[test]
fn a_grace_period_ends() {
    let start = Instant::now();
    let how = grace_period();
    assert!(start.elapsed() < Duration::from_secs(5));
    if how == GracePeriod::Guessed {
        assert!(start.elapsed() >= GRACE_FALLBACK);
    }
}

#[test]
fn the_boot_clock_goes_forward_and_the_wall_clock_keeps_its_distance() {
    let before = boot_clock_ns();
    let offset = wall_minus_boot_ns();
    let after = boot_clock_ns();
    assert!(0 < before && before < after);
    let wall = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as i128;
    let boot = i128::from(boot_clock_ns());
    assert!(
        (wall - boot - offset).abs() < 50_000_000,
        "{}",
        wall - boot - offset
    );
}
