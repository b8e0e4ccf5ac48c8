//! What the operator of an edge refuses beside the database: replaced whole, or not at all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scene;

use apikey::Service;
use edgeformat::Reason;
use edgeformat::command::Apply;
use edgeformat::map_file::LOCAL_REVOCATIONS_MAX;
use edgeformat::status::Applied;
use edgeformat::{Change, Revocation, TableDigest};
use scene::{
    NOW_S, apply, change, changes, edge, is_admitted, judge, key, refusal_code, refused, set_clock, status,
};

const KEY: scene::Key = key(Service::Seal, 1, 7);
const OTHER: scene::Key = key(Service::Seal, 2, 7);

fn revocation(key: scene::Key, from_s: u64) -> Change {
    format!("+r:{}:{from_s}:revoked", key.fingerprint()).parse().unwrap()
}

fn digest(changes: &[Change]) -> u64 {
    let mut digest = TableDigest::default();
    for change in changes {
        let Change::SetRevocation(revocation) = change else { panic!("{change}") };
        digest.add(Revocation::digest(revocation));
    }
    digest.get()
}

/// All three commands; the last answer.
fn load(edge: &dataplane::edge::Edge, changes: Vec<Change>) -> Applied {
    let (count, revocations_digest) = (u32::try_from(changes.len()).unwrap(), digest(&changes));
    apply(edge, &Apply::LocalBegin { load: 5, revocations: count });
    apply(edge, &Apply::LocalPart { load: 5, part: 1, changes });
    apply(edge, &Apply::LocalCommit { load: 5, parts: 1, revocations_digest })
}

fn edge_with_a_policy() -> dataplane::edge::Edge {
    let edge = edge();
    change(&edge, &["+p:7:seal:enabled:3:-"]);
    edge
}

#[test]
fn a_loaded_set_refuses_and_its_replacement_takes_back() {
    let edge = edge_with_a_policy();
    assert!(is_admitted(&edge, &KEY.field()));
    assert!(matches!(load(&edge, vec![revocation(KEY, 0)]), Applied::Ok { revocations: 1, .. }));
    assert_eq!(judge(&edge, &KEY.field()), refused(Reason::Revoked, 7));
    assert!(is_admitted(&edge, &OTHER.field()));
    let table = status(&edge).local_revocations.unwrap();
    assert_eq!((table.count, table.checksum), (1, format!("{:016x}", digest(&[revocation(KEY, 0)]))));
    assert!(matches!(load(&edge, vec![revocation(OTHER, 0)]), Applied::Ok { .. }));
    assert!(is_admitted(&edge, &KEY.field()) && !is_admitted(&edge, &OTHER.field()));
    assert!(matches!(load(&edge, Vec::new()), Applied::Ok { revocations: 0, .. }));
    assert!(is_admitted(&edge, &OTHER.field()));
}

#[test]
fn a_time_of_effect_is_kept_and_the_databases_tables_are_another_matter() {
    let edge = edge_with_a_policy();
    load(&edge, vec![revocation(KEY, NOW_S + 10)]);
    assert!(is_admitted(&edge, &KEY.field()));
    set_clock(&edge, NOW_S + 10);
    assert!(!is_admitted(&edge, &KEY.field()));
    change(&edge, &[format!("+r:{}:0:revoked", OTHER.fingerprint())]);
    assert_eq!((status(&edge).revocations.count, status(&edge).local_revocations.unwrap().count), (1, 1));
    // A change of the database about the same key does not lift what the operator refuses.
    change(&edge, &[format!("-r:{}", KEY.fingerprint())]);
    assert!(!is_admitted(&edge, &KEY.field()));
}

#[test]
fn what_is_not_whole_changes_nothing() {
    let edge = edge_with_a_policy();
    load(&edge, vec![revocation(KEY, 0)]);
    let part = |load, part, changes| Apply::LocalPart { load, part, changes };
    let refusals = [
        vec![part(1, 1, Vec::new())],
        vec![Apply::LocalBegin { load: 1, revocations: LOCAL_REVOCATIONS_MAX + 1 }],
        vec![Apply::LocalBegin { load: 1, revocations: 1 }, part(1, 2, vec![revocation(OTHER, 0)])],
        vec![Apply::LocalBegin { load: 1, revocations: 1 }, part(1, 1, changes(&["+p:7:seal:enabled:3:-"]))],
        vec![
            Apply::LocalBegin { load: 1, revocations: 1 },
            Apply::LocalCommit { load: 1, parts: 0, revocations_digest: 0 },
        ],
        vec![
            Apply::LocalBegin { load: 1, revocations: 1 },
            part(1, 1, vec![revocation(OTHER, 0)]),
            Apply::LocalCommit { load: 1, parts: 1, revocations_digest: 9 },
        ],
    ];
    for commands in refusals {
        let answers: Vec<Applied> = commands.iter().map(|command| apply(&edge, command)).collect();
        assert_eq!(refusal_code(answers.last().unwrap()), "load", "{commands:?}");
        assert!(!is_admitted(&edge, &KEY.field()) && is_admitted(&edge, &OTHER.field()));
    }
}
