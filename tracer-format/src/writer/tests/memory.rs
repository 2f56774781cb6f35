//! A disk in memory, of which any operation can fail.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use nix::errno::Errno;

use crate::writer::disk::{Disk, Entry, Sink};

/// A file that somebody else made has this in it.
pub const PLANTED: &[u8] = b"planted";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Error(Errno),
    /// Half of a write is done, what follows fails.
    Short,
    /// So many bytes of a write are done, and then there is no more power.
    Crash(usize),
}

#[derive(Debug, Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Operations so far.
    pub operations: usize,
    /// From this operation on, so many fail.
    pub fault: Option<(Fault, usize, usize)>,
    /// Nothing can be cut off.
    pub truncate_fails: bool,
    /// Bytes that fit.
    pub capacity: Option<u64>,
    pub removed: Vec<String>,
    pub syncs: Vec<usize>,
}

/// The same disk for the writer and for the test.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<State>>);

impl Memory {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with it")
    }

    pub fn used(&self) -> u64 {
        self.state().used()
    }
}

impl State {
    fn used(&self) -> u64 {
        self.files.values().map(|file| file.len() as u64).sum()
    }

    /// Counts an operation. `Ok(Some(n))`: a write does `n` bytes of its work.
    fn operation(&mut self) -> io::Result<Option<Fault>> {
        let now = self.operations;
        self.operations += 1;
        let Some((fault, first, count)) = self.fault else {
            return Ok(None);
        };
        if now < first || now - first >= count {
            return Ok(None);
        }
        match fault {
            Fault::Error(errno) => Err(errno.into()),
            Fault::Short | Fault::Crash(_) if now == first => Ok(Some(fault)),
            Fault::Short => Err(Errno::ENOSPC.into()),
            Fault::Crash(_) => Err(Errno::EIO.into()),
        }
    }

    /// An operation that cannot be done by half.
    fn whole_operation(&mut self) -> io::Result<()> {
        match self.operation()? {
            None | Some(Fault::Short) => Ok(()),
            Some(_) => Err(Errno::EIO.into()),
        }
    }
}

impl Disk for Memory {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn Sink>> {
        let mut state = self.state();
        state.whole_operation()?;
        if state.files.contains_key(name) {
            return Err(Errno::EEXIST.into());
        }
        state.files.insert(name.to_owned(), Vec::new());
        Ok(Box::new(InMemory(self.clone(), name.to_owned())))
    }

    fn list(&mut self) -> io::Result<Vec<Entry>> {
        let entry = |(name, bytes): (&String, &Vec<u8>)| Entry {
            name: name.clone(),
            ours: !name.contains("link") && bytes != PLANTED,
            bytes: bytes.len() as u64,
            modified_wall_ns: 0,
        };
        Ok(self.state().files.iter().map(entry).collect())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.whole_operation()?;
        state.removed.push(name.to_owned());
        match state.files.remove(name) {
            Some(_) => Ok(()),
            None => Err(Errno::ENOENT.into()),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.whole_operation()?;
        assert!(!state.files.contains_key(to), "{to} is taken");
        let bytes = state.files.remove(from).ok_or(Errno::ENOENT)?;
        state.files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.state().whole_operation()
    }

    fn free(&mut self) -> io::Result<u64> {
        let state = self.state();
        let capacity = state.capacity.unwrap_or(u64::MAX);
        Ok(capacity.saturating_sub(state.used()))
    }
}

struct InMemory(Memory, String);

impl Sink for InMemory {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state();
        let most = match state.operation()? {
            None => bytes.len(),
            Some(Fault::Short) => bytes.len() / 2,
            Some(Fault::Crash(most)) => most.min(bytes.len()),
            Some(Fault::Error(_)) => unreachable!("is an error"),
        };
        let capacity = state.capacity.unwrap_or(u64::MAX);
        let room = capacity.saturating_sub(state.used());
        let file = state.files.get_mut(&self.1).expect("a file that is there");
        assert!(offset <= file.len() as u64, "no holes");
        let over = file.len() as u64 - offset;
        let count = (most as u64).min(room + over) as usize;
        if count == 0 {
            return Err(Errno::ENOSPC.into());
        }
        let (begin, end) = (offset as usize, offset as usize + count);
        file.resize(file.len().max(end), 0);
        file[begin..end].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.0.state();
        state.whole_operation()?;
        if state.truncate_fails {
            return Err(Errno::EIO.into());
        }
        let file = state.files.get_mut(&self.1).expect("a file that is there");
        file.truncate(bytes as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.0.state();
        let operation = state.operations;
        state.syncs.push(operation);
        state.whole_operation()
    }
}
