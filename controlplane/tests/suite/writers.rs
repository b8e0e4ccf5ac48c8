//! Many writers at once, in threads and in processes: the change log has no gap, numbers follow commits, and
//! who follows it misses nothing.

use crate::harness::{Backend, PATIENCE, Stack, TestDatabase, on_both_databases};
use apikey::Fingerprint;
use controlplane::changes::feed::{self, Feed};
use controlplane::changes::record::record;
use controlplane::config::DatabaseConfig;
use controlplane::db::stream::{self, Position};
use controlplane::db::{Database, DbError, ReadTx};
use controlplane::domain::revocations::{RevocableFingerprint, revoke};
use controlplane::domain::{DomainError, RevocationSource};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

on_both_databases! {
    a_follower_sees_every_change_of_12_writers_once_and_in_order,
    two_processes_that_revoke_overlapping_lists_write_each_key_once,
}

const WRITERS: u32 = 12;
const ROUNDS: u32 = 20;

/// Which fingerprints a writer revokes in a round: some of its own, and one that it shares with the others.
fn chunk(writer: u32, round: u32) -> Vec<RevocableFingerprint> {
    let own = (0..round % 3).map(|n| (u64::from(writer) << 16) | u64::from(round * 8 + n));
    own.chain([0xF000_0000 | u64::from(round)])
        .map(|bits| Fingerprint::from_u64(0x4100_0001_0000_0000 | bits).try_into().unwrap())
        .collect()
}

fn write_and_give_up(config: &DatabaseConfig, writer: u32) {
    let mut database = Database::open_again(config).unwrap();
    for round in 0..ROUNDS {
        revoke(&mut database, &chunk(writer, round), RevocationSource::Operator, 0).unwrap();
        // A number that is taken and given back must not be missing later.
        let given_up: Result<(), DomainError> = database.write(|tx| {
            record(tx, &format!("+r:410000FF{round:08X}:0:revoked").parse().unwrap(), 0)?;
            Err(DomainError::Refused("given up".to_owned()))
        });
        assert!(matches!(given_up, Err(DomainError::Refused(_))), "{given_up:?}");
    }
}

/// Follows as the agent does, until the writers are done and nothing is left. Each read must go on exactly where
/// the one before it ended (`feed::after` refuses a gap), and the tables must say what the log says.
fn follow(config: &DatabaseConfig, begin: Position, writers_are_done: &AtomicBool) -> Vec<u64> {
    let mut database = Database::open_again(config).unwrap();
    let (mut known, mut seen, mut reads) = (begin, Vec::new(), 0);
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE * 3, "the end was never seen; {} changes until now", seen.len());
        let done = writers_are_done.load(Ordering::SeqCst);
        let read = |tx: &mut ReadTx<'_>| {
            let feed = feed::after(tx, known)?;
            let snapshot = feed::snapshot(tx)?;
            Ok::<_, DbError>((feed, snapshot))
        };
        let (Feed::Changes(changes), snapshot) = database.read(read).unwrap() else { panic!("a snapshot") };
        reads += 1;
        seen.extend(changes.iter().map(|(sequence, _)| *sequence));
        known.sequence = seen.last().copied().unwrap_or(begin.sequence);
        // Each change is one revocation more: log, counter and table belong to one moment.
        assert_eq!(snapshot.position, known);
        assert_eq!(snapshot.revocations.len(), seen.len());
        if done && changes.is_empty() {
            assert!(reads > 10, "it has not followed, it has come afterwards");
            return seen;
        }
    }
}

fn a_follower_sees_every_change_of_12_writers_once_and_in_order(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let begin = database.read(stream::position).unwrap();
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let follower = scope.spawn(|| follow(&place.config, begin, &done));
        let config = &place.config;
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write_and_give_up(config, writer))).collect();
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        // Also where one has failed, so that the follower ends and the failure is shown.
        done.store(true, Ordering::SeqCst);
        let seen = follower.join().unwrap();
        assert!(ended.iter().all(Result::is_ok), "a writer has failed");
        seen
    });
    let wanted: BTreeSet<_> =
        (0..WRITERS).flat_map(|writer| (0..ROUNDS).flat_map(move |round| chunk(writer, round))).collect();
    assert_eq!(seen, (1..=wanted.len() as u64).collect::<Vec<_>>());
}

fn two_processes_that_revoke_overlapping_lists_write_each_key_once(backend: Backend) {
    let stack = Stack::on(backend);
    stack.customer(1);
    // Each several transactions long; a third of the keys is in both.
    for (name, range) in [("a", 0..9_000_u32), ("b", 6_000..15_000)] {
        let text: String = range.map(|number| format!("41000001{number:08x}\n")).collect();
        std::fs::write(stack.path(name), text).unwrap();
    }
    let revoke = |name: &str| {
        let line = format!("admin key revoke --file {} --no-wait --json", stack.path(name).display());
        stack.run(&line).json_with(0)["revoked"].as_u64().unwrap()
    };
    let (a, b) = std::thread::scope(|scope| {
        let a = scope.spawn(|| revoke("a"));
        (revoke("b"), a.join().unwrap())
    });
    assert_eq!(a + b, 15_000);
    let snapshot = stack.open_database().read(feed::snapshot).unwrap();
    assert_eq!(snapshot.revocations.len(), 15_000);
    let sequences: Vec<u64> = snapshot.recent.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, (1..=15_000).collect::<Vec<_>>());
    let named: BTreeSet<String> = snapshot.recent.iter().map(|(_, change)| change.to_string()).collect();
    assert_eq!(named.len(), 15_000, "a key stands in the log twice");
}
