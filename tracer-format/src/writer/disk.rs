//! The operations on files that a writer needs: few, so that a test can let each of them fail.

use std::io;

/// A folder in which files are made.
pub trait Disk: Send {
    /// Makes a file that was not there, which nobody else can read, and locks it.
    ///
    /// # Errors
    /// Of openat(2), fchmod(2).
    fn create(&mut self, name: &str) -> io::Result<Box<dyn Sink>>;

    /// What is in the folder.
    ///
    /// # Errors
    /// Of getdents(2).
    fn list(&mut self) -> io::Result<Vec<Entry>>;

    /// Removes a file.
    ///
    /// # Errors
    /// Of unlinkat(2).
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Gives a file another name, which must not be taken.
    ///
    /// # Errors
    /// Of renameat2(2).
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Waits until the names in the folder are on the disk.
    ///
    /// # Errors
    /// Of fsync(2).
    fn sync(&mut self) -> io::Result<()>;

    /// Which file has a name; `None` when that cannot be told.
    ///
    /// # Errors
    /// Of fstatat(2): ENOENT when none has.
    fn identity(&mut self, _name: &str) -> io::Result<Option<Identity>> {
        Ok(None)
    }

    /// Bytes of the file system that this process may still use.
    ///
    /// # Errors
    /// Of fstatvfs(3).
    fn free(&mut self) -> io::Result<u64>;
}

/// An open file, or a pipe.
pub trait Sink: Send {
    /// Writes some of the bytes at an offset; gives how many. A pipe has no offsets and takes them as they come.
    ///
    /// # Errors
    /// Of pwrite(2).
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Which file it is; `None` for a pipe.
    ///
    /// # Errors
    /// Of fstat(2).
    fn identity(&mut self) -> io::Result<Option<Identity>> {
        Ok(None)
    }

    /// Cuts the file off.
    ///
    /// # Errors
    /// Of ftruncate(2); `Unsupported` for a pipe.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// Of fdatasync(2). What was written since the last success must be taken as lost then: the kernel says an
    /// error once, and throws the pages away.
    fn sync(&mut self) -> io::Result<()>;
}

/// Which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
    /// Names that it has; 0: it is gone when it is closed.
    pub links: u64,
}

impl Identity {
    /// Are they of the same file, whatever it is called?
    pub fn is_same(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// A regular file that we, or whom we give files to, made: neither a link, nor a device, nor planted by others.
    pub ours: bool,
    /// Length, bytes.
    pub bytes: u64,
    /// When it was last written, nanoseconds since 1970.
    pub modified_wall_ns: i128,
}
