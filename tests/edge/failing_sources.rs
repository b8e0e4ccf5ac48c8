//! Sources that keep failing are limited: judged first, limited after.

use harness::keys::mint_independently;
use harness::{Connection, Stack};
use std::net::Ipv4Addr;

#[test]
fn after_30_refused_keys_a_source_is_told_to_wait_and_its_good_keys_still_pass() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    let port = stack.edge.number();
    let bad = ["Authorization: Bearer nonsense"];
    let mut failing = Connection::open_from(Ipv4Addr::new(127, 0, 0, 2), port).unwrap();

    // A missing key is no attempt.
    for _ in 0..40 {
        assert_eq!(failing.get(&[]).unwrap().code(), "missing_key");
    }
    for number in 1..=30 {
        assert_eq!(failing.get(&bad).unwrap().code(), "malformed", "attempt {number}");
    }
    for _ in 0..10 {
        let answer = failing.get(&bad).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (429, "too_many_failures"));
        assert_eq!(answer.field("retry-after"), Some("10"));
    }
    // No tarpit, the connection stays, good keys pass; who fails without a key is told so as before.
    assert_eq!(failing.get(&[&format!("X-API-Key: {key}")]).unwrap().status, 200);
    assert_eq!(failing.get(&[]).unwrap().code(), "missing_key");
    let mut neighbour = Connection::open_from(Ipv4Addr::new(127, 0, 0, 3), port).unwrap();
    assert_eq!(neighbour.get(&bad).unwrap().code(), "malformed");
}

#[test]
fn refusals_with_403_do_not_count_and_a_revoked_key_does() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, fingerprint) = stack.key(customer, "seal");
    let line = format!("X-API-Key: {key}");
    stack.admin(&format!("service suspend --customer {customer} --service seal"));
    let mut connection = Connection::open_from(Ipv4Addr::new(127, 0, 0, 4), stack.edge.number()).unwrap();
    for _ in 0..60 {
        assert_eq!(connection.get(&[&line]).unwrap().code(), "suspended_operator");
    }
    stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
    for _ in 0..30 {
        assert_eq!(connection.get(&[&line]).unwrap().code(), "revoked");
    }
    assert_eq!(connection.get(&[&line]).unwrap().code(), "too_many_failures");
}

#[test]
fn a_version_0_key_waits_while_its_source_is_limited() {
    let stack = Stack::start_with(&[("SUIFTLY_ACCEPT_V0", "1")]);
    let customer = stack.customer(1, "seal", "pro");
    let version0 =
        format!("X-API-Key: {}", mint_independently(&stack.secret_hex(), 1, "seal", 7, customer, 0));
    let version1 =
        format!("X-API-Key: {}", mint_independently(&stack.secret_hex(), 1, "seal", 7, customer, 1));
    let port = stack.edge.number();
    let mut connection = Connection::open_from(Ipv4Addr::new(127, 0, 0, 5), port).unwrap();
    assert_eq!(connection.get(&[&version0]).unwrap().status, 200);
    for _ in 0..31 {
        connection.get(&["X-API-Key: nonsense"]).unwrap();
    }
    assert_eq!(connection.get(&[&version0]).unwrap().code(), "too_many_failures");
    assert_eq!(connection.get(&[&version1]).unwrap().status, 200);
    let mut neighbour = Connection::open_from(Ipv4Addr::new(127, 0, 0, 6), port).unwrap();
    assert_eq!(neighbour.get(&[&version0]).unwrap().status, 200);
}
