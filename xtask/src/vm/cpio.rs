//! The archive that the kernel unpacks as its first root: cpio, format "newc".
//!
//! Written here because devices must be in it (init needs a console) and no user but root may make those on
//! disk.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// Writes one archive; several may follow each other, the kernel unpacks all.
pub struct Archive<W: Write> {
    out: W,
    serial: u32,
    folders: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub fn new(out: W) -> Self {
        Self {
            out,
            serial: 0,
            folders: BTreeSet::new(),
        }
    }

    /// A file; the folders above it are made. `path` is absolute.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, REGULAR | mode, (0, 0), content)
    }

    pub fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, LINK | 0o777, (0, 0), target.as_bytes())
    }

    /// A character device.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, CHARACTER | 0o600, (major, minor), &[])
    }

    pub fn folder(&mut self, path: &str) -> io::Result<()> {
        if path.is_empty() || path == "/" || !self.folders.insert(path.to_owned()) {
            return Ok(());
        }
        self.parents(path)?;
        self.entry(path, FOLDER | 0o755, (0, 0), &[])
    }

    /// The end mark; gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.out)
    }

    fn parents(&mut self, path: &str) -> io::Result<()> {
        let parent = Path::new(path).parent().and_then(Path::to_str);
        self.folder(parent.unwrap_or_default())
    }

    fn entry(
        &mut self,
        path: &str,
        mode: u32,
        device: (u32, u32),
        content: &[u8],
    ) -> io::Result<()> {
        self.serial += 1;
        let name = path.trim_start_matches('/');
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        let links = if mode & FOLDER == FOLDER { 2 } else { 1 };
        let (major, minor) = device;
        // Number, mode, owner, group, links, time, size, device of the file, device it is, name, checksum.
        let fields = [
            self.serial,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            major,
            minor,
            name_size,
            0,
        ];
        let mut head = String::from("070701");
        for field in fields {
            head.push_str(&format!("{field:08x}"));
        }
        head.push_str(name);
        head.push('\0');
        self.out.write_all(head.as_bytes())?;
        self.pad(head.len())?;
        self.out.write_all(content)?;
        self.pad(content.len())
    }

    fn pad(&mut self, length: usize) -> io::Result<()> {
        self.out
            .write_all(&[0; 3][..length.next_multiple_of(4) - length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_of_110_bytes_and_everything_is_a_multiple_of_4() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b", 0o755, b"hello").expect("memory");
        let bytes = archive.finish().expect("memory");
        assert_eq!(bytes.len() % 4, 0);
        // First the folder, which nobody asked for.
        assert_eq!(&bytes[..14], b"07070100000001");
        assert_eq!(&bytes[110..112], b"a\0");
        let file = &bytes[112..];
        assert_eq!(&file[..6], b"070701");
        assert_eq!(&file[14..22], b"000081ed", "a regular file, mode 755");
        assert_eq!(&file[54..62], b"00000005", "its size");
        assert_eq!(&file[110..114], b"a/b\0");
        assert_eq!(
            &file[116..124],
            b"hello\0\0\0",
            "from a multiple of 4 on, padded"
        );
        assert_eq!(bytes.windows(10).filter(|w| w == b"TRAILER!!!").count(), 1);
    }

    #[test]
    fn a_folder_is_written_once() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b", 0o644, b"").expect("memory");
        archive.file("/a/c", 0o644, b"").expect("memory");
        let bytes = archive.finish().expect("memory");
        assert_eq!(bytes.windows(6).filter(|w| w == b"070701").count(), 4);
    }

    #[test]
    fn a_device_has_its_numbers() {
        let mut archive = Archive::new(Vec::new());
        archive.device("/console", 5, 1).expect("memory");
        let bytes = archive.finish().expect("memory");
        assert_eq!(&bytes[78..94], b"0000000500000001");
    }
}
