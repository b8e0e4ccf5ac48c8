//! When all connections to the server are taken, guaranteed requests go first, and none is dropped for a burst one.

use harness::Stack;
use harness::limits::saturation::{MAXCONN, QUICK_ANSWERS, SLOW_ANSWERS, Saturated, Scenario, measure};
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

/// With a bound of 20 instead of 1,000, so that it is met.
#[test]
fn burst_beyond_those_who_may_wait_is_refused_at_once_and_not_billed() {
    let mut stack = Stack::prepared(&[(MAXCONN, &QUICK_ANSWERS.connections.to_string())]);
    let config = std::fs::read_to_string(harness::repository().join("haproxy/haproxy.cfg")).unwrap();
    assert!(config.contains("{ queue ge 1000 }"));
    stack.use_config(&config.replace("{ queue ge 1000 }", "{ queue ge 20 }"));
    for child in ["upstream", "serve"] {
        stack.start_child(child);
    }
    stack.wait_until_healthy();
    stack.start_child("haproxy");
    stack.wait_until_ready();

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

fn no_guaranteed_was_dropped(found: &Saturated) {
    let (guaranteed, burst) = (found.guaranteed(), found.burst());
    println!(
        "guaranteed {} served, {} dropped; burst {} served, {} dropped; late {:.0} ms",
        guaranteed.served, guaranteed.dropped, burst.served, burst.dropped, found.latest_ms
    );
    assert!(guaranteed.served > 0 && burst.served > 0, "{found:?}");
    assert_eq!((guaranteed.dropped, guaranteed.other, burst.other), (0, 0, 0), "{found:?}");
}
