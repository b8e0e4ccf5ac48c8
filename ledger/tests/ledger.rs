//! What is counted is found again, by every process and after every end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use apikey::{CustomerId, Service};
use edgeformat::PolicyKey;
use edgeformat::ledger::{Counter, Counters, Header, HeaderError, LedgerId, PROBES_MAX, SLOTS_MIN};
use ledger::{Ledger, LedgerReader, Unusable, create};
use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

fn header(generation: u64) -> Header {
    let id = LedgerId::from_u64(0x77 + generation).unwrap();
    Header { id, generation, created_at_ms: 1, slots: SLOTS_MIN, boot: 9 }
}

fn key(customer: u32) -> PolicyKey {
    PolicyKey { customer: CustomerId::new(customer).unwrap(), service: Service::Seal }
}

fn made() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    create(&path, &header(1)).unwrap();
    (folder, path)
}

#[test]
fn the_whole_file_is_on_the_disk_before_anybody_counts() {
    let (folder, path) = made();
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!(found.len(), header(1).file_len());
    assert!(
        found.blocks() * 512 >= found.len(),
        "{} of {} bytes are reserved",
        found.blocks() * 512,
        found.len()
    );
    assert_eq!(found.mode() & 0o777, 0o660);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn opening_and_looking_change_nothing() {
    let (_folder, path) = made();
    let before = std::fs::read(&path).unwrap();
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.find(key(5)), None);
    assert_eq!(ledger.fill(), (SLOTS_MIN, 0));
    drop(ledger);
    assert!(std::fs::read(&path).unwrap() == before);
}

#[test]
fn what_two_count_at_once_adds_up_and_nobody_has_two_slots() {
    let (_folder, path) = made();
    const CUSTOMERS: u32 = 3_000;
    const ROUNDS: u64 = 20;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Each its own mapping, as a process has it.
                let ledger = Ledger::open(&path).unwrap();
                for _ in 0..ROUNDS {
                    for customer in 1..=CUSTOMERS {
                        let slot = ledger.slot_for(key(customer)).unwrap();
                        ledger.add(slot, Counter::Admitted);
                        ledger.add(slot, Counter::Burst);
                    }
                }
            });
        }
    });
    let reader = LedgerReader::open(&path).unwrap();
    let found: BTreeMap<u32, Counters> =
        reader.slots().map(|(_, slot)| (slot.key.customer.get(), slot.counters)).collect();
    assert_eq!((reader.slots().count(), found.len()), (CUSTOMERS as usize, CUSTOMERS as usize));
    assert_eq!(reader.fill(), (SLOTS_MIN, CUSTOMERS as usize));
    for counters in found.values() {
        assert_eq!((counters.admitted(), counters.get(Counter::Burst)), (4 * ROUNDS, 4 * ROUNDS));
    }
}

#[test]
fn in_a_full_table_nothing_is_lost_silently() {
    let ledger = Ledger::in_memory(SLOTS_MIN).unwrap();
    let placed = (1..=20_000).filter(|customer| ledger.slot_for(key(*customer)).is_some()).count();
    assert_eq!(ledger.fill(), (SLOTS_MIN, placed));
    // Every slot can be reached from somewhere near it.
    assert!(placed > SLOTS_MIN - PROBES_MAX, "{placed}");
    let nobody = (1..=20_000).find(|customer| ledger.find(key(*customer)).is_none()).unwrap();
    assert_eq!(ledger.slot_for(key(nobody)), None);
    ledger.add_unplaced(Counter::Admitted);
    assert_eq!(ledger.unplaced().admitted(), 1);
}

#[test]
fn half_full_everybody_finds_a_slot_nearby() {
    let ledger = Ledger::in_memory(1 << 18).unwrap();
    for customer in 1..=(1 << 17) {
        assert!(ledger.slot_for(key(customer)).is_some(), "{customer}");
    }
}

#[test]
fn a_file_is_in_use_for_as_long_as_somebody_may_count_in_it() {
    let (folder, path) = made();
    let reader = LedgerReader::open(&path).unwrap();
    assert!(!reader.has_counting_process().unwrap(), "a reader counts nothing");
    let ledger = Ledger::open(&path).unwrap();
    assert!(reader.has_counting_process().unwrap());
    std::fs::hard_link(&path, folder.path().join("ledger-1")).unwrap();
    create(&path, &header(2)).unwrap();
    assert!(reader.has_counting_process().unwrap());
    assert_eq!(Ledger::open(&path).unwrap().header().unwrap().generation, 2);
    // What the old one counts is found in the old file.
    ledger.add(ledger.slot_for(key(7)).unwrap(), Counter::Admitted);
    assert_eq!(reader.slots().next().unwrap().1.counters.admitted(), 1);
    drop(ledger);
    assert!(!reader.has_counting_process().unwrap());
}

#[test]
fn a_damaged_file_is_named_with_what_is_wrong_and_can_be_looked_at() {
    let (_folder, path) = made();
    let ledger = Ledger::open(&path).unwrap();
    ledger.add(ledger.slot_for(key(7)).unwrap(), Counter::Admitted);
    drop(ledger);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[9], 17).unwrap();
    let error = Ledger::open(&path).unwrap_err();
    assert!(matches!(error.reason, Unusable::Header(HeaderError::Damaged(_))), "{error}");
    assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    assert!(LedgerReader::open(&path).is_err());
    let reader = LedgerReader::open_damaged(&path).unwrap();
    assert_eq!(reader.slots().map(|(_, slot)| slot.key).collect::<Vec<_>>(), [key(7)]);
    file.set_len(5_000).unwrap();
    assert!(LedgerReader::open_damaged(&path).is_err());
    file.set_len(3).unwrap();
    assert!(Ledger::open(&path).unwrap_err().to_string().contains("no usage ledger"));
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let (folder, path) = made();
    let too_large = Header { slots: 1 << 50, ..header(2) };
    assert!(create(&path, &too_large).is_err());
    assert_eq!(Ledger::open(&path).unwrap().header(), Some(&header(1)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
