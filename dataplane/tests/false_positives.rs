//! The filter in front of the revocations saves look-ups and decides nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use apikey::Fingerprint;
use dataplane::clock::Clock;
use dataplane::revocations::Revocations;
use edgeformat::{Reason, Revocation, RevocationKind};
use std::collections::HashSet;
use std::sync::atomic::AtomicU64;

const REVOKED: usize = 100_000;
const OTHERS: usize = 1_000_000;

/// Distinct fingerprints as issued keys have them: version 1, group 1, derivation 1..=1000, any customer.
fn fingerprints(count: usize) -> Vec<Fingerprint> {
    let (mut state, mut seen) = (0x5375_6966_746c_7921_u64, HashSet::new());
    std::iter::from_fn(|| {
        // SplitMix64 (Steele, Lea and Flood 2014): the same numbers in every run.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(bits ^ (bits >> 31))
    })
    .map(|bits| 0x41 << 56 | ((bits >> 32) % 1000 + 1) << 32 | bits & 0xffff_ffff)
    .filter(|fingerprint| seen.insert(*fingerprint))
    .take(count)
    .map(Fingerprint::from_u64)
    .collect()
}

fn table(revoked: &[Fingerprint], room_for: usize) -> Revocations {
    let mut table = Revocations::with_room_for(room_for);
    for fingerprint in revoked {
        let (fingerprint, kind) = (*fingerprint, RevocationKind::Revoked);
        table.insert(&Revocation { fingerprint, in_force_from_s: 0, kind }).unwrap();
    }
    table
}

#[test]
fn no_good_key_is_refused_and_few_need_a_look_up() {
    let all = fingerprints(REVOKED + OTHERS);
    let (revoked, others) = all.split_at(REVOKED);
    let clock = Clock::Manual(AtomicU64::new(1));

    // With the usual room to spare, and with the room used up.
    for room_for in [REVOKED, REVOKED * 2 / 3] {
        let table = table(revoked.get(..room_for * 3 / 2).unwrap_or(revoked), room_for);
        let refused = others.iter().filter(|key| table.refusal(**key, &clock).is_some()).count();
        assert_eq!(refused, 0, "good keys refused");
        let looked_up = others.iter().filter(|key| table.may_be_listed(**key)).count();
        assert!(looked_up < OTHERS / 500, "{looked_up} of {OTHERS} keys passed the filter: more than 0.2 %");
    }
}

#[test]
fn every_revoked_key_is_refused() {
    let revoked = fingerprints(REVOKED);
    let (table, clock) = (table(&revoked, REVOKED), Clock::Manual(AtomicU64::new(1)));
    for fingerprint in &revoked {
        assert!(table.may_be_listed(*fingerprint));
        assert_eq!(table.refusal(*fingerprint, &clock), Some(Reason::Revoked));
    }
}

#[test]
fn a_key_that_was_taken_out_is_good_again_although_its_bits_stay() {
    let revoked = fingerprints(1000);
    let (mut table, clock) = (table(&revoked, 1000), Clock::Manual(AtomicU64::new(1)));
    for fingerprint in &revoked {
        table.remove(*fingerprint);
        assert_eq!(table.refusal(*fingerprint, &clock), None);
        assert!(table.may_be_listed(*fingerprint));
    }
    assert!(table.is_empty());
    assert_eq!(table.digest(), edgeformat::TableDigest::default());
}
