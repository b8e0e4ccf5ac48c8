//! The ledgers of a state folder: the one in force, and retired ones that old workers may still count in.

use apikey::{CustomerId, Service};
use edgeformat::PolicyKey;
use edgeformat::ledger::{Counters, LedgerId, SlotReading};
use ledger::{LedgerReader, OpenError};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The ledger in force; those that it has taken the place of are called `ledger-<generation>`.
const IN_FORCE: &str = "ledger";

/// The ledgers that stand in a folder now. A file that is put in the place of another is noticed at the next look.
///
/// Of each slot the last reading is kept (144 bytes), so that a look gives what was counted since the one before.
#[derive(Debug)]
pub struct LedgerFiles {
    folder: PathBuf,
    whose: Whose,
    open: Vec<OpenLedger>,
    /// None before the first look.
    generation_max: Option<u64>,
}

/// Whose counts are read.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Whose {
    /// One customer's; none: everybody's.
    pub customer: Option<CustomerId>,
    /// One service's; none: every one's.
    pub service: Option<Service>,
}

/// What all files together have counted since the look before; at the first look nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counted {
    /// Who had any request.
    pub by_key: HashMap<PolicyKey, Counters>,
    /// What was counted for nobody, since the table is full.
    pub unplaced: Counters,
    /// How many files were read.
    pub files: usize,
    /// What could not be read, and why.
    pub problems: Vec<String>,
}

/// The folder has no ledger that can be read.
#[derive(Debug, thiserror::Error)]
pub enum NoLedger {
    /// There is none.
    #[error(
        "{}: there is no ledger; SUIFTLY_STATE names the folder of a running edge, whose agent makes it", .0.display()
    )]
    Missing(PathBuf),
    /// It is damaged, of another version, or may not be read.
    #[error("{0}; `suiftly usage dump` says more")]
    Unusable(OpenError),
}

/// Device and inode.
type Identity = (u64, u64);

#[derive(Debug)]
struct OpenLedger {
    identity: Identity,
    id: LedgerId,
    reader: LedgerReader,
    /// By the slot's number, which only grows along the list.
    last: Vec<(u32, SlotReading)>,
    last_unplaced: Counters,
}

impl Whose {
    /// Whether these are asked for.
    pub fn includes(self, key: PolicyKey) -> bool {
        self.customer.is_none_or(|customer| customer == key.customer)
            && self.service.is_none_or(|service| service == key.service)
    }
}

impl LedgerFiles {
    /// The ledgers of this folder; the first look has been taken.
    ///
    /// # Errors
    /// The ledger in force is missing or cannot be used. That a retired one cannot is told by [`Counted::problems`].
    pub fn open(folder: &Path, whose: Whose) -> Result<Self, NoLedger> {
        let path = folder.join(IN_FORCE);
        if let Err(error) = LedgerReader::open(&path) {
            let is_missing = matches!(&error.reason, ledger::Unusable::Io(error) if error.kind() == io::ErrorKind::NotFound);
            return Err(if is_missing { NoLedger::Missing(path) } else { NoLedger::Unusable(error) });
        }
        let mut files = Self { folder: folder.to_owned(), whose, open: Vec::new(), generation_max: None };
        files.look();
        Ok(files)
    }

    /// What was counted since the look before.
    pub fn look(&mut self) -> Counted {
        let mut counted = Counted::default();
        let found = self.open_new_ones(&mut counted.problems);
        for ledger in &mut self.open {
            ledger.add_to(&mut counted, self.whose);
        }
        counted.files = self.open.len();
        // Read once more above: what was counted between the last look and the moment when it was put away.
        self.open.retain(|ledger| found.contains_key(&ledger.identity));
        counted
    }

    fn open_new_ones(&mut self, problems: &mut Vec<String>) -> BTreeMap<Identity, PathBuf> {
        let found = self.find(problems);
        for (identity, path) in &found {
            if self.open.iter().any(|ledger| ledger.identity == *identity) {
                continue;
            }
            match LedgerReader::open(path) {
                Ok(reader) => self.take_in(*identity, reader),
                Err(error) => problems.push(error.to_string()),
            }
        }
        let generations = self.open.iter().filter_map(|ledger| Some(ledger.reader.header()?.generation));
        self.generation_max = self.generation_max.max(generations.max());
        found
    }

    fn take_in(&mut self, identity: Identity, reader: LedgerReader) {
        let Some(header) = reader.header().copied() else { return };
        // The path may have led to another file between the look at its inode and the opening.
        if let Some(known) = self.open.iter_mut().find(|ledger| ledger.id == header.id) {
            known.identity = identity;
            return;
        }
        let is_younger = self.generation_max.is_some_and(|known| header.generation > known);
        let mut ledger = OpenLedger {
            identity,
            id: header.id,
            reader,
            last: Vec::new(),
            last_unplaced: Counters::default(),
        };
        // All that a younger one holds was counted after the look before; what an older one holds, nobody knows when.
        if !is_younger {
            ledger.add_to(&mut Counted::default(), self.whose);
        }
        self.open.push(ledger);
    }

    /// The files, each once, whatever it is called.
    fn find(&self, problems: &mut Vec<String>) -> BTreeMap<Identity, PathBuf> {
        let mut found = BTreeMap::new();
        let retired = match std::fs::read_dir(&self.folder) {
            Ok(entries) => {
                let entries = entries.filter_map(|entry| Some(entry.ok()?.path()));
                entries.filter(|path| is_retired(path)).collect()
            }
            Err(error) => {
                problems.push(format!("{}: {error}", self.folder.display()));
                Vec::new()
            }
        };
        for path in std::iter::once(self.folder.join(IN_FORCE)).chain(retired) {
            match std::fs::metadata(&path) {
                Ok(metadata) => drop(found.entry((metadata.dev(), metadata.ino())).or_insert(path)),
                // A retired one that was put away meanwhile is no problem.
                Err(error) if error.kind() == io::ErrorKind::NotFound && is_retired(&path) => {}
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
        found
    }
}

impl OpenLedger {
    /// Adds what was counted since the reading before, and keeps this reading.
    fn add_to(&mut self, counted: &mut Counted, whose: Whose) {
        let mut before = self.last.iter_mut().peekable();
        let mut fresh = Vec::new();
        for (number, reading) in self.reader.slots().filter(|(_, reading)| whose.includes(reading.key)) {
            while before.next_if(|(earlier, _)| *earlier < number).is_some() {}
            let more = match before.next_if(|(same, _)| *same == number) {
                Some((_, earlier)) => {
                    let more = reading.counters.since(&earlier.counters);
                    *earlier = reading;
                    more
                }
                None => {
                    fresh.push((number, reading));
                    reading.counters
                }
            };
            if !more.is_zero() {
                let sum = counted.by_key.entry(reading.key).or_default();
                *sum = sum.plus(&more);
            }
        }
        if self.last.is_empty() {
            self.last = fresh;
        } else if !fresh.is_empty() {
            self.last.append(&mut fresh);
            self.last.sort_unstable_by_key(|(number, _)| *number);
        }
        let unplaced = self.reader.unplaced();
        counted.unplaced = counted.unplaced.plus(&unplaced.since(&self.last_unplaced));
        self.last_unplaced = unplaced;
    }
}

/// `ledger-<generation>`; what is set aside, or being made, has another name.
fn is_retired(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("ledger-")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use edgeformat::ledger::{Counter, Header, SLOTS_MIN};
    use ledger::Ledger;

    fn make(folder: &Path, generation: u64) -> Ledger {
        let id = LedgerId::from_u64(0x1000 + generation).unwrap();
        let header = Header { id, generation, created_at_ms: 1, slots: SLOTS_MIN, boot: 1 };
        ledger::create(&folder.join(IN_FORCE), &header).unwrap();
        Ledger::open(&folder.join(IN_FORCE)).unwrap()
    }

    fn count(ledger: &Ledger, customer: u32, counter: Counter, times: usize) {
        let slot = ledger.slot_for(key(customer)).unwrap();
        (0..times).for_each(|_| ledger.add(slot, counter));
    }

    fn key(customer: u32) -> PolicyKey {
        PolicyKey { customer: CustomerId::new(customer).unwrap(), service: Service::Seal }
    }

    #[test]
    fn a_look_gives_what_was_counted_since_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = make(folder.path(), 1);
        count(&ledger, 7, Counter::Admitted, 5);
        let mut files = LedgerFiles::open(folder.path(), Whose::default()).unwrap();
        assert!(files.look().by_key.is_empty());
        for customer in [9, 7, 8] {
            count(&ledger, customer, Counter::Admitted, customer as usize);
        }
        ledger.add_unplaced(Counter::Admitted);
        let counted = files.look();
        for customer in [7, 8, 9] {
            assert_eq!(counted.by_key[&key(customer)].admitted(), u64::from(customer));
        }
        assert_eq!((counted.by_key.len(), counted.unplaced.admitted(), counted.files), (3, 1, 1));
        assert_eq!(counted.problems, Vec::<String>::new());
        let again = files.look();
        assert!(again.by_key.is_empty() && again.unplaced.is_zero());
    }

    #[test]
    fn files_that_change_places_lose_nothing_and_count_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (path, retired) = (folder.path().join("ledger"), folder.path().join("ledger-1"));
        let old = make(folder.path(), 1);
        count(&old, 7, Counter::Admitted, 100);
        let mut files = LedgerFiles::open(folder.path(), Whose::default()).unwrap();

        // Both names lead to the file for a moment, as while the agent replaces it.
        std::fs::hard_link(&path, &retired).unwrap();
        count(&old, 7, Counter::Admitted, 1);
        assert_eq!(files.look().by_key[&key(7)].admitted(), 1);

        let young = make(folder.path(), 2);
        count(&old, 7, Counter::Admitted, 2);
        count(&young, 7, Counter::Admitted, 3);
        let counted = files.look();
        assert_eq!((counted.by_key[&key(7)].admitted(), counted.files), (5, 2));

        // Counted just before it was put away.
        count(&old, 7, Counter::Burst, 4);
        std::fs::remove_file(&retired).unwrap();
        assert_eq!(files.look().by_key[&key(7)].get(Counter::Burst), 4);
        assert_eq!(files.look().files, 1);

        // It comes back: what it holds is no news.
        let copy = make(folder.path(), 1);
        count(&copy, 7, Counter::Admitted, 50);
        std::fs::rename(&path, &retired).unwrap();
        let problems = files.look();
        assert!(problems.by_key.is_empty());
        assert!(problems.problems[0].contains("ledger: "), "{problems:?}");
    }

    #[test]
    fn only_those_that_are_asked_for_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = make(folder.path(), 1);
        let whose = Whose { customer: CustomerId::new(8), service: Some(Service::Seal) };
        let mut files = LedgerFiles::open(folder.path(), whose).unwrap();
        (7..10).for_each(|customer| count(&ledger, customer, Counter::Revoked, 1));
        assert_eq!(files.look().by_key.into_keys().collect::<Vec<_>>(), [key(8)]);
        assert!(!Whose { service: Some(Service::Grpc), ..whose }.includes(key(8)));
    }

    #[test]
    fn without_a_ledger_it_says_which_file_and_with_a_damaged_retired_one_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let missing = LedgerFiles::open(folder.path(), Whose::default()).unwrap_err();
        assert!(missing.to_string().contains("there is no ledger"), "{missing}");
        std::fs::write(folder.path().join("ledger"), "x").unwrap();
        let damaged = LedgerFiles::open(folder.path(), Whose::default()).unwrap_err();
        assert!(damaged.to_string().contains("no usage ledger"), "{damaged}");

        std::fs::rename(folder.path().join("ledger"), folder.path().join("ledger-1")).unwrap();
        std::fs::write(folder.path().join("ledger-1-damaged"), "x").unwrap();
        drop(make(folder.path(), 2));
        let mut files = LedgerFiles::open(folder.path(), Whose::default()).unwrap();
        let problems = files.look().problems;
        assert!(problems.len() == 1 && problems[0].contains("ledger-1: "), "{problems:?}");
    }
}
