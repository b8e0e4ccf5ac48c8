//! Rates: what is guaranteed is served, what is above is refused, and nobody pays for a neighbour.

mod accuracy;
mod crowd;
mod saturation;

use harness::edge_log::lines_of;
use harness::limits::{Rates, customer_with, set_rates};
use harness::{Answer, Connection, Stack};
use std::time::{Duration, Instant};

/// Offers `rate` requests per second on one connection for `seconds`; answers the second (from the start) in which
/// each admitted request was sent.
fn offer(port: u16, line: &str, rate_per_s: u64, seconds: u64) -> Vec<f64> {
    let mut connection = Connection::open(port).unwrap();
    let start = Instant::now();
    let mut admitted = Vec::new();
    for number in 0..rate_per_s * seconds {
        let due = Duration::from_nanos(number * 1_000_000_000 / rate_per_s);
        if let Some(wait) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(wait);
        }
        let sent = start.elapsed().as_secs_f64();
        match connection.get(&[line]).unwrap().status {
            200 => admitted.push(sent),
            429 => {}
            other => panic!("status {other}"),
        }
    }
    admitted
}

#[test]
fn a_customer_at_12_per_second_offering_48_gets_12_and_its_neighbour_all_of_its_8() {
    const SECONDS: u64 = 15;
    let stack = Stack::start();
    let [busy, calm] = [1, 2].map(|wallet| {
        let customer = stack.customer(wallet, "seal", "starter");
        format!("X-API-Key: {}", stack.key(customer, "seal").0)
    });
    let port = stack.edge.number();
    let (busy, calm) = std::thread::scope(|scope| {
        let busy = scope.spawn(|| offer(port, &busy, 48, SECONDS));
        let calm = scope.spawn(|| offer(port, &calm, 8, SECONDS));
        (busy.join().unwrap(), calm.join().unwrap())
    });
    let after_first = busy.iter().filter(|sent| **sent >= 1.0).count() as f64 / (SECONDS - 1) as f64;
    println!(
        "offered 48/s at a limit of 12/s: {after_first:.3}/s after the first second, {} in all",
        busy.len()
    );
    assert!((after_first - 12.0).abs() <= 12.0 * 0.02, "{after_first} a second instead of 12 within 2 %");
    assert!(busy.len() as u64 <= 12 * (SECONDS + 1));
    assert_eq!(calm.len() as u64, 8 * SECONDS, "the neighbour lost requests");
}

#[test]
fn burst_comes_on_top_and_all_keys_of_a_customer_share_one_rate() {
    const SECONDS: u64 = 5;
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let lines = [(); 2].map(|()| format!("X-API-Key: {}", stack.key(customer, "seal").0));
    let port = stack.edge.number();
    // 2 x 500/s offered at 200 guaranteed and 500 burst.
    let admitted: usize = std::thread::scope(|scope| {
        let offers = lines.each_ref().map(|line| scope.spawn(move || offer(port, line, 500, SECONDS).len()));
        offers.into_iter().map(|offer| offer.join().unwrap()).sum()
    });
    let per_s = admitted as f64 / SECONDS as f64;
    println!("offered 1000/s at 200 + 500: {per_s:.1}/s");
    // The first second may count one window more: HAProxy's rate slides over two windows.
    assert!(
        per_s > 700.0 * 0.95 && admitted as u64 <= 700 * (SECONDS + 1),
        "{per_s} a second instead of 700"
    );
    let log = std::fs::read_to_string(stack.log_path("haproxy")).unwrap();
    let class = |class: &str| log.matches(&format!("\"class\":\"{class}\"")).count();
    assert!(class("guaranteed") > 0 && class("burst") > class("guaranteed"), "classes in the log");
}

#[test]
fn a_changed_tier_applies_to_the_next_request() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "starter");
    let line = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    let mut connection = Connection::open(stack.edge.number()).unwrap();
    let burst = |connection: &mut Connection| {
        (0..100).filter(|_| connection.get(&[&line]).unwrap().status == 200).count()
    };
    let starter = burst(&mut connection);
    stack.admin(&format!("service enable --customer {customer} --service seal --tier enterprise"));
    let enterprise = burst(&mut connection);
    assert!(starter < 30, "{starter} of 100 at once at 12/s");
    assert_eq!(enterprise, 100, "1,000/s must be in force when the command returns");
}

const fn rates(guaranteed_per_s: u32, burst_per_s: u32) -> Rates {
    Rates { guaranteed_per_s, burst_per_s, burst_priority: 3 }
}

/// Up and down, with what was admitted just before: a lower limit counts it, too.
#[test]
fn a_changed_limit_applies_to_the_next_request() {
    let stack = Stack::start();
    let (customer, line) = customer_with(&stack, 1, rates(1, 0));
    let mut connection = Connection::open(stack.edge.number()).unwrap();
    let mut next = || connection.get(&[&line]).unwrap().status;
    assert_eq!((next(), next()), (200, 429));
    set_rates(&stack, customer, rates(1_000, 0));
    assert_eq!(next(), 200, "raised");
    // More than the lower limit, in this second.
    for _ in 0..50 {
        assert_eq!(next(), 200);
    }
    set_rates(&stack, customer, rates(5, 0));
    assert_eq!(next(), 429, "lowered");
    set_rates(&stack, customer, rates(5, 500));
    assert_eq!(next(), 200, "with burst");
}

#[test]
fn first_the_guaranteed_rate_is_used_up_then_burst_and_then_it_is_429() {
    let stack = Stack::start();
    let (_, line) = customer_with(&stack, 1, rates(10, 5));
    let mut connection = Connection::open(stack.edge.number()).unwrap();
    let answers: Vec<_> = (0..20).map(|_| connection.get(&[&line]).unwrap()).collect();
    let log = lines_of(&stack, answers.iter().filter_map(|answer| answer.field("x-request-id")));
    let class = |answer: &Answer| log[answer.field("x-request-id").unwrap()].class.clone();
    let found: Vec<_> = answers.iter().map(|answer| (answer.status, class(answer))).collect();
    let expected = [(200, "guaranteed"); 10].into_iter().chain([(200, "burst"); 5]).chain([(429, "-"); 5]);
    let expected: Vec<_> = expected.map(|(status, class)| (status, class.to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn each_service_has_a_rate_of_its_own() {
    let stack = Stack::start();
    let (customer, seal) = customer_with(&stack, 1, rates(3, 0));
    stack.admin(&format!("service enable --customer {customer} --service graphql --tier starter"));
    let graphql = format!("X-API-Key: {}", stack.key(customer, "graphql").0);
    let mut connection = Connection::open(stack.edge.number()).unwrap();
    let mut ask = |line: &str| (0..6).map(|_| connection.get(&[line]).unwrap().status).collect::<Vec<_>>();
    assert_eq!(ask(&seal), [200, 200, 200, 429, 429, 429]);
    assert_eq!(ask(&graphql), [200; 6], "12 a second, and none of them used up by Seal");
}

#[test]
fn without_a_plan_in_the_map_nothing_is_admitted() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let line = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    assert_eq!(stack.get(&[&line]).status, 200);
    stack.runtime(&format!("clear map {}/maps/plans.map", stack.state().display()));
    // The agent puts the plan back within its next rounds; until then the answer is a refusal.
    let answer = stack.get(&[&line]);
    assert!(matches!(answer.status, 200 | 429), "{answer:?}");
    harness::http::wait_for("the plan's return", Duration::from_secs(8), || {
        (stack.get(&[&line]).status == 200).then_some(())
    });
}
