//! The commands of the runtime socket: every answer is one line of JSON of a known shape, whatever the words are.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod scene;

use apikey::Service;
use dataplane::commands;
use edgeformat::command::Apply;
use edgeformat::digest_of_bytes;
use edgeformat::status::{Applied, KeyGroupCheck, LedgerStatus, ShowCustomer, Status, TableStatus};
use proptest::collection::vec;
use proptest::prelude::*;
use scene::{
    GROUP, NOW_S, STREAM, V0_GROUP, apply_text, change, edge, judge, key, refusal_code, show, status,
};
use std::collections::BTreeMap;

fn is_one_line(answer: &str) {
    assert_eq!(answer.find('\n'), Some(answer.len() - 1), "{answer:?}");
}

#[test]
fn status_says_how_the_module_stands() {
    let edge = edge();
    change(&edge, &["+p:7:seal:enabled:3:-", "+r:4100000100000007:0:revoked"]);
    judge(&edge, &key(Service::Seal, 1, 7).field());
    judge(&edge, &key(Service::Seal, 2, 7).field());
    let answer = commands::status::run(&edge, "Lua 5.3");
    is_one_line(&answer);
    let status: Status = serde_json::from_str(&answer).unwrap();
    let table = |checksum: &str| TableStatus { count: 1, checksum: checksum.to_owned(), capacity: 32_768 };
    let expected = Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lua: "Lua 5.3".to_owned(),
        ready: true,
        problem: None,
        instance: status.instance.clone(),
        loaded_at_s: NOW_S,
        stream: STREAM.to_string(),
        sequence: 1,
        policies: table(&status.policies.checksum),
        revocations: table(&status.revocations.checksum),
        filter_stale_entries: 0,
        allowlists: Some(TableStatus {
            count: 0,
            checksum: "0000000000000000".to_owned(),
            capacity: 500_000,
        }),
        local_revocations: Some(TableStatus { count: 0, ..table("0000000000000000") }),
        key_groups: vec![GROUP, V0_GROUP],
        // HMAC-SHA256 of "suiftly key group check v1" under the scene's secret, by Python's hmac.
        key_group_checks: [GROUP, V0_GROUP]
            .map(|group| KeyGroupCheck { group, check: "6b2640c0".to_owned() })
            .into(),
        accept_v0_groups: vec![V0_GROUP],
        admitted: 1,
        burst: 0,
        rejected: 0,
        unserved: 0,
        ledger: Some(LedgerStatus {
            id: None,
            generation: 0,
            slots: 8_192,
            taken: 1,
            counted_at_answer: false,
            problem: Some("no ledger was opened".to_owned()),
            uncollected: 1,
        }),
        refused: BTreeMap::from([("revoked".to_owned(), 1)]),
        panics: 0,
    };
    assert_eq!(status, expected);
    for hex in [&status.instance, &status.policies.checksum, &status.revocations.checksum] {
        assert!(hex.len() == 16 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{hex}");
    }
}

#[test]
fn a_status_of_an_older_module_is_read_and_key_groups_change_no_table() {
    let edge = edge();
    let before = status(&edge);
    change(&edge, &["+g:2:1a2b3c4d", "+l:3:524300", "-g:1"]);
    let after = status(&edge);
    assert_eq!(after.sequence, before.sequence + 1, "taken, and counted");
    assert_eq!((&after.policies, &after.revocations), (&before.policies, &before.revocations));
    assert_eq!((&after.key_groups, &after.key_group_checks), (&before.key_groups, &before.key_group_checks));
    let mut older = serde_json::to_value(&after).unwrap();
    older.as_object_mut().unwrap().remove("key_group_checks");
    assert_eq!(serde_json::from_value::<Status>(older).unwrap().key_group_checks, []);
}

#[test]
fn two_loaded_modules_have_different_instances() {
    assert_ne!(status(&edge()).instance, status(&edge()).instance);
}

#[test]
fn show_says_what_is_known_of_a_customer() {
    let edge = edge();
    change(&edge, &["+p:7:grpc:suspended_no_payment:1023:allowlist"]);
    let answer = commands::show::run(&edge, ["7", ""].into_iter());
    is_one_line(&answer);
    let shown: ShowCustomer = serde_json::from_str(&answer).unwrap();
    let grpc = &shown.services["grpc"];
    assert_eq!((grpc.state.as_str(), grpc.plan, grpc.allowlist), ("suspended_no_payment", 1023, true));
    assert_eq!(show(&edge, 8), ShowCustomer { customer: 8, services: BTreeMap::new() });
}

#[test]
fn show_wants_one_customer_id_and_nothing_else() {
    for words in [&[][..], &[""], &["0"], &["-1"], &["4294967296"], &["seal"], &["7", "8"]] {
        let answer = commands::show::run(&edge(), words.iter().copied());
        is_one_line(&answer);
        let error: BTreeMap<String, String> = serde_json::from_str(&answer).unwrap();
        assert!(error["error"].starts_with("usage: suiftly show"), "{words:?}: {answer}");
    }
}

#[test]
fn apply_answers_what_it_did_and_where_the_edge_stands() {
    let edge = edge();
    let words = Apply::Delta { stream: STREAM, from: 0, to: 1, changes: Vec::new() }.text();
    let answer = commands::apply::run(&edge, words.split(' '));
    assert_eq!(
        answer,
        "{\"result\":\"ok\",\"sequence\":1,\"changes\":0,\"policies\":0,\"revocations\":0,\"allowlists\":0}\n"
    );
    let answer = commands::apply::run(&edge, words.replace(" 0 1 ", " 5 6 ").split(' '));
    assert_eq!(
        answer,
        "{\"result\":\"refused\",\"code\":\"gap\",\"detail\":\"the delta starts after 5, the tables end at 1\",\"sequence\":1}\n"
    );
}

fn with_checksum(before: &str, changes: &str) -> String {
    format!("{before} {:016x} {changes}", digest_of_bytes(changes.as_bytes()))
}

#[test]
fn words_that_are_no_command_are_malformed_and_the_detail_says_why() {
    let edge = edge();
    change(&edge, &["+p:7:seal:enabled:3:-"]);
    let delta = format!("delta {STREAM} 1 2");
    let cases = [
        (String::new(), "`command` is missing"),
        ("snapshot 1".to_owned(), "`snapshot` is none of"),
        (delta.clone(), "`checksum` is missing"),
        (format!("{delta} 0000000000000000 +p:7:seal:disabled:3:-"), "do not match their checksum"),
        (with_checksum(&delta, "-p:7:seal,+x:7"), "`+x` is no kind of change"),
        (with_checksum(&delta, "-p:7:seal,+p:0:seal:enabled:3:-"), "customer 0"),
        (with_checksum(&delta, "-p:7:seal,+p:8:seal:enabled:1024:-"), "0..=1023"),
        (with_checksum(&delta, "-p:7:seal,+p:8:mail:enabled:3:-"), "`mail` is no service"),
        (with_checksum(&delta, "-p:7:seal,+p:8:seal:paid:3:-"), "`paid` is no state"),
        (with_checksum(&delta, "-p:7:seal,+r:41000001:0:revoked"), "16 upper-case hex digits"),
        (with_checksum(&delta, "-p:7:seal,+r:4100000100000007:-1:revoked"), "`in force from`"),
        (
            with_checksum(&delta, "-p:7:seal,+r:4100000100000007:18446744073709551615:revoked"),
            "in force from",
        ),
        (with_checksum(&delta, "-p:7:seal,"), "is no change"),
        (format!("{} more", with_checksum(&delta, "-p:7:seal")), "one field too many"),
        (with_checksum(&format!("delta {STREAM} 2 2"), "-p:7:seal"), "larger than `from`"),
        (with_checksum("delta 9f3c 1 2", "-p:7:seal"), "16 lower-case hex digits"),
        (format!("begin 1 {STREAM} 900 1"), "`revocations` is missing"),
        (format!("begin 1 {STREAM} 900 4294967296 0"), "`policies`"),
        (with_checksum("part 1 one", "-"), "`part`"),
        ("commit 1 1 0 0".to_owned(), "16 lower-case hex digits"),
    ];
    for (words, expected) in cases {
        let answer = apply_text(&edge, &words);
        assert_eq!(refusal_code(&answer), "malformed", "{words:?}");
        let Applied::Refused { detail, sequence, .. } = answer else { panic!("{words:?} was applied") };
        assert!(detail.contains(expected), "{words:?} gave {detail:?}, expected {expected:?}");
        assert_eq!(sequence, 1);
    }
    assert_eq!(
        (status(&edge).sequence, status(&edge).policies.count),
        (1, 1),
        "not even the changes before the fault"
    );
}

proptest! {
    #[test]
    fn no_words_make_a_command_panic_or_answer_anything_but_one_line_of_json(words in vec(any::<String>(), 0..8)) {
        let edge = edge();
        for answer in [
            commands::apply::run(&edge, words.iter().map(String::as_str)),
            commands::show::run(&edge, words.iter().map(String::as_str)),
        ] {
            is_one_line(&answer);
            prop_assert!(serde_json::from_str::<BTreeMap<String, serde_json::Value>>(&answer).is_ok(), "{answer}");
        }
        prop_assert_eq!(status(&edge).panics, 0);
        prop_assert!(status(&edge).ready);
    }

    /// Nearly right commands come further than random words.
    #[test]
    fn a_command_with_one_changed_byte_never_panics(place: prop::sample::Index, byte in 0x20..0x7f_u8, which in 0..4_usize) {
        let edge = edge();
        let changes = "+p:7:seal:enabled:3:-,-r:4100000100000007,+l:3:12";
        let mut command = [
            with_checksum(&format!("delta {STREAM} 0 1"), changes),
            format!("begin 1 {STREAM} 900 1 1"),
            with_checksum("part 1 1", "+p:7:seal:enabled:3:-"),
            format!("commit 1 1 {0:016x} {0:016x}", 0),
        ][which].clone().into_bytes();
        *place.get_mut(&mut command) = byte;
        apply_text(&edge, std::str::from_utf8(&command).unwrap());
        prop_assert_eq!(status(&edge).panics, 0);
    }

    #[test]
    fn no_bytes_in_the_field_make_a_request_panic_or_let_it_through(field in vec(any::<u8>(), 0..64), scheme: bool) {
        let edge = edge();
        change(&edge, &["+p:7:seal:enabled:3:-"]);
        let field = if scheme { [b"Bearer ".as_slice(), &field].concat() } else { field };
        prop_assert!(dataplane::authorize::authorize(&edge, &field).packed() < 0);
    }
}
