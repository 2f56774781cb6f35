//! `/dev/kmsg`: what the kernel says while the steps run.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// A reader that never blocks.
pub struct KernelLog {
    file: Option<File>,
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// As in syslog: 0 emergency … 4 warning … 7 debug.
    pub level: u8,
    pub text: String,
}

impl KernelLog {
    /// Opens the log at its end. Where it cannot be opened, it has no messages.
    pub fn open() -> Self {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/kmsg");
        let file = file.ok().and_then(|mut file| {
            file.seek(SeekFrom::End(0)).ok()?;
            Some(file)
        });
        Self { file }
    }

    /// The messages since the last call.
    pub fn drain(&mut self) -> Vec<Message> {
        let Some(file) = &mut self.file else {
            return Vec::new();
        };
        let mut messages = Vec::new();
        // The kernel hands out one record per read, and never more than 8 KiB.
        let mut record = [0; 8192];
        loop {
            match file.read(&mut record) {
                Ok(length) if length > 0 => {
                    let text = String::from_utf8_lossy(&record[..length]);
                    messages.extend(parse(&text));
                }
                // EPIPE: records were overwritten before they were read; the next read goes on behind them.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                _ => return messages,
            }
        }
    }
}

/// `6,1234,5678901,-;text`, perhaps with lines of a dictionary after it.
fn parse(record: &str) -> Option<Message> {
    let (head, rest) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    let text = rest.lines().next().unwrap_or_default().to_owned();
    // The upper bits are the facility.
    let level = (priority & 7) as u8;
    Some(Message { level, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_its_level_and_its_first_line() {
        let message = parse("12,7,100,-;WARNING: CPU: 0\n SUBSYSTEM=net\n").expect("a record");
        assert_eq!(message.level, 4);
        assert_eq!(message.text, "WARNING: CPU: 0");
        assert_eq!(parse("no record"), None);
    }
}
