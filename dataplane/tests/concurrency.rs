//! While one thread changes the tables, no other ever gets a wrong answer: a key that was revoked before a request is
//! refused, and a key that never was is admitted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scene;

use apikey::Service;
use dataplane::edge::Edge;
use edgeformat::command::Apply;
use edgeformat::status::Applied;
use edgeformat::{Change, Reason, TableDigest};
use scene::{STREAM, apply, change, changes, edge, is_admitted, judge, key, refused, status};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const READERS: usize = 8;
const GOOD_KEYS: u32 = 50;
/// Keys that the writer revokes one after the other.
const VICTIMS: u32 = 600;
/// After so many deltas comes a whole load.
const DELTAS_A_LOAD: usize = 40;

fn good_key(number: u32) -> scene::Key {
    key(Service::Seal, 1, number + 1)
}

fn victim(number: u32) -> scene::Key {
    key(Service::Seal, number % 1000 + 2, number % GOOD_KEYS + 1)
}

fn policies() -> Vec<String> {
    (1..=GOOD_KEYS).map(|customer| format!("+p:{customer}:seal:enabled:1:-")).collect()
}

fn revocation(number: u32) -> String {
    format!("+r:{}:0:revoked", victim(number).fingerprint())
}

/// Replaces the tables by ones with the same content.
fn load_whole(edge: &Edge, load: u64, revoked: u32) {
    let sequence = status(edge).sequence;
    let parts = [changes(&policies()), changes(&(0..revoked).map(revocation).collect::<Vec<_>>())];
    let (mut policies, mut revocations) = (TableDigest::default(), TableDigest::default());
    for change in parts.iter().flatten() {
        match change {
            Change::SetPolicy(policy) => policies.add(policy.digest()),
            Change::SetRevocation(revocation) => revocations.add(revocation.digest()),
            other => panic!("a load has no {other}"),
        }
    }
    let begin = Apply::Begin {
        load,
        stream: STREAM,
        sequence,
        policies: GOOD_KEYS,
        revocations: revoked,
        allowlists: 0,
    };
    let [first, second] = parts.map(|changes| move |part| Apply::Part { load, part, changes });
    let (policies_digest, revocations_digest) = (policies.get(), revocations.get());
    let commit = Apply::Commit { load, parts: 2, policies_digest, revocations_digest, allowlists_digest: 0 };
    for command in [begin, first(1), second(2), commit] {
        let answer = apply(edge, &command);
        assert!(matches!(answer, Applied::Ok { .. }), "{answer:?}");
    }
}

/// Ends the readers however the writer ends: one that panics must not leave them running for ever.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn no_request_gets_a_wrong_answer_while_deltas_and_loads_are_applied() {
    let edge = edge();
    change(&edge, &policies());
    let good: Vec<String> = (0..GOOD_KEYS).map(|number| good_key(number).field()).collect();
    let victims: Vec<String> = (0..VICTIMS).map(|number| victim(number).field()).collect();
    // How many victims are revoked for certain. Written after the command has answered, read before a request begins.
    let revoked = AtomicUsize::new(0);
    let done = AtomicBool::new(false);

    let read = |reader: usize| {
        let mut asked = 0_usize;
        while !done.load(Ordering::Acquire) {
            for good in good.iter().skip(reader * 5).take(10) {
                assert!(is_admitted(&edge, good), "a good key was refused");
                asked += 1;
            }
            let certain = revoked.load(Ordering::Acquire);
            // The latest ones are where a race would show, and one from anywhere for what a load may lose.
            for number in
                (certain.saturating_sub(3)..certain).chain((certain > 0).then(|| asked % certain.max(1)))
            {
                let customer = u32::try_from(number).unwrap() % GOOD_KEYS + 1;
                let decision = judge(&edge, victims.get(number).unwrap());
                assert_eq!(decision, refused(Reason::Revoked, customer), "victim {number} of {certain}");
                asked += 1;
            }
        }
        asked
    };
    let asked: usize = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| thread::Builder::new().spawn_scoped(scope, move || read(reader)).unwrap())
            .collect();
        let writing = Done(&done);
        for (count, number) in (1..).zip(0..VICTIMS) {
            assert!(
                is_admitted(&edge, victims.get(number as usize).unwrap()),
                "refused before it was revoked"
            );
            change(&edge, &[revocation(number)]);
            revoked.store(count, Ordering::Release);
            if count % DELTAS_A_LOAD == 0 {
                load_whole(&edge, u64::from(number), number + 1);
            }
        }
        drop(writing);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    assert!(asked > 1000, "the readers hardly came to ask: {asked}");

    let status = status(&edge);
    assert_eq!((status.policies.count, status.revocations.count), (GOOD_KEYS.into(), VICTIMS.into()));
    assert_eq!(status.panics, 0);
    // No count was lost between the threads either.
    let judged = status.admitted + status.refused.values().sum::<u64>();
    assert_eq!(judged, asked as u64 + u64::from(VICTIMS));
}
