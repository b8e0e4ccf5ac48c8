//! What customers see of their requests: within ten seconds after the answer, by key, and none of anybody else's.

use harness::Stack;
use harness::customer_api::CustomerApi;
use harness::http::wait_for;
use harness::upstream::CountingUpstream;
use serde_json::Value;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(10);

fn sum(answer: &Value, field: &str) -> u64 {
    answer["items"].as_array().unwrap().iter().map(|item| item[field].as_u64().unwrap()).sum()
}

#[test]
fn a_request_is_in_the_statistics_within_10_s_of_its_answer_under_its_key_and_its_owner() {
    let upstream = CountingUpstream::start();
    let stack = Stack::start_with(&[
        ("SUIFTLY_UPSTREAM", upstream.address().as_str()),
        // It is looked every few milliseconds.
        ("SUIFTLY_API_REQUESTS_PER_MINUTE", "1000000"),
    ]);
    let (one, two) = (stack.customer(1, "seal", "pro"), stack.customer(2, "seal", "pro"));
    let scripts = [CustomerApi::of(&stack, one), CustomerApi::of(&stack, two)];
    let keys = [stack.key(one, "seal"), stack.key(one, "seal")];
    let other = stack.key(two, "seal");
    // More than once, so that it is not the moment at which it happens to be looked.
    let mut slowest = Duration::ZERO;
    for round in 1..=3_u64 {
        for (key, _) in &keys {
            let line = format!("X-API-Key: {key}");
            assert_eq!(stack.get(&[&line]).status, 200);
            assert_eq!(stack.send("GET", "/status/404", &[&line], b"").status, 404);
        }
        assert_eq!(
            stack.send("GET", "/status/500", &[&format!("X-API-Key: {}", keys[1].0)], b"").status,
            500
        );
        assert_eq!(stack.status_with(&other.0), 200);
        let answered = Instant::now();
        let summary = wait_for("the requests in the summary", LIMIT, || {
            let total = scripts[0].does("GET", "stats/summary", "")["total"].clone();
            let seen = |field: &str, count: u64| total[field].as_u64() == Some(count * round);
            (seen("guaranteed", 5) && seen("client_errors", 2) && seen("server_errors", 1)).then_some(total)
        });
        slowest = slowest.max(answered.elapsed());
        assert!(summary["p99_ms"].is_u64() && summary["sent_bytes"].as_u64().unwrap() > 200, "{summary}");
        // At another moment of the agent's cycle.
        std::thread::sleep(Duration::from_millis(700 * round));
    }
    println!("the slowest of three rounds was seen after {slowest:?}");
    assert!(slowest < LIMIT, "{slowest:?}");

    let of_key = |place: usize, path: &str| {
        scripts[0].does("GET", &format!("stats/{path}?bucket=minute&key={}", keys[place].1), "")
    };
    for (place, requests) in [(0, 2), (1, 3)] {
        assert_eq!(sum(&of_key(place, "usage"), "guaranteed"), requests * 3);
        assert_eq!(sum(&of_key(place, "latency"), "count"), requests * 3);
    }
    let usage = scripts[0].does("GET", "stats/usage?service=seal", "");
    assert_eq!((sum(&usage, "guaranteed"), sum(&usage, "client_errors")), (15, 6));
    assert_eq!(sum(&scripts[1].does("GET", "stats/usage?range=30d", ""), "guaranteed"), 3);
    let refused = scripts[1].ask("GET", &format!("stats/usage?key={}", keys[0].1), "");
    assert_eq!((refused.status, refused.code().as_str()), (404, "not_found"));
    let pending = scripts[0].does("GET", "billing/pending", "");
    // Unless a month has begun since.
    if pending["since"].as_str().unwrap() < usage["from"].as_str().unwrap() {
        assert_eq!(pending["total_micro_usd"], 1_500, "{pending}");
    }
}
