//! Following the agent's journal, so that a worker never serves without a change that others have confirmed.
//!
//! HAProxy loads the module while it reads its configuration, and a worker serves its first request a moment later. What
//! the agent confirmed in between was confirmed by other workers. So the first request of each worker looks whether the
//! journal has grown; the agent writes it before it sends anything to anybody. Files are opened through a handle of their
//! folder that was kept from the start, which works in a chroot, too.

use crate::edge::Edge;
use crate::tables::{Full, Tables};
use edgeformat::Change;
use edgeformat::journal::{Batch, FILE, Header, Reader};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// How much is read at once while requests wait: some 30,000 changes, in a few milliseconds. If there is more, the next
/// request reads on, and until the end is reached all are refused.
const STEP_LEN: usize = 1 << 20;

/// The journal as this process follows it.
pub struct Journal {
    /// One of the constants below. Acquire and release order it with what was read before it was set.
    state: AtomicU8,
    followed: Option<Mutex<Followed>>,
}

/// Nobody has looked since the start.
const UNREAD: u8 = 0;
/// The tables have everything that the journal had when the first request came; what came later was sent by the agent.
const CAUGHT_UP: u8 = 1;
/// The journal has what the tables lack, and cannot give it. The agent is asked for it: every request is refused until
/// it has come.
const BEHIND: u8 = 2;

/// The journal's file, read up to some point.
pub struct Followed {
    folder: File,
    /// Kept open, so that its inode number is given to no other file.
    file: File,
    reader: Reader,
    /// Why the tables are behind, for `suiftly status`.
    problem: Option<String>,
}

impl Journal {
    /// No journal: the tables are what their files say.
    pub const fn none() -> Self {
        Self { state: AtomicU8::new(CAUGHT_UP), followed: None }
    }

    /// A journal that was read at the start and is looked at again before the first request.
    pub const fn followed(followed: Followed) -> Self {
        Self { state: AtomicU8::new(UNREAD), followed: Some(Mutex::new(followed)) }
    }

    /// Whether requests may be judged by the tables. Costs one load once that is so.
    #[inline]
    pub fn is_caught_up(&self, edge: &Edge) -> bool {
        match self.state.load(Ordering::Acquire) {
            CAUGHT_UP => true,
            UNREAD => self.catch_up(edge),
            _ => false,
        }
    }

    /// Looks again if the tables were behind; called when the agent has changed them, and when it asks.
    pub fn look_again(&self, edge: &Edge) {
        if self.state.load(Ordering::Acquire) != CAUGHT_UP {
            self.catch_up(edge);
        }
    }

    /// Why requests are refused, if they are.
    pub fn problem(&self) -> Option<String> {
        if self.state.load(Ordering::Acquire) == CAUGHT_UP {
            return None;
        }
        let followed = self.followed.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(followed.problem.clone().unwrap_or_else(|| "the journal was not read to its end yet".to_owned()))
    }

    #[cold]
    fn catch_up(&self, edge: &Edge) -> bool {
        let Some(followed) = &self.followed else { return true };
        // A panic in here leaves at worst an old offset, from which reading again changes nothing.
        let mut followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have done it meanwhile.
        if self.state.load(Ordering::Acquire) == CAUGHT_UP {
            return true;
        }
        let (state, problem) = match followed.catch_up(edge) {
            Ok(true) => (CAUGHT_UP, None),
            Ok(false) => (UNREAD, None),
            Err(problem) => (BEHIND, Some(problem)),
        };
        followed.problem = problem;
        self.state.store(state, Ordering::Release);
        state == CAUGHT_UP
    }
}

impl Followed {
    /// The journal in this folder, nothing of it read yet.
    ///
    /// # Errors
    /// The folder or the file cannot be opened.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let folder = File::open(folder)?;
        let file = open_in(&folder)?;
        Ok(Self { folder, file, reader: Reader::default(), problem: None })
    }

    /// How long the file is now, in bytes.
    ///
    /// # Errors
    /// The file cannot be looked at.
    pub fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// What the first line says, once it was read.
    pub const fn header(&self) -> Option<Header> {
        self.reader.header()
    }

    /// The sequence that the lines read so far lead to.
    pub const fn end(&self) -> u64 {
        self.reader.end()
    }

    /// Reads on, at most about `len_max` bytes; answers whether the last whole line was reached.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn read_on(&mut self, len_max: usize, each: impl FnMut(Batch)) -> Result<bool, String> {
        let unreadable = |error: io::Error| format!("{FILE} cannot be read: {error}");
        let offset = self.reader.offset();
        let mut bytes = vec![0; len_max];
        let len = read_fully_at(&self.file, &mut bytes, offset).map_err(unreadable)?;
        let at_end = len < bytes.len();
        bytes.truncate(len);
        self.reader.read(&bytes, each).map_err(|error| format!("{FILE}: {error}"))?;
        Ok(at_end || self.reader.offset() == offset)
    }

    /// Applies what the journal in the folder has and the tables lack. `false`: there is more to read.
    fn catch_up(&mut self, edge: &Edge) -> Result<bool, String> {
        self.follow_rename()?;
        let mut batches = Vec::new();
        let all_read = self.read_on(STEP_LEN, |batch| batches.push(batch))?;
        let stream = self.header().map(|header| header.stream);
        let mut tables = edge.tables.write().ok_or("a command panicked earlier; reload HAProxy")?;
        if stream != Some(tables.stream) {
            return Err(format!("{FILE} belongs to another stream than the tables"));
        }
        for batch in &batches {
            apply(&mut tables, batch)?;
        }
        // What the agent has sent meanwhile may have closed a gap that was there before.
        if all_read && tables.sequence < self.end() {
            return Err(format!("{FILE} ends at {}, the tables at {}", self.end(), tables.sequence));
        }
        Ok(all_read)
    }

    /// The agent writes a new journal by rename when the old one has become long; it keeps what came last.
    fn follow_rename(&mut self) -> Result<(), String> {
        let unreadable = |error: io::Error| format!("{FILE} cannot be opened: {error}");
        let file = open_in(&self.folder).map_err(unreadable)?;
        let inode = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
        if inode(&file).map_err(unreadable)? != inode(&self.file).map_err(unreadable)? {
            (self.file, self.reader) = (file, Reader::default());
        }
        Ok(())
    }
}

/// Applies a batch that the tables lack; one that they have already changes nothing.
fn apply(tables: &mut Tables, batch: &Batch) -> Result<(), String> {
    if batch.to <= tables.sequence {
        return Ok(());
    }
    if batch.from > tables.sequence {
        // The agent is told where the tables end and sends what is missing.
        return Ok(());
    }
    apply_changes(tables, &batch.changes).map_err(|full| full.to_string())?;
    tables.sequence = batch.to;
    Ok(())
}

fn apply_changes(tables: &mut Tables, changes: &[Change]) -> Result<(), Full> {
    changes.iter().try_for_each(|change| tables.apply(change))
}

fn open_in(folder: &File) -> io::Result<File> {
    // CLOEXEC: HAProxy's master executes itself anew at every reload.
    Ok(File::from(rustix::fs::openat(folder, FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
}

/// Fills `bytes` unless the file ends before.
fn read_fully_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
