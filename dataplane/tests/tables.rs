//! A delta is applied whole, once and in order, or not at all; checksums follow every change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scene;

use apikey::Service;
use dataplane::tables::Tables;
use edgeformat::command::Apply;
use edgeformat::status::{Applied, Status};
use edgeformat::{Change, StreamId};
use proptest::collection::vec;
use proptest::prelude::*;
use scene::{STREAM, apply, changes, edge, is_admitted, key, refusal_code, status};
use std::collections::BTreeMap;

fn delta<T: AsRef<str>>(from: u64, to: u64, texts: &[T]) -> Apply {
    Apply::Delta { stream: STREAM, from, to, changes: changes(texts) }
}

/// Everything in the status that a refused command must leave alone.
fn tables_of(status: Status) -> impl PartialEq + std::fmt::Debug {
    (status.stream, status.sequence, status.policies, status.revocations)
}

#[test]
fn a_delta_takes_the_tables_to_its_end_and_says_what_they_hold() {
    let edge = edge();
    let texts = ["+p:7:seal:enabled:1:-", "+r:4100000100000007:0:revoked", "+l:1:12"];
    let answer = apply(&edge, &delta(0, 3, &texts));
    assert_eq!(answer, Applied::Ok { sequence: 3, changes: 3, policies: 1, revocations: 1, allowlists: 0 });
    let status = status(&edge);
    assert_eq!((status.stream, status.sequence), (STREAM.to_string(), 3));
    assert_eq!((status.policies.count, status.revocations.count), (1, 1));
}

#[test]
fn a_delta_that_comes_again_changes_nothing() {
    let edge = edge();
    let first = delta(0, 2, &["+p:7:seal:enabled:1:-"]);
    apply(&edge, &first);
    apply(&edge, &delta(2, 3, &["+p:7:seal:disabled:1:-"]));
    let before = tables_of(status(&edge));
    assert_eq!(
        apply(&edge, &first),
        Applied::Ok { sequence: 3, changes: 0, policies: 1, revocations: 0, allowlists: 0 }
    );
    assert_eq!(tables_of(status(&edge)), before);
}

/// A change carries the whole new state, so that an agent that does not know exactly where an edge stands may begin
/// earlier.
#[test]
fn a_delta_that_begins_earlier_than_the_tables_end_is_applied() {
    let edge = edge();
    apply(&edge, &delta(0, 5, &["+p:7:seal:enabled:1:-", "+r:4100000100000007:0:revoked"]));
    let answer = apply(&edge, &delta(3, 6, &["+r:4100000100000007:0:revoked", "-p:7:seal"]));
    assert_eq!(answer, Applied::Ok { sequence: 6, changes: 2, policies: 0, revocations: 1, allowlists: 0 });
}

#[test]
fn a_delta_after_a_gap_or_of_another_stream_is_refused_and_changes_nothing() {
    let edge = edge();
    apply(&edge, &delta(0, 5, &["+p:7:seal:enabled:1:-"]));
    let before = tables_of(status(&edge));

    let gap = apply(&edge, &delta(6, 7, &["-p:7:seal"]));
    assert_eq!(refusal_code(&gap), "gap");
    assert!(matches!(gap, Applied::Refused { sequence: 5, .. }), "{gap:?}");

    for stream in [StreamId::NONE, StreamId::from_u64(1)] {
        let other = Apply::Delta { stream, from: 5, to: 6, changes: changes(&["-p:7:seal"]) };
        assert_eq!(refusal_code(&apply(&edge, &other)), "other_stream");
    }
    assert_eq!(tables_of(status(&edge)), before);
    assert!(is_admitted(&edge, &key(Service::Seal, 1, 7).field()));
}

#[test]
fn a_delta_for_which_there_is_no_room_is_refused_whole() {
    let edge = edge();
    let room = status(&edge).revocations.capacity;
    let revocation = |number: u64| format!("+r:{:016X}:0:revoked", 0x4100_0001_0000_0000 + number);
    let all_but_one: Vec<_> = (1..room).map(revocation).collect();
    let full = |answer: &Applied| refusal_code(answer) == "full";
    let tables = &edge.tables;
    let applied = tables.apply_delta(STREAM, 0, 1, &changes(&all_but_one));
    assert!(matches!(applied, Applied::Ok { .. }), "{applied:?}");

    let before = tables_of(status(&edge));
    let two = ["+p:7:seal:enabled:1:-".to_owned(), revocation(room), revocation(room + 1)];
    assert!(full(&apply(&edge, &delta(1, 2, &two))));
    assert_eq!(tables_of(status(&edge)), before, "not even the policy that came first");

    assert!(matches!(apply(&edge, &delta(1, 2, &[revocation(room)])), Applied::Ok { sequence: 2, .. }));
    assert!(full(&apply(&edge, &delta(2, 3, &[revocation(room + 1)]))));
    // Taking one out makes no room: its bits stay in the filter, which must not fill up beyond its rate.
    assert!(matches!(
        apply(&edge, &delta(2, 3, &[revocation(1).replace('+', "-").replace(":0:revoked", "")])),
        Applied::Ok { .. }
    ));
    assert!(full(&apply(&edge, &delta(3, 4, &[revocation(room + 1)]))));
    assert_eq!(status(&edge).revocations.count, room - 1);
}

#[test]
fn a_policy_table_without_room_is_full_too_and_takes_changes_of_what_it_has() {
    let edge = edge();
    let room = u32::try_from(status(&edge).policies.capacity).unwrap();
    let policy = |customer: u32| format!("+p:{customer}:seal:enabled:1:-");
    let all: Vec<_> = (1..=room).map(policy).collect();
    let applied = edge.tables.apply_delta(STREAM, 0, 1, &changes(&all));
    assert!(matches!(applied, Applied::Ok { .. }), "{applied:?}");
    assert_eq!(refusal_code(&apply(&edge, &delta(1, 2, &[policy(room + 1)]))), "full");
    assert!(matches!(apply(&edge, &delta(1, 2, &["-p:1:seal"])), Applied::Ok { .. }));
    assert!(matches!(apply(&edge, &delta(2, 3, &[policy(room + 1)])), Applied::Ok { .. }));
}

/// Few customers and keys, so that changes meet each other.
fn any_change() -> impl Strategy<Value = String> {
    let services = prop::sample::select(vec!["seal", "grpc", "graphql"]);
    let states =
        prop::sample::select(vec!["enabled", "disabled", "suspended_no_payment", "customer_suspended"]);
    let fingerprint =
        (1_u64..4, 1_u64..4).prop_map(|(n, customer)| 0x4100_0000_0000_0000 | n << 32 | customer);
    let kind = prop::sample::select(vec!["revoked", "expired"]);
    prop_oneof![
        (1..4_u32, services.clone(), states, 0..1024_u16, any::<bool>()).prop_map(
            |(customer, service, state, plan, allowlist)| {
                format!(
                    "+p:{customer}:{service}:{state}:{plan}:{}",
                    if allowlist { "allowlist" } else { "-" }
                )
            }
        ),
        (1..4_u32, services).prop_map(|(customer, service)| format!("-p:{customer}:{service}")),
        (fingerprint.clone(), prop_oneof![Just(0), 1..u64::MAX >> 1], kind)
            .prop_map(|(fingerprint, from, kind)| format!("+r:{fingerprint:016X}:{from}:{kind}")),
        fingerprint.prop_map(|fingerprint| format!("-r:{fingerprint:016X}")),
        (1..1024_u16).prop_map(|plan| format!("+l:{plan}:12")),
    ]
}

/// What must be there after all changes: the last one of each entry.
fn survivors(texts: &[String]) -> Vec<Change> {
    let mut last = BTreeMap::new();
    for text in texts.iter().filter(|text| !text.starts_with("+l")) {
        let fields: Vec<&str> = text.split(':').collect();
        let name_len = if text.get(1..2) == Some("p") { 3 } else { 2 };
        let name = fields.iter().take(name_len).skip(1).copied().collect::<Vec<_>>().join(":");
        last.insert(name, text.clone());
    }
    changes(&last.into_values().filter(|text| text.starts_with('+')).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn after_any_changes_count_and_checksum_are_those_of_a_table_built_fresh(deltas in vec(vec(any_change(), 0..8), 0..12)) {
        let edge = edge();
        let mut sequence = 0;
        for texts in &deltas {
            let answer = apply(&edge, &delta(sequence, sequence + 1, texts));
            prop_assert!(matches!(answer, Applied::Ok { .. }), "{answer:?}");
            // Every delta comes twice, as after a lost answer.
            let again = apply(&edge, &delta(sequence, sequence + 1, texts));
            prop_assert!(matches!(again, Applied::Ok { changes: 0, .. }), "{again:?}");
            sequence += 1;
        }

        let mut fresh = Tables::empty();
        for change in survivors(&deltas.concat()) {
            fresh.apply(&change).unwrap();
        }
        let status = status(&edge);
        prop_assert_eq!(status.policies.count, fresh.policies.len() as u64);
        prop_assert_eq!(status.revocations.count, fresh.revocations.len() as u64);
        prop_assert_eq!(status.policies.checksum, fresh.policies.digest().to_string());
        prop_assert_eq!(status.revocations.checksum, fresh.revocations.digest().to_string());
        prop_assert_eq!(status.sequence, sequence);
    }
}

#[test]
fn revocations_that_are_gone_are_counted_as_stale_until_a_whole_load() {
    let edge = edge();
    let set = |number: u64| format!("+r:{:016X}:0:revoked", 0x4100_0001_0000_0000 + number);
    let gone = |number: u64| format!("-r:{:016X}", 0x4100_0001_0000_0000 + number);
    apply(&edge, &delta(0, 5, &[set(1), set(2), set(3), gone(1), gone(2)]));
    assert_eq!((status(&edge).filter_stale_entries, status(&edge).revocations.count), (2, 1));
    // Set again it takes room again: nobody knows that its bits are there.
    apply(&edge, &delta(5, 7, &[set(1), gone(4)]));
    assert_eq!((status(&edge).filter_stale_entries, status(&edge).revocations.count), (2, 2));
}
