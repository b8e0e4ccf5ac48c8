//! Adding to a ledger: what HAProxy's workers do, several at once.

use crate::words::Words;
use crate::{OpenError, Unusable};
use edgeformat::PolicyKey;
use edgeformat::ledger::{
    COUNTERS, Counter, Counters, Header, PROBES_MAX, SLOTS_OFFSET, TAKEN_OFFSET, UNPLACED_OFFSET, first_slot,
    packed_key,
};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many times a file is opened that another one takes the place of meanwhile.
const OPEN_TRIES: usize = 10;

/// Which slot counts a customer's service, in one ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotNumber(u32);

impl SlotNumber {
    /// A slot by its number; one that the ledger does not have counts under no customer.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A ledger to count in.
#[derive(Debug)]
pub struct Ledger {
    words: Words,
    slots: usize,
    /// None where only this process knows the counts.
    file: Option<(Header, File)>,
}

impl Ledger {
    /// The ledger that stands at this path now. Nothing in it changes before something is counted. For as long as this value
    /// (or a process that was forked meanwhile) lives, [`crate::LedgerReader::has_counting_process`] answers yes for the file.
    ///
    /// # Errors
    /// It cannot be opened, or is no ledger.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |reason: Unusable| OpenError { path: path.to_owned(), reason };
        let file = open_in_force(path).map_err(|error| failed(error.into()))?;
        let header = read_header(&file).map_err(failed)?;
        let words = Words::of_file(&file, header.file_len(), true).map_err(|error| failed(error.into()))?;
        Ok(Self { words, slots: header.slots, file: Some((header, file)) })
    }

    /// Counters that only this process has.
    ///
    /// # Errors
    /// There is no memory.
    pub fn in_memory(slots: usize) -> io::Result<Self> {
        let slots = slots.next_power_of_two();
        let len = SLOTS_OFFSET + slots * (8 + COUNTERS * 8);
        Ok(Self { words: Words::in_memory(len as u64)?, slots, file: None })
    }

    /// What the file says of itself; none where there is no file.
    pub fn header(&self) -> Option<&Header> {
        self.file.as_ref().map(|(header, _)| header)
    }

    /// Slots, and how many of them are taken.
    pub fn fill(&self) -> (usize, usize) {
        let taken = self.words.get(TAKEN_OFFSET / 8).map_or(0, |taken| taken.load(Ordering::Relaxed));
        (self.slots, usize::try_from(taken).unwrap_or(usize::MAX))
    }

    /// The slot of a customer and service; it takes a free one if there is none yet. None: there is none near.
    pub fn slot_for(&self, key: PolicyKey) -> Option<SlotNumber> {
        let wanted = packed_key(key);
        for number in self.probes(wanted) {
            let word = self.key_word(number)?;
            // Acquire and release publish nothing else: the counters of a free slot are 0 since the file was made.
            let holder = match word.load(Ordering::Relaxed) {
                0 => match word.compare_exchange(0, wanted, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        self.word(TAKEN_OFFSET / 8).map(|taken| taken.fetch_add(1, Ordering::Relaxed));
                        wanted
                    }
                    Err(another) => another,
                },
                holder => holder,
            };
            if holder == wanted {
                return u32::try_from(number).ok().map(SlotNumber);
            }
        }
        None
    }

    /// The slot of a customer and service, if there is one.
    pub fn find(&self, key: PolicyKey) -> Option<SlotNumber> {
        let wanted = packed_key(key);
        for number in self.probes(wanted) {
            match self.key_word(number)?.load(Ordering::Relaxed) {
                0 => return None,
                holder if holder == wanted => return u32::try_from(number).ok().map(SlotNumber),
                _ => {}
            }
        }
        None
    }

    /// Counts one request more.
    #[inline]
    pub fn add(&self, slot: SlotNumber, counter: Counter) {
        let index = SLOTS_OFFSET / 8 + self.slots + slot.0 as usize * COUNTERS + counter.number();
        // Release: who reads an outcome and then `admitted` finds the request there, too.
        match self.words.get(index) {
            Some(word) => drop(word.fetch_add(1, Ordering::Release)),
            None => self.add_unplaced(counter),
        }
    }

    /// Counts one request more of a customer who has no slot: nobody is billed for it, and an alarm is raised.
    pub fn add_unplaced(&self, counter: Counter) {
        self.word(UNPLACED_OFFSET / 8 + counter.number()).map(|word| word.fetch_add(1, Ordering::Release));
    }

    /// What a slot has counted, [`Counter::Admitted`] read last.
    pub fn counters(&self, slot: SlotNumber) -> Counters {
        counters_at(&self.words, SLOTS_OFFSET / 8 + self.slots + slot.0 as usize * COUNTERS)
    }

    /// What was counted for nobody.
    pub fn unplaced(&self) -> Counters {
        counters_at(&self.words, UNPLACED_OFFSET / 8)
    }

    /// The sum of all slots.
    pub fn sum(&self) -> Counters {
        let slots = (0..self.slots)
            .filter(|number| self.key_word(*number).is_some_and(|word| word.load(Ordering::Relaxed) != 0));
        slots
            .filter_map(|number| u32::try_from(number).ok())
            .fold(Counters::default(), |sum, number| sum.plus(&self.counters(SlotNumber(number))))
    }

    fn probes(&self, packed_key: u64) -> impl Iterator<Item = usize> {
        let (first, slots) = (first_slot(packed_key, self.slots), self.slots);
        (0..PROBES_MAX.min(slots)).map(move |step| (first + step) & (slots - 1))
    }

    fn key_word(&self, number: usize) -> Option<&AtomicU64> {
        self.word(SLOTS_OFFSET / 8 + number)
    }

    fn word(&self, index: usize) -> Option<&AtomicU64> {
        self.words.get(index)
    }
}

/// Outcomes first and `admitted` last: so a reading never has an outcome of a request that it has not admitted.
pub(crate) fn counters_at(words: &[AtomicU64], first: usize) -> Counters {
    let mut counters = Counters::default();
    let words = words.get(first..first + COUNTERS).unwrap_or_default();
    for (counter, word) in counters.0.iter_mut().zip(words).rev() {
        *counter = word.load(Ordering::Acquire);
    }
    counters
}

/// The first bytes of the file, checked.
pub(crate) fn read_header(file: &File) -> Result<Header, Unusable> {
    let mut bytes = [0; Header::LEN];
    let len = file.metadata()?.len();
    if len >= Header::LEN as u64 {
        file.read_exact_at(&mut bytes, 0)?;
    }
    Ok(Header::read(&bytes, len)?)
}

/// Opens the file and marks it as counted in. The agent puts another file in its place by rename and then asks whether the
/// old one is marked: a mark that came too late is seen here, by the path that leads elsewhere.
fn open_in_force(path: &Path) -> io::Result<File> {
    for _ in 0..OPEN_TRIES {
        // Never across an exec: HAProxy's master executes itself anew at every reload. Rust opens with CLOEXEC.
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        flock(&file, FlockOperation::LockShared)?;
        let inode = |found: std::fs::Metadata| (found.dev(), found.ino());
        if inode(file.metadata()?) == inode(std::fs::metadata(path)?) {
            return Ok(file);
        }
    }
    Err(io::Error::other("another file took its place again and again"))
}
