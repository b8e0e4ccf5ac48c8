//! What a customer changes over the API is in force at the edge when the answer comes.

use harness::customer_api::CustomerApi;
use harness::{Connection, Stack};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn line(key: &Value) -> String {
    format!("X-API-Key: {}", key["api_key"].as_str().unwrap())
}

fn path(key: &Value) -> String {
    format!("services/seal/keys/{}", key["id"].as_str().unwrap())
}

fn customer(stack: &Stack) -> u32 {
    let wallet = format!("0x{:064x}", 7);
    let made = stack.admin(&format!("customer create --wallet {wallet}"));
    let customer = u32::try_from(made["customer_id"].as_u64().unwrap()).unwrap();
    stack.admin(&format!("credit grant --customer {customer} --cents 20000"));
    customer
}

#[test]
fn what_a_customer_changes_over_the_api_is_in_force_when_the_answer_comes() {
    let stack = Stack::start();
    let api = CustomerApi::of(&stack, customer(&stack));
    let subscribed = api.does("POST", "services", r#"{"service": "seal", "tier": "pro"}"#);
    assert_eq!((&subscribed["applied"], &subscribed["burst_per_s"]), (&json!(true), &json!(500)));
    let key = api.does("POST", "services/seal/keys", r#"{"name": "backend"}"#);
    let mut kept = Connection::open(stack.edge.number()).unwrap();
    let mut ask = |key: &Value| {
        let answer = kept.get(&[&line(key)]).unwrap();
        if answer.status == 200 { "200".to_owned() } else { answer.code() }
    };
    assert_eq!(ask(&key), "200");
    for (change, seen) in [
        (r#"{"enabled": false}"#, "disabled"),
        (r#"{"enabled": true, "allowlist": ["203.0.113.0/24"]}"#, "address_not_allowed"),
        (r#"{"allowlist": ["127.0.0.0/8"]}"#, "200"),
        (r#"{"allowlist": {"entries": []}}"#, "address_not_allowed"),
        (r#"{"allowlist": {"enabled": false}}"#, "200"),
        (r#"{"tier": "enterprise", "burst": false}"#, "200"),
    ] {
        let changed = api.does("PATCH", "services/seal", change);
        assert_eq!(changed["applied"], true, "{change}");
        assert_eq!(ask(&key), seen, "{change}");
    }
    for (method, what, seen) in [("POST", "/revoke", "revoked"), ("POST", "/re-enable", "200")] {
        api.does(method, &format!("{}{what}", path(&key)), "");
        assert_eq!(ask(&key), seen, "{what}");
    }
    // The old key dies by the edge's own clock.
    let new = api.does("POST", &format!("{}/rotate", path(&key)), r#"{"overlap_s": 2}"#);
    assert_eq!((ask(&key), ask(&new)), ("200".to_owned(), "200".to_owned()));
    let rotated = Instant::now();
    while ask(&key) == "200" {
        assert!(rotated.elapsed() < Duration::from_secs(10), "the old key is still good");
        std::thread::sleep(Duration::from_millis(20));
    }
    let lived = rotated.elapsed();
    assert!(lived > Duration::from_millis(900) && lived < Duration::from_millis(3_500), "{lived:?}");
    assert_eq!((ask(&key), ask(&new)), ("expired".to_owned(), "200".to_owned()));
    let other = api.does("POST", "services/seal/keys", "{}");
    let all = api.does("POST", "services/seal/keys/revoke-all", "");
    // The old one, expired, is revoked as well.
    assert_eq!((&all["revoked"], &all["applied"]), (&json!(3), &json!(true)));
    assert_eq!((ask(&new), ask(&other)), ("revoked".to_owned(), "revoked".to_owned()));
    api.does("DELETE", &path(&other), "");
    assert_eq!(ask(&other), "revoked");
    let cancelled = api.does("DELETE", "services/seal", "");
    assert_eq!(cancelled["state"], "cancellation_pending");
}

#[test]
fn a_limit_that_is_changed_over_the_api_holds_for_the_next_request() {
    let stack = Stack::start();
    let api = CustomerApi::of(&stack, customer(&stack));
    api.does("POST", "services", r#"{"service": "seal", "tier": "starter"}"#);
    let key = line(&api.does("POST", "services/seal/keys", "{}"));
    let mut kept = Connection::open(stack.edge.number()).unwrap();
    let mut admitted = |count: usize| (0..count).filter(|_| kept.get(&[&key]).unwrap().status == 200).count();
    assert!(admitted(40) <= 13, "12 a second, and none of the second before");
    // Pro has room for all of these in the same second.
    api.does("PATCH", "services/seal", r#"{"tier": "pro"}"#);
    assert_eq!(admitted(60), 60);
}

/// How long a key is good after the call that revokes it was sent; the whole bar is measured by `scripts/bench-changes`.
#[test]
fn a_key_that_its_owner_revokes_is_refused_before_the_answer_comes() {
    let stack = Stack::start();
    let customer = customer(&stack);
    let api = CustomerApi::of(&stack, customer);
    api.does("POST", "services", r#"{"service": "seal", "tier": "pro"}"#);
    let keys: Vec<Value> = (0..5).map(|_| api.does("POST", "services/seal/keys", "{}")).collect();
    let mut slowest = Duration::ZERO;
    for key in &keys {
        let (line, port) = (line(key), stack.edge.number());
        let sent = Instant::now();
        let (last, answered) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut kept = Connection::open(port).unwrap();
                let mut last = Instant::now();
                while kept.get(&[&line]).unwrap().status == 200 {
                    last = Instant::now();
                    std::thread::sleep(Duration::from_millis(1));
                }
                last
            });
            let revoked = api.does("POST", &format!("{}/revoke", path(key)), "");
            assert_eq!(revoked["applied"], true);
            let answered = Instant::now();
            (asking.join().unwrap(), answered)
        });
        // A request that was on its way when the answer came may still end after it.
        assert!(last < answered + Duration::from_millis(50), "admitted after the answer");
        slowest = slowest.max(last.saturating_duration_since(sent));
    }
    println!("the last request was admitted at most {slowest:?} after the call was sent");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}
