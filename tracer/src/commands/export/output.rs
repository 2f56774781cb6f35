//! Where an export goes: a new file, a FIFO or device, or standard output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::commands::merged_reader::LOOK_AGAIN;
use crate::interrupt::Interrupt;
use crate::output::is_reader_gone;
use tracer_model::escape;

/// The output. A file that was made for it and is not kept is removed.
pub struct Output {
    file: File,
    name: String,
    made: Option<Made>,
    reader_is_gone: bool,
}

/// A file that was made for it: it gets its name when it is complete.
struct Made {
    part: PathBuf,
    path: PathBuf,
}

impl Output {
    /// Standard output.
    ///
    /// # Errors
    /// When it is closed.
    pub fn stdout() -> Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        Ok(Self {
            file: stdout.context("cannot write to standard output")?.into(),
            name: "standard output".to_owned(),
            made: None,
            reader_is_gone: false,
        })
    }

    /// A new file, for its owner only (what processes are called and whom they talk to is in it), or a FIFO or
    /// device that is there.
    ///
    /// # Errors
    /// When there is a file already, or none can be made; the text says what to do.
    pub fn create(path: &Path, interrupt: &Interrupt) -> Result<Self> {
        let name = escape::name(path.as_os_str().as_encoded_bytes());
        let exists = || anyhow!("{name} exists already: remove it, or choose another name");
        let (file, made) = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut part = path.as_os_str().to_owned();
                part.push(format!(".{}.part", std::process::id()));
                let part = PathBuf::from(part);
                let file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&part)
                    .with_context(|| format!("{name} cannot be made"))?;
                let path = path.to_owned();
                (file, Some(Made { part, path }))
            }
            Ok(_) => {
                let kind = fs::metadata(path).map_err(|_| exists())?.file_type();
                if kind.is_file() || kind.is_dir() {
                    return Err(exists());
                }
                let file = open(path, interrupt).with_context(|| name.clone())?;
                // It may have become another one since.
                if file.metadata().with_context(|| name.clone())?.is_file() {
                    return Err(exists());
                }
                (file, None)
            }
            Err(error) => bail!("{name} cannot be made: {error}"),
        };
        Ok(Self {
            file,
            name,
            made,
            reader_is_gone: false,
        })
    }

    /// As people know it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Has a write found that nobody reads any more?
    pub fn reader_is_gone(&self) -> bool {
        self.reader_is_gone
    }

    /// All is written: a file that was made stays.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn keep(&mut self) -> Result<()> {
        if let Some(Made { part, path }) = &self.made {
            // Some file systems say only now that they are full.
            self.file.sync_all().with_context(|| self.name.clone())?;
            name_it(part, path).with_context(|| format!("{} cannot be made", self.name))?;
        }
        self.made = None;
        Ok(())
    }
}

/// Gives a file the name that it is to have, which must not be taken.
#[cfg(target_os = "linux")]
fn name_it(part: &Path, path: &Path) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    match renameat2(
        AT_FDCWD,
        part,
        AT_FDCWD,
        path,
        RenameFlags::RENAME_NOREPLACE,
    ) {
        // Not every file system knows the flag.
        Err(Errno::EINVAL | Errno::ENOSYS) => link_it(part, path),
        answer => Ok(answer?),
    }
}

#[cfg(not(target_os = "linux"))]
use link_it as name_it;

/// The same for systems and file systems that cannot refuse to replace when they rename.
fn link_it(part: &Path, path: &Path) -> io::Result<()> {
    fs::hard_link(part, path)?;
    fs::remove_file(part)
}

/// Opens a FIFO, when somebody reads it, or a device.
fn open(path: &Path, interrupt: &Interrupt) -> Result<File> {
    loop {
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path);
        match file {
            Ok(file) => {
                let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
                fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
                return Ok(file);
            }
            // A FIFO without a reader.
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => {
                interrupt.wait(LOOK_AGAIN);
                if interrupt.came() {
                    bail!("interrupted: nobody reads it");
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.file.write(bytes);
        if let Err(error) = &result {
            self.reader_is_gone |= is_reader_gone(error);
        }
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let Some(Made { part: path, .. }) = &self.made else {
            return;
        };
        // Somebody may have put another file in its place.
        let same = |one: &fs::Metadata, other: &fs::Metadata| {
            (one.dev(), one.ino()) == (other.dev(), other.ino())
        };
        if let (Ok(ours), Ok(there)) = (self.file.metadata(), fs::symlink_metadata(path))
            && same(&ours, &there)
        {
            // A file that cannot be removed is as incomplete as the error says.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(path: &Path) -> Result<Output> {
        Output::create(path, &Interrupt::catch().expect("a thread"))
    }

    #[test]
    fn a_file_that_is_there_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.csv");
        fs::write(&path, "precious").expect("a file");
        let link = folder.path().join("link.csv");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        for path in [&path, &link] {
            let error = create(path).err().expect("refused").to_string();
            assert!(error.contains("exists already: remove it"), "{error}");
        }
        assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
    }

    #[test]
    fn what_is_not_complete_is_removed_and_what_is_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.csv");
        let mut output = create(&path).expect("new");
        output.write_all(b"half").expect("room");
        assert!(!path.exists(), "it has no name before it is complete");
        drop(output);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
        let mut output = create(&path).expect("new");
        output.write_all(b"whole").expect("room");
        output.keep().expect("room");
        drop(output);
        assert_eq!(fs::read_to_string(&path).expect("kept"), "whole");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn a_device_is_written_to_and_stays() {
        let mut output = create(Path::new("/dev/null")).expect("a device");
        output.write_all(b"x").expect("taken");
        drop(output);
        assert!(Path::new("/dev/null").exists());
    }

    #[test]
    fn a_fifo_is_written_when_somebody_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        let reader = std::thread::spawn({
            let path = path.clone();
            move || fs::read_to_string(path).expect("a writer")
        });
        let mut output = create(&path).expect("a reader");
        output.write_all(b"rows").expect("read");
        drop(output);
        assert_eq!(reader.join().expect("no panic"), "rows");
        assert!(path.exists());
    }
}
