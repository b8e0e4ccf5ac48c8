//! What changed in one ledger file since the control plane was told last.
//!
//! Counters are read whole and told whole. What could not be told yet is kept by the minute in which it was read, so that
//! an hour without a control plane does not look like one minute with an hour's requests.

use edgeformat::ledger::{Counters, Header, LedgerReading, SlotReading};
use ledger::LedgerReader;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// How many slots one delivery holds.
const SLOTS_PER_DELIVERY: usize = 10_000;
/// How many readings may wait to be told. Beyond it the oldest minutes become one: no count is lost, only its minute.
const WAITING_MAX: usize = 2_000_000;
const MS_PER_MINUTE: i64 = 60_000;

/// One file that is read again and again.
pub(super) struct FollowedLedger {
    path: PathBuf,
    reader: LedgerReader,
    header: Header,
    /// By slot: the sum of its counters when it was read last. They only grow, so an equal sum is an equal slot.
    read: Vec<u64>,
    /// By minute: what is to be told, by slot.
    waiting: BTreeMap<i64, Minute>,
    total: Counters,
    /// Nobody counted in it any more before it was read last.
    is_over: bool,
}

struct Minute {
    read_at_ms: i64,
    slots: HashMap<u32, SlotReading>,
}

impl FollowedLedger {
    /// Follows a file from its beginning: what was told before is told once more, which changes nothing.
    pub(super) fn new(path: PathBuf, reader: LedgerReader, header: Header) -> Self {
        let read = vec![0; header.slots];
        Self {
            path,
            reader,
            header,
            read,
            waiting: BTreeMap::new(),
            total: Counters::default(),
            is_over: false,
        }
    }

    /// What the file says of itself.
    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    /// Where it stands.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It has become a former one.
    pub(super) fn moved_to(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// The file.
    pub(super) const fn reader(&self) -> &LedgerReader {
        &self.reader
    }

    /// All that was counted in it, as of the last reading.
    pub(super) const fn total(&self) -> Counters {
        self.total
    }

    /// Since when something waits to be told, unix milliseconds.
    pub(super) fn waiting_since_ms(&self) -> Option<i64> {
        self.waiting.first_key_value().map(|(minute_ms, _)| *minute_ms)
    }

    /// Has every slot told again, whole, when it is read next.
    pub(super) fn tell_all_again(&mut self) {
        self.read.fill(0);
    }

    /// Whether all of it was told and nobody will count in it again.
    pub(super) fn is_over(&self) -> bool {
        self.is_over && self.waiting.is_empty()
    }

    /// Reads all slots. `is_former`: it stands no more where workers look for the file to count in.
    pub(super) fn read(&mut self, now_ms: i64, is_former: bool) {
        // Asked before reading: what is counted after the answer `nobody` cannot be.
        let is_over = is_former && !self.reader.has_counting_process().unwrap_or(true);
        let minute_ms = now_ms - now_ms.rem_euclid(MS_PER_MINUTE);
        let mut total = Counters::default();
        let mut changed = Vec::new();
        for (number, slot) in self.reader.slots() {
            total = total.plus(&slot.counters);
            let sum = slot.counters.0.iter().fold(0_u64, |sum, count| sum.wrapping_add(*count));
            if let Some(read) = self.read.get_mut(number as usize).filter(|read| **read != sum) {
                *read = sum;
                changed.push((number, slot));
            }
        }
        (self.total, self.is_over) = (total, is_over);
        if !changed.is_empty() {
            let minute = self
                .waiting
                .entry(minute_ms)
                .or_insert_with(|| Minute { read_at_ms: now_ms, slots: HashMap::new() });
            minute.read_at_ms = minute.read_at_ms.max(now_ms);
            minute.slots.extend(changed);
            self.bound_waiting();
        }
    }

    /// Tells what waits, oldest first. What `tell` has taken is forgotten, also if a later delivery fails.
    ///
    /// # Errors
    /// What `tell` answers.
    pub(super) fn tell<E>(&mut self, mut tell: impl FnMut(&LedgerReading) -> Result<(), E>) -> Result<(), E> {
        while let Some(mut first) = self.waiting.first_entry() {
            let minute = first.get_mut();
            let mut numbers: Vec<u32> = minute.slots.keys().copied().collect();
            // By customer, as the tables are that this goes into.
            numbers.sort_unstable_by_key(|number| {
                minute.slots.get(number).map(|slot| (slot.key.customer, slot.key.service))
            });
            for numbers in numbers.chunks(SLOTS_PER_DELIVERY) {
                let slots =
                    numbers.iter().filter_map(|number| minute.slots.get(number)).map(SlotReading::to_wire);
                let reading = delivery(&self.header, minute.read_at_ms, false, slots.collect());
                tell(&reading)?;
                for number in numbers {
                    minute.slots.remove(number);
                }
            }
            first.remove();
        }
        if self.is_over {
            // Whoever hears this may forget where the counters stood.
            tell(&delivery(
                &self.header,
                i64::try_from(self.header.created_at_ms).unwrap_or(0),
                true,
                Vec::new(),
            ))?;
        }
        Ok(())
    }

    fn bound_waiting(&mut self) {
        let mut waiting: usize = self.waiting.values().map(|minute| minute.slots.len()).sum();
        while waiting > WAITING_MAX && self.waiting.len() > 1 {
            let Some((_, oldest)) = self.waiting.pop_first() else { return };
            if let Some(mut next) = self.waiting.first_entry() {
                for (number, slot) in oldest.slots {
                    // What is there already is the later reading.
                    next.get_mut().slots.entry(number).or_insert(slot);
                }
            }
            waiting = self.waiting.values().map(|minute| minute.slots.len()).sum();
        }
    }
}

fn delivery(
    header: &Header,
    read_at_ms: i64,
    closed: bool,
    slots: Vec<(u32, u8, Vec<u64>)>,
) -> LedgerReading {
    LedgerReading {
        ledger: header.id.to_string(),
        generation: header.generation,
        created_at_ms: header.created_at_ms,
        read_at_ms,
        closed,
        slots,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use apikey::{CustomerId, Service};
    use edgeformat::PolicyKey;
    use edgeformat::ledger::{Counter, LedgerId, SLOTS_MIN};
    use ledger::{Ledger, create};

    struct Scene {
        _folder: tempfile::TempDir,
        counting: Option<Ledger>,
        followed: FollowedLedger,
    }

    fn scene() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let id = LedgerId::from_u64(5).unwrap();
        let header = Header { id, generation: 1, created_at_ms: 0, slots: SLOTS_MIN, boot: 0 };
        create(&path, &header).unwrap();
        let counting = Some(Ledger::open(&path).unwrap());
        let followed = FollowedLedger::new(path.clone(), LedgerReader::open(&path).unwrap(), header);
        Scene { _folder: folder, counting, followed }
    }

    impl Scene {
        fn count(&self, customer: u32) {
            let key = PolicyKey { customer: CustomerId::new(customer).unwrap(), service: Service::Seal };
            let ledger = self.counting.as_ref().unwrap();
            ledger.add(ledger.slot_for(key).unwrap(), Counter::Admitted);
        }

        fn told(&mut self) -> Vec<LedgerReading> {
            let mut told = Vec::new();
            self.followed
                .tell(|reading| {
                    told.push(reading.clone());
                    Ok::<(), ()>(())
                })
                .unwrap();
            told
        }
    }

    #[test]
    fn only_what_changed_is_told_and_whole() {
        let mut scene = scene();
        (0..3).for_each(|_| scene.count(7));
        scene.count(8);
        scene.followed.read(61_000, false);
        let told = scene.told();
        assert_eq!((told.len(), told[0].slots.len(), told[0].read_at_ms), (1, 2, 61_000));
        scene.followed.read(62_000, false);
        assert!(scene.told().is_empty());
        scene.count(7);
        scene.followed.read(63_000, false);
        assert_eq!(scene.told()[0].slots, [(7, 1, vec![4])]);
        assert_eq!(scene.followed.total().admitted(), 5);
    }

    #[test]
    fn what_cannot_be_told_waits_by_the_minute_and_nothing_is_told_twice_after_a_part_was_taken() {
        let mut scene = scene();
        scene.count(7);
        scene.followed.read(10_000, false);
        scene.count(7);
        scene.followed.read(50_000, false);
        scene.count(8);
        scene.followed.read(70_000, false);
        assert_eq!(scene.followed.waiting_since_ms(), Some(0));
        let mut deliveries = 0;
        let failed = scene.followed.tell(|_| {
            deliveries += 1;
            if deliveries == 2 { Err("away") } else { Ok(()) }
        });
        assert_eq!(failed, Err("away"));
        let told = scene.told();
        assert_eq!(
            told.iter().map(|reading| (reading.read_at_ms, reading.slots.clone())).collect::<Vec<_>>(),
            [(70_000, vec![(8, 1, vec![1])])]
        );
        assert_eq!(scene.followed.waiting_since_ms(), None);
    }

    #[test]
    fn a_former_file_is_over_when_its_last_counting_process_is_gone_and_that_is_told_last() {
        let mut scene = scene();
        scene.count(7);
        scene.followed.read(1_000, true);
        assert_eq!(scene.told().len(), 1);
        assert!(!scene.followed.is_over());
        scene.count(7);
        scene.counting = None;
        scene.followed.read(2_000, true);
        assert!(!scene.followed.is_over(), "its last count was not told");
        let told = scene.told();
        assert_eq!(
            told.iter().map(|reading| (reading.closed, reading.slots.len())).collect::<Vec<_>>(),
            [(false, 1), (true, 0)]
        );
        assert!(scene.followed.is_over());
    }

    #[test]
    fn many_slots_are_told_in_deliveries_of_bounded_size() {
        let mut scene = scene();
        (1..=4_000).for_each(|customer| scene.count(customer));
        scene.followed.read(1_000, false);
        let told = scene.told();
        assert!(told.iter().all(|reading| reading.slots.len() <= SLOTS_PER_DELIVERY));
        assert_eq!(told.iter().map(|reading| reading.slots.len()).sum::<usize>(), 4_000);
    }
}
