//! A command that reads traces can do nothing else.
#![cfg(target_os = "linux")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::thread;

use tracer::confine::{self, Files};

/// What came of it, in a thread that is confined to these files; the others go on as they are.
fn confined<T: Send + 'static>(
    read: &[&Path],
    write: Option<&Path>,
    attempt: impl FnOnce() -> T + Send + 'static,
) -> T {
    let files = Files {
        read: read.iter().map(|path| path.to_path_buf()).collect(),
        write: write.map(Path::to_owned),
    };
    let thread = thread::spawn(move || {
        confine::to(&files);
        attempt()
    });
    thread.join().expect("no panic")
}

fn refused<T>(result: &io::Result<T>) -> bool {
    let refusals = [libc::EPERM, libc::EACCES].map(Some);
    matches!(result, Err(error) if refusals.contains(&error.raw_os_error()))
}

fn file(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, "words").expect("written");
    path
}

/// Does this kernel know Landlock?
fn has_landlock() -> bool {
    fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|lsm| lsm.contains("landlock"))
        || fs::read_to_string("/proc/kallsyms")
            .is_ok_and(|all| all.contains("landlock_create_ruleset"))
}

#[test]
fn no_socket_no_program_no_namespace_and_no_other_process_is_within_reach() {
    confined(&[], None, || {
        assert!(refused(&TcpListener::bind("127.0.0.1:0")));
        assert!(refused(&UdpSocket::bind("[::1]:0")));
        // Should it run, this test has failed.
        let exec = nix::unistd::execv(c"/bin/false", &[c"false"]);
        assert!(refused(&exec.map_err(io::Error::from)));
        let os = |result: nix::Result<()>| result.map_err(io::Error::from);
        use nix::sched::{CloneFlags, unshare};
        assert!(refused(&os(unshare(CloneFlags::CLONE_NEWUSER))));
        use nix::sys::signal::kill;
        assert!(refused(&os(kill(nix::unistd::Pid::from_raw(1), None))));
        assert!(refused(&os(nix::unistd::chdir("/"))));
    });
}

#[test]
fn named_files_are_read_and_no_others() {
    if !has_landlock() {
        eprintln!("skipped: this kernel has no Landlock");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (named, other) = (file(folder.path(), "named"), file(folder.path(), "other"));
    let segments = tempfile::tempdir().expect("a folder");
    let segment = file(segments.path(), "1.trace");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let kept = file(elsewhere.path(), "2.trace");
    let link = segments.path().join("2.trace");
    std::os::unix::fs::symlink(&kept, &link).expect("a link");
    let read = [named.clone(), segments.path().to_owned()];
    let read: Vec<&Path> = read.iter().map(PathBuf::as_path).collect();
    confined(&read, None, move || {
        for path in [&named, &segment, &link] {
            assert_eq!(fs::read_to_string(path).expect("allowed"), "words");
        }
        for path in [
            &other,
            Path::new("/etc/passwd"),
            Path::new("/proc/1/cmdline"),
        ] {
            assert!(refused(&fs::read(path)), "{}", path.display());
        }
        assert!(refused(&OpenOptions::new().write(true).open(&named)));
        assert!(refused(&File::create(other.with_file_name("new"))));
        assert!(refused(&fs::remove_file(&named)));
    });
}

#[test]
fn the_named_output_is_made_under_another_name_first() {
    if !has_landlock() {
        eprintln!("skipped: this kernel has no Landlock");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.csv");
    let elsewhere = elsewhere.path().join("out.csv");
    confined(&[], Some(&output.clone()), move || {
        let part = output.with_extension("part");
        fs::write(&part, "words").expect("allowed");
        fs::rename(&part, &output).expect("allowed");
        fs::remove_file(&output).expect("allowed");
        assert!(refused(&File::create(&elsewhere)));
    });
}
