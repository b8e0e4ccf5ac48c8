//! When all connections to the server are taken, guaranteed requests go first, and none is dropped for a burst one.

use harness::limits::saturation::{MAXCONN, QUICK_ANSWERS, SLOW_ANSWERS, Saturated, Scenario, measure};
use harness::limits::{Rates, customer_with};
use harness::{Connection, Stack};
use std::process::Command;
use std::time::Duration;

/// Both of the medians and of the 95th percentiles. What was measured is in benches/REPORT.md.
const FACTOR_MIN: f64 = 3.0;

fn with_length(scenario: Scenario<'static>) -> Scenario<'static> {
    if crate::is_full() { Scenario { length: Duration::from_secs(30), ..scenario } } else { scenario }
}

fn stack_for(scenario: &Scenario<'_>) -> Stack {
    Stack::start_with(&[(MAXCONN, &scenario.connections.to_string())])
}

#[test]
fn guaranteed_requests_wait_less_than_burst_and_a_better_burst_less_than_another() {
    let scenario = with_length(QUICK_ANSWERS);
    let found = measure(&stack_for(&scenario), &scenario);
    no_guaranteed_was_dropped(&found);
    let (guaranteed, burst) = (found.guaranteed(), found.burst());
    for share in [0.5, 0.95] {
        let [less, more] = [&guaranteed, &burst].map(|waited| waited.queue_ms(share));
        println!("share {share} waited at most {less} ms guaranteed, {more} ms burst");
        assert!(more >= FACTOR_MIN * less.max(1.0), "share {share}: {less} ms guaranteed, {more} ms burst");
    }
    let [worse, better] = [0, 2].map(|number: usize| found.customers[number].burst.queue_ms(0.5));
    assert!(better < worse, "the burst of a smaller class waited {better} ms, of a greater one {worse} ms");
}

/// Burst has all connections for longer than anybody likes to wait, and still nobody who is guaranteed is turned away.
#[test]
fn with_answers_of_one_and_a_half_seconds_no_guaranteed_request_is_dropped_for_burst() {
    let scenario = with_length(SLOW_ANSWERS);
    let found = measure(&stack_for(&scenario), &scenario);
    no_guaranteed_was_dropped(&found);
    assert!(found.burst().dropped > 0, "the server was not saturated: {found:?}");
}

/// A stack on which burst is refused when so many wait, instead of 1,000.
fn stack_with_queue_of(waiting: u32) -> Stack {
    let mut stack = Stack::prepared(&[(MAXCONN, &QUICK_ANSWERS.connections.to_string())]);
    let config = std::fs::read_to_string(harness::repository().join("haproxy/haproxy.cfg")).unwrap();
    assert!(config.contains("{ queue ge 1000 }"));
    stack.use_config(&config.replace("{ queue ge 1000 }", &format!("{{ queue ge {waiting} }}")));
    for child in ["upstream", "serve"] {
        stack.start_child(child);
    }
    stack.wait_until_healthy();
    stack.start_child("haproxy");
    stack.wait_until_ready();
    stack
}

#[test]
fn burst_beyond_those_who_may_wait_is_refused_at_once_and_not_billed() {
    let stack = stack_with_queue_of(20);
    let found = measure(&stack, &QUICK_ANSWERS);
    no_guaranteed_was_dropped(&found);
    let burst = found.burst();
    assert!(burst.dropped > 0, "{burst:?}");
    let at_once = burst.dropped_after_ms.iter().filter(|ms| **ms < 500.0).count();
    assert!(at_once * 10 > burst.dropped * 9, "{at_once} of {} at once: {burst:?}", burst.dropped);
    for customer in &found.customers {
        let expected = [customer.guaranteed.served, customer.burst.served, customer.burst.dropped];
        harness::http::wait_for("the usage", Duration::from_secs(20), || {
            let usage = stack.admin(&format!("usage --customer {}", customer.id));
            let told = ["guaranteed", "burst", "unserved"].map(|name| usage[name].as_u64());
            (told == expected.map(|count| Some(count as u64))).then_some(())
        });
    }
}

#[test]
fn who_may_not_even_wait_is_told_so_in_json_and_in_grpc() {
    let stack = stack_with_queue_of(0);
    let (customer, line) =
        customer_with(&stack, 1, Rates { guaranteed_per_s: 1, burst_per_s: 9, burst_priority: 3 });
    let mut connection = Connection::open(stack.edge.number()).unwrap();
    assert_eq!(connection.get(&[&line]).unwrap().status, 200, "guaranteed");
    let answer = connection.get(&[&line]).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (503, "no_backend"));
    assert_eq!(answer.field("retry-after"), Some("1"));

    stack.admin(&format!("service enable --customer {customer} --service grpc --tier pro"));
    stack.admin(&format!(
        "service rates --customer {customer} --service grpc --guaranteed 0 --burst 9 --priority 3"
    ));
    let line = format!("X-API-Key: {}", stack.key(customer, "grpc").0);
    let url = format!("http://127.0.0.1:{}/a.Service/Call", stack.edge.number());
    let said = Command::new("curl")
        .args(["-s", "-m", "5", "--http2-prior-knowledge", "-D", "-", "-X", "POST", "-H", &line])
        .args(["-H", "content-type: application/grpc", &url])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    for words in ["HTTP/2 200", "grpc-status: 14", "grpc-message: no_backend", "application/grpc"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

fn no_guaranteed_was_dropped(found: &Saturated) {
    let (guaranteed, burst) = (found.guaranteed(), found.burst());
    println!(
        "guaranteed {} served, {} dropped; burst {} served, {} dropped; late {:.0} ms",
        guaranteed.served, guaranteed.dropped, burst.served, burst.dropped, found.latest_ms
    );
    assert!(guaranteed.served > 0 && burst.served > 0, "{found:?}");
    assert_eq!((guaranteed.dropped, guaranteed.other, burst.other), (0, 0, 0), "{found:?}");
}
