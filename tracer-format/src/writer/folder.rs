//! Real folders and files: nothing is overwritten, no link is followed, nobody else can read.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fdatasync, fsync, geteuid, linkat, unlinkat};

use super::disk::{Disk, Entry, Identity, Sink};

/// A folder, held open: it stays reachable when privileges are dropped, and when it is moved.
pub struct Folder {
    fd: OwnedFd,
    /// Opened by somebody who may not read it: names in it cannot be synced.
    blind: bool,
    /// Whom files are given to.
    owner: Option<Ids>,
    /// Keeps the lock.
    _lock: Option<File>,
}

/// User and group of whoever started the recorder through sudo: what is recorded is theirs to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    pub uid: u32,
    pub gid: u32,
}

impl Folder {
    /// The folder of segments: made when it is not there, for its owner only, and locked against a second
    /// writer. With an owner of files their group may look into it, but only we write. Gives what to warn of
    /// besides.
    ///
    /// # Errors
    /// When it is no folder or a link to one, when its parent is not there, or somebody writes to it already.
    pub fn of_segments(path: &Path, owner: Option<Ids>) -> anyhow::Result<(Self, Option<String>)> {
        // Without a slash at the end, which would follow a link.
        let path: PathBuf = path.components().collect();
        let shown = shown(&path);
        let made = match mkdirat(AT_FDCWD, &path, Mode::S_IRWXU) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(Errno::ENOENT) => {
                bail!("{shown}: the folder in which it should be is not there: make it first")
            }
            Err(errno) => bail!("{shown}: cannot make the folder: {}", errno.desc()),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = open(&path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::ENOTDIR | Errno::ELOOP => anyhow!(
                "{shown} is no folder (a link to one is not followed): segments need a folder of their own; \
                 name one, or record into one file without --rotate-size and --rotate-every"
            ),
            errno => anyhow!("{shown}: cannot open the folder: {}", errno.desc()),
        })?;
        if made {
            // The mode that was asked for is cut by the umask.
            let mut mode = Mode::S_IRWXU;
            if let Some(owner) = owner {
                fchown(&fd, None, Some(Gid::from_raw(owner.gid))).with_context(|| {
                    format!("{shown}: cannot give it to the group that reads it")
                })?;
                mode |= Mode::S_IRGRP | Mode::S_IXGRP;
            }
            fchmod(&fd, mode).with_context(|| format!("{shown}: cannot set its mode"))?;
            // Best effort, as is all that concerns names that others made.
            let parent = path.parent().filter(|parent| *parent != Path::new(""));
            let parent = File::open(parent.unwrap_or(Path::new(".")));
            let _ = parent.and_then(|parent| parent.sync_all());
        }
        let lock = File::from(fd.try_clone().with_context(|| shown.clone())?);
        let warning = match lock.try_lock() {
            Ok(()) => None,
            Err(TryLockError::WouldBlock) => bail!(
                "{shown}: another sendtrace records into this folder: name another one, or end the other first"
            ),
            Err(TryLockError::Error(error)) => Some(format!(
                "{shown}: the folder cannot be locked against a second writer: {}",
                super::gap::words(&error)
            )),
        };
        let folder = Self {
            fd,
            blind: false,
            owner,
            _lock: Some(lock),
        };
        Ok((folder, warning))
    }

    /// The folder that `path` is to be in, and its name there.
    ///
    /// # Errors
    /// When there is no such folder, or `path` names no file.
    pub fn of_file(path: &Path, owner: Option<Ids>) -> anyhow::Result<(Self, String)> {
        let shown = shown(path);
        let name = path
            .file_name()
            .filter(|_| !path.as_os_str().as_encoded_bytes().ends_with(b"/"))
            .and_then(OsStr::to_str)
            .with_context(|| {
                format!("{shown} is no name for a file: expected one in UTF-8, such as night.trace")
            })?;
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let parent = parent.unwrap_or(Path::new("."));
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let read = open(parent, flags | OFlag::O_RDONLY, Mode::empty()).map(|fd| (fd, false));
        let (fd, blind) = read
            .or_else(|_| open(parent, flags | OFlag::O_PATH, Mode::empty()).map(|fd| (fd, true)))
            .map_err(|errno| {
                anyhow!(
                    "{shown}: cannot open the folder it should be in: {}",
                    errno.desc()
                )
            })?;
        let folder = Self {
            fd,
            blind,
            owner,
            _lock: None,
        };
        Ok((folder, name.to_owned()))
    }

    /// Whether files can be made and removed here, and why not.
    ///
    /// # Errors
    /// Of openat(2) and unlinkat(2).
    pub fn try_out(&mut self) -> io::Result<()> {
        let name = format!(".sendtrace-{}-try", std::process::id());
        self.create(&name)?;
        self.remove(&name)
    }

    fn stat(&self, name: &OsStr) -> nix::Result<FileStat> {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }
}

/// A path for messages: nothing in it reaches a terminal as it is.
pub fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

impl Disk for Folder {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn Sink>> {
        // O_EXCL follows no link either.
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = File::from(openat(&self.fd, name, flags, mode)?);
        // The umask may have cut the mode. The lock is for readers that follow: whoever writes has it. Where
        // files cannot be locked they do without.
        let set = fchmod(&file, mode).map_err(io::Error::from);
        if let Err(error) = set {
            let _ = self.remove(name);
            return Err(error);
        }
        let _ = file.try_lock();
        if let Some(owner) = self.owner {
            // Best effort: root can always read it.
            let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
            let _ = fchown(&file, Some(uid), Some(gid));
        }
        Ok(Box::new(OnDisk(file)))
    }

    fn list(&mut self) -> io::Result<Vec<Entry>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut dir = Dir::openat(&self.fd, ".", flags, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in dir.iter() {
            let entry = entry?;
            // Names of ours are ASCII.
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            // Gone in the meantime.
            let Ok(stat) = self.stat(OsStr::new(name)) else {
                continue;
            };
            let regular = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
            let own = stat.st_uid == geteuid().as_raw()
                || self.owner.is_some_and(|owner| owner.uid == stat.st_uid);
            entries.push(Entry {
                name: name.to_owned(),
                ours: regular && own,
                bytes: u64::try_from(stat.st_size).unwrap_or(0),
                modified_wall_ns: i128::from(stat.st_mtime) * 1_000_000_000
                    + i128::from(stat.st_mtime_nsec),
            });
        }
        Ok(entries)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let fd = &self.fd;
        match renameat2(fd, from, fd, to, RenameFlags::RENAME_NOREPLACE) {
            // Not every file system knows the flag.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                linkat(fd, from, fd, to, AtFlags::empty())?;
                self.remove(from)
            }
            answer => Ok(answer?),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.blind {
            return Ok(());
        }
        Ok(fsync(&self.fd)?)
    }

    fn identity(&mut self, name: &str) -> io::Result<Option<Identity>> {
        Ok(Some(identity(&self.stat(OsStr::new(name))?)))
    }

    fn free(&mut self) -> io::Result<u64> {
        let stat = fstatvfs(&self.fd)?;
        // What is kept for root does not count: privileges are gone.
        Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
    }
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the types differ between architectures"
)]
fn identity(stat: &FileStat) -> Identity {
    Identity {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        links: stat.st_nlink as u64,
    }
}

struct OnDisk(File);

impl Sink for OnDisk {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        FileExt::write_at(&self.0, bytes, offset)
    }

    fn identity(&mut self) -> io::Result<Option<Identity>> {
        Ok(Some(identity(&fstat(&self.0)?)))
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(fdatasync(self.0.as_fd())?)
    }
}
