//! A real file system that is full: a small tmpfs in a mount namespace of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;

use super::kit::{self, Maker};
use crate::writer::{Handle, Notice, Options, RetentionLimits, Target, Writer};

const LONG: Duration = Duration::from_secs(60);

/// Does something in a thread that sees a file system of `bytes` where others see an empty folder.
fn on_tmpfs(bytes: u64, does: impl FnOnce(&Path) + Send) {
    assert!(
        Uid::effective().is_root(),
        "needs root: run `cargo xtask test` as root"
    );
    let dir = tempfile::tempdir().expect("a folder");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
            let none = None::<&str>;
            let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
            mount(none, "/", none, private, none).expect("private mounts");
            let size = format!("size={bytes}");
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            let size = Some(size.as_str());
            mount(Some("tmpfs"), dir.path(), Some("tmpfs"), flags, size).expect("a tmpfs");
            does(dir.path());
        });
        thread.join().expect("no panic");
    });
}

#[test]
#[ignore = "needs root"]
fn root_segments_are_made_in_a_user_s_folder_when_privileges_are_gone() {
    on_tmpfs(1 << 20, |dir| {
        let home = dir.join("home");
        fs::create_dir(&home).expect("room");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("a mode");
        chown(&home, Some(1000), Some(1000)).expect("an owner");
        let folder = home.join("folder");
        let options = Options {
            rotate_size: Some(4 << 10),
            ..Options::default()
        };
        // The user's own folder is refused: root without capabilities may not write there.
        let told = Writer::open(&Target::Segments(home), kit::start(), &options);
        let told = told.err().expect("a refusal").to_string();
        assert!(told.contains("without privileges"), "{told}");
        assert!(told.contains("Permission denied"), "{told}");
        let target = Target::Segments(folder.clone());
        let writer = Writer::open(&target, kit::start(), &options).expect("a folder");
        let mut maker = Maker::default();
        let report = crate::writer::privileges::without_capabilities(|| {
            fs::read_dir(&folder).expect_err("no way there");
            let handle = writer.start().expect("a thread");
            for _ in 0..50 {
                let (sealed, counters) = maker.block();
                handle.submit(sealed, &counters);
            }
            handle.finish(LONG)
        });
        assert_eq!(report.notices, []);
        assert_eq!(report.status.events, maker.submitted);
        assert!(report.status.files > 5);
        let made = fs::read_dir(&folder).expect("a folder").count();
        assert_eq!(made as u64, report.status.files);
    });
}

/// Waits until everything that was submitted has been tried.
fn settle(handle: &Handle, tried: u64) {
    let deadline = Instant::now() + LONG;
    loop {
        let status = handle.watcher().status();
        if status.blocks + status.lost_blocks >= tried {
            return;
        }
        assert!(Instant::now() < deadline, "{status:?}");
        std::thread::yield_now();
    }
}

#[test]
#[ignore = "needs root"]
fn root_a_full_disk_that_is_freed_costs_only_what_the_gap_says() {
    on_tmpfs(128 << 10, |dir| {
        let ballast = dir.join("ballast");
        fs::write(&ballast, vec![1; 96 << 10]).expect("room");
        let target = Target::File(dir.join("night.trace"));
        let writer = Writer::open(&target, kit::start(), &Options::default()).expect("a file");
        let handle = writer.start().expect("a thread");
        let mut maker = Maker::default();
        let mut submit = |count| {
            for _ in 0..count {
                let (sealed, counters) = maker.block();
                handle.submit(sealed, &counters);
            }
            settle(&handle, maker.seq());
        };
        submit(80);
        let status = handle.watcher().status();
        let problem = status.problem.expect("no room");
        assert!(
            problem.ends_with("night.trace: No space left on device"),
            "{problem}"
        );
        assert!(status.blocks > 10 && status.lost_blocks > 10);
        fs::remove_file(&ballast).expect("a file");
        submit(20);
        assert_eq!(handle.watcher().status().problem, None);
        let report = handle.finish(LONG);
        let bytes = fs::read(dir.join("night.trace")).expect("a trace");
        let account = kit::account([&*bytes]);
        assert_eq!((account.damaged, account.torn, account.gaps), (0, 0, 1));
        assert_eq!(account.told(), maker.submitted);
        assert_eq!(account.missing, report.status.lost_events);
        assert_eq!(account.seqs.last(), Some(&100));
        let told = |what| {
            let mut notices = report.notices.iter();
            notices.any(|notice| matches!(notice, Notice::Warning(text) if text.contains(what)))
        };
        assert!(
            told("recording goes on as soon as it can"),
            "{:?}",
            report.notices
        );
    });
}

#[test]
#[ignore = "needs root"]
fn root_least_free_space_is_kept_by_deleting_the_oldest_segments() {
    on_tmpfs(128 << 10, |dir| {
        let folder = dir.join("folder");
        let options = Options {
            rotate_size: Some(8 << 10),
            keep: RetentionLimits {
                free: Some(64 << 10),
                ..RetentionLimits::default()
            },
            ..Options::default()
        };
        let target = Target::Segments(folder.clone());
        let writer = Writer::open(&target, kit::start(), &options).expect("a folder");
        let handle = writer.start().expect("a thread");
        let mut maker = Maker::default();
        for _ in 0..120 {
            let (sealed, counters) = maker.block();
            handle.submit(sealed, &counters);
        }
        let report = handle.finish(LONG);
        assert_eq!((report.status.lost_blocks, report.unwritten_blocks), (0, 0));
        let names = fs::read_dir(&folder).expect("a folder");
        let mut paths: Vec<_> = names.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        assert!((paths.len() as u64) < report.status.files, "some went");
        let files: Vec<_> = paths
            .iter()
            .map(|path| fs::read(path).expect("a file"))
            .collect();
        let account = kit::account(files.iter().map(|bytes| &**bytes));
        assert!(account.before > 0);
        assert_eq!(account.seqs.last(), Some(&120));
        let missing = account.before + account.told().iter().sum::<u64>();
        assert_eq!(missing, maker.submitted.iter().sum::<u64>());
    });
}
