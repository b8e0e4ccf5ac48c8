//! Reading a ledger while others count in it, or long after.

use crate::counting::{counters_at, read_header};
use crate::words::Words;
use crate::{OpenError, Unusable};
use edgeformat::ledger::{
    COUNTERS, Counters, Header, HeaderError, SLOTS_OFFSET, SlotReading, TAKEN_OFFSET, UNPLACED_OFFSET,
    unpacked_key,
};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

/// A ledger to read.
#[derive(Debug)]
pub struct LedgerReader {
    file: File,
    words: Words,
    slots: usize,
    header: Option<Header>,
}

impl LedgerReader {
    /// The ledger in this file.
    ///
    /// # Errors
    /// It cannot be opened, or is no ledger.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |reason: Unusable| OpenError { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|error| failed(error.into()))?;
        let header = read_header(&file).map_err(failed)?;
        let words = Words::of_file(&file, header.file_len(), false).map_err(|error| failed(error.into()))?;
        Ok(Self { file, words, slots: header.slots, header: Some(header) })
    }

    /// A file whose header is damaged, with the number of slots that its length tells: what is in it is for a person to judge.
    ///
    /// # Errors
    /// It cannot be opened, or its length is no ledger's.
    pub fn open_damaged(path: &Path) -> Result<Self, OpenError> {
        let failed = |reason: Unusable| OpenError { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|error| failed(error.into()))?;
        let len = file.metadata().map_err(|error| failed(error.into()))?.len();
        let slot_bytes = (8 + COUNTERS * 8) as u64;
        let slots = len.checked_sub(SLOTS_OFFSET as u64).filter(|rest| *rest > 0 && rest % slot_bytes == 0);
        let slots = slots.and_then(|rest| usize::try_from(rest / slot_bytes).ok());
        let slots = slots.filter(|slots| slots.is_power_of_two()).ok_or_else(|| {
            failed(HeaderError::Damaged("and the file's length is not that of any number of slots").into())
        })?;
        let words = Words::of_file(&file, len, false).map_err(|error| failed(error.into()))?;
        Ok(Self { file, words, slots, header: None })
    }

    /// What the file says of itself; none of a damaged one.
    pub const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Whether a process has the file open to count in it. Asked only of files that stand no more where counting processes
    /// look for theirs; whoever opens one at this moment waits until it is answered, and then finds that out.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn has_counting_process(&self) -> io::Result<bool> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                flock(&self.file, FlockOperation::Unlock)?;
                Ok(false)
            }
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Slots, and how many of them are taken.
    pub fn fill(&self) -> (usize, usize) {
        let taken = self.words.get(TAKEN_OFFSET / 8).map_or(0, |taken| taken.load(Ordering::Relaxed));
        (self.slots, usize::try_from(taken).unwrap_or(usize::MAX))
    }

    /// What was counted for nobody, since there was no slot left.
    pub fn unplaced(&self) -> Counters {
        counters_at(&self.words, UNPLACED_OFFSET / 8)
    }

    /// Every slot that somebody has, with its number. Words that are no customer's are left out and counted by
    /// [`Self::damaged_slots`].
    pub fn slots(&self) -> impl Iterator<Item = (u32, SlotReading)> {
        self.taken().filter_map(|(number, word)| {
            let counters =
                counters_at(&self.words, SLOTS_OFFSET / 8 + self.slots + number as usize * COUNTERS);
            unpacked_key(word).map(|key| (number, SlotReading { key, counters }))
        })
    }

    /// Slots whose key is no customer and service.
    pub fn damaged_slots(&self) -> usize {
        self.taken().filter(|(_, word)| unpacked_key(*word).is_none()).count()
    }

    fn taken(&self) -> impl Iterator<Item = (u32, u64)> {
        let words = self.words.get(SLOTS_OFFSET / 8..SLOTS_OFFSET / 8 + self.slots).unwrap_or_default();
        (0..)
            .zip(words)
            .map(|(number, word)| (number, word.load(Ordering::Relaxed)))
            .filter(|(_, word)| *word != 0)
    }
}
