//! 100/s means 100/s, whatever is offered, and so does burst on top of it.

use harness::Stack;
use harness::limits::accuracy::{BURST_PER_S, Customers, GUARANTEED_PER_S, Run};
use std::time::Duration;

const TOLERANCE: f64 = 0.02;
/// Below this share of the rate the load was not offered: the generator did not get its turn.
const OFFERED: f64 = 0.99;
const LATE_MS_MAX: f64 = 250.0;
/// Lines that HAProxy may have dropped: a tenth of the tolerance.
const UNLOGGED_MAX: usize = 5;
const ATTEMPTS: usize = 3;

#[test]
fn what_is_admitted_is_within_2_percent_of_the_limit_and_a_neighbour_is_not_touched() {
    let (rates, length): (&[u32], _) =
        if crate::is_full() { (&[50, 100, 200, 1_000], 30) } else { (&[200], 5) };
    let stack = Stack::start();
    let customers = Customers::new(&stack);
    for rate in rates {
        judge(&offered(&stack, &customers, *rate, Duration::from_secs(length)));
    }
}

/// A run in which the load really was offered.
fn offered(stack: &Stack, customers: &Customers, rate_per_s: u32, length: Duration) -> Run {
    for _ in 0..ATTEMPTS {
        let run = customers.drive(stack, rate_per_s, length);
        println!("{run:?}");
        let unlogged = run.plain.unlogged + run.bursting.unlogged;
        let least = run.plain.offered_per_s.min(run.bursting.offered_per_s);
        if least >= f64::from(rate_per_s) * OFFERED
            && run.latest_ms <= LATE_MS_MAX
            && unlogged <= UNLOGGED_MAX
        {
            return run;
        }
        println!("this machine did not manage to offer (or log) {rate_per_s}/s evenly: once more");
    }
    panic!("this machine is too busy to offer {rate_per_s}/s; nothing is said about the limits");
}

fn judge(run: &Run) {
    let offered = f64::from(run.rate_per_s);
    let (guaranteed, burst) = (f64::from(GUARANTEED_PER_S), f64::from(BURST_PER_S));
    for (name, driven, burst) in [("without burst", &run.plain, 0.0), ("with burst", &run.bursting, burst)] {
        let name = format!("{name}, offered {offered}/s: {driven:?}");
        is_near(driven.guaranteed_per_s, offered.min(guaranteed), guaranteed, &name);
        is_near(driven.burst_per_s, (offered - guaranteed).clamp(0.0, burst), burst, &name);
        let at_most = (guaranteed + burst) * (run.length.as_secs_f64() + 1.0);
        assert!(driven.admitted as f64 <= at_most, "more than {at_most} in all {name}");
        assert_eq!(driven.other, 0, "neither 200 nor 429 {name}");
    }
    assert_eq!(run.neighbour.served, run.neighbour.offered, "the neighbour lost requests");
}

/// Where nothing is expected, the share is one of the limit: a request that comes a little early is burst.
fn is_near(admitted: f64, expected: f64, limit: f64, what: &str) {
    let off = TOLERANCE * if expected > 0.0 { expected } else { limit };
    assert!((admitted - expected).abs() <= off, "{admitted}/s instead of {expected}/s {what}");
}
