//! What a worker counts is in the ledger's file, whatever becomes of the worker; without a file it serves on and says so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod scene;

use apikey::Service;
use dataplane::edge::Edge;
use dataplane::outcome::count_outcome;
use dataplane::usage::{CountAt, Usage};
use edgeformat::ledger::{Counter, Counters, Header, LedgerId, SLOTS_MIN};
use ledger::LedgerReader;
use scene::{Key, change, edge, judge, key, show, status};
use std::path::{Path, PathBuf};

const KEY: Key = key(Service::Seal, 5, 42);

fn ledger_file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let id = LedgerId::from_u64(0xabc).unwrap();
    ledger::create(&path, &Header { id, generation: 1, created_at_ms: 0, slots: SLOTS_MIN, boot: 0 })
        .unwrap();
    (folder, path)
}

fn edge_counting_in(path: &Path, count_at: CountAt) -> Edge {
    let edge = Edge { usage: Usage::open(path, count_at).unwrap(), ..edge() };
    change(&edge, &["+p:42:seal:enabled:3:-", "+p:43:seal:disabled:3:-"]);
    edge
}

fn counters_in(path: &Path, customer: u32) -> Counters {
    let reader = LedgerReader::open(path).unwrap();
    let found = reader.slots().find(|(_, slot)| slot.key.customer.get() == customer);
    found.map(|(_, slot)| slot.counters).unwrap_or_default()
}

fn tell(edge: &Edge, packed: i64, what: &str) -> bool {
    count_outcome(edge, format!("{packed} {what}").as_bytes())
}

#[test]
fn every_outcome_is_counted_where_it_belongs() {
    let (_folder, path) = ledger_file();
    let edge = edge_counting_in(&path, CountAt::Admission);
    let mut packed = 0;
    for _ in 0..20 {
        packed = judge(&edge, &KEY.field()).packed();
    }
    for (what, times) in [
        ("burst", 6),
        ("unserved guaranteed", 1),
        ("unserved ", 1),
        ("unserved burst", 2),
        ("rejected 16", 1),
        ("rejected 17", 2),
        ("rejected 18", 1),
        ("rejected 19", 1),
        ("rejected 413", 1),
    ] {
        (0..times).for_each(|_| assert!(tell(&edge, packed, what), "{what}"));
    }
    judge(&edge, &key(Service::Seal, 5, 43).field());
    let found = counters_in(&path, 42);
    let expected = [20, 6, 3, 2, 1, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(found.0, expected);
    assert_eq!((found.billed_guaranteed(), found.billed_burst()), (20 - 6 - 5 - 3, 4));
    assert_eq!(counters_in(&path, 43).get(Counter::Disabled), 1);
    let status = status(&edge);
    assert_eq!((status.admitted, status.burst, status.rejected, status.unserved), (20, 6, 5, 5));
    assert_eq!((status.refused["rate_limited"], status.refused["too_many_failures"]), (2, 1));
    let ledger = status.ledger.unwrap();
    assert_eq!((ledger.id.as_deref(), ledger.taken, ledger.uncollected), (Some("0000000000000abc"), 2, 0));
    let seal = &show(&edge, 42).services["seal"];
    assert_eq!((seal.admitted, seal.burst, seal.rejected, seal.unserved), (20, 6, 5, 5));
}

#[test]
fn what_is_no_outcome_of_an_admitted_request_changes_nothing() {
    let (_folder, path) = ledger_file();
    let edge = edge_counting_in(&path, CountAt::Admission);
    let packed = judge(&edge, &KEY.field()).packed();
    let before = counters_in(&path, 42);
    for what in [
        "",
        "burst burst",
        "served",
        "rejected",
        "rejected 17x",
        "rejected 8",
        "rejected 99999",
        "rejected -1",
    ] {
        assert!(!tell(&edge, packed, what), "{what}");
    }
    for packed in [-1, -8 - 256 * 42, 0, i64::MIN] {
        assert!(!tell(&edge, packed, "burst"), "{packed}");
    }
    assert!(!count_outcome(&edge, b"\xff burst"));
    assert_eq!(counters_in(&path, 42), before);
}

#[test]
fn at_the_answer_a_request_without_any_answer_is_not_counted() {
    let (_folder, path) = ledger_file();
    let edge = edge_counting_in(&path, CountAt::Answer);
    let packed = judge(&edge, &KEY.field()).packed();
    assert!(counters_in(&path, 42).is_zero());
    for what in [
        "answered guaranteed",
        "burst",
        "answered burst",
        "unserved guaranteed",
        "unserved burst",
        "rejected 17",
    ] {
        assert!(tell(&edge, packed, what), "{what}");
    }
    let found = counters_in(&path, 42);
    assert_eq!(found.0, [5, 2, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((found.billed_guaranteed(), found.billed_burst()), (1, 1));
    assert!(status(&edge).ledger.unwrap().counted_at_answer);
}

#[test]
fn two_workers_and_the_next_one_count_in_the_same_slots() {
    let (_folder, path) = ledger_file();
    let (old, new) =
        (edge_counting_in(&path, CountAt::Admission), edge_counting_in(&path, CountAt::Admission));
    judge(&old, &KEY.field());
    judge(&new, &KEY.field());
    drop((old, new));
    judge(&edge_counting_in(&path, CountAt::Admission), &KEY.field());
    assert_eq!(counters_in(&path, 42).admitted(), 3);
    assert_eq!(LedgerReader::open(&path).unwrap().fill().1, 1);
}

#[test]
fn loading_takes_no_slot() {
    let (_folder, path) = ledger_file();
    let before = std::fs::read(&path).unwrap();
    drop(edge_counting_in(&path, CountAt::Admission));
    assert!(std::fs::read(&path).unwrap() == before);
}

#[test]
fn without_a_ledger_requests_are_served_and_the_loss_is_told() {
    let (_folder, path) = ledger_file();
    std::fs::write(&path, b"nonsense").unwrap();
    for path in [path.clone(), path.with_file_name("none")] {
        let edge = edge_counting_in(&path, CountAt::Admission);
        assert!(judge(&edge, &KEY.field()).packed() > 0);
        let ledger = status(&edge).ledger.unwrap();
        assert_eq!((ledger.id, ledger.uncollected), (None, 1));
        assert!(ledger.problem.unwrap().contains(&path.display().to_string()));
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"nonsense");
}
