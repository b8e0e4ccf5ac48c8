//! With 10,000 customers each one's limit is its own.

use harness::limits::crowd::{Crowd, HUNDRED, Turn, TurnResult};
use std::time::Duration;

const CUSTOMERS: usize = 10_000;
const BACKGROUND_PER_S: f64 = 340.0;
const ABOVE_MAX: f64 = 1.05;
/// A limit that admits clearly less than it says would be wrong as well.
const BELOW_MIN: f64 = 0.9;
/// Of twice the limit, below which the load was not offered.
const OFFERED: f64 = 1.9;

#[test]
fn of_10_000_customers_those_at_twice_their_limit_get_their_limit_and_all_others_everything() {
    let (turns, length): (&[Turn], _) = if crate::is_full() { (&HUNDRED, 30) } else { (&[[40, 1, 0]], 5) };
    let mut crowd = Crowd::start(CUSTOMERS);
    for turn in turns {
        judge(&crowd.drive(*turn, BACKGROUND_PER_S, Duration::from_secs(length)));
    }
}

fn judge(found: &TurnResult) {
    println!(
        "{} driven, {:.0}/s sent in all, others {} of which {} not served, late {:.1} ms",
        found.driven.len(),
        found.sent_per_s,
        found.background,
        found.background_unserved,
        found.latest_ms
    );
    for driven in &found.driven {
        assert!(driven.admitted <= ABOVE_MAX, "above the limit: {driven:?}");
        if driven.offered < OFFERED {
            println!("this machine did not manage to offer twice the limit: {driven:?}");
        } else {
            assert!(driven.admitted >= BELOW_MIN, "below the limit: {driven:?}");
        }
    }
    // However starved the generator was, most of it must have been offered, or the above says nothing.
    let offered = found.driven.iter().filter(|driven| driven.offered >= OFFERED).count();
    assert!(offered * 2 > found.driven.len(), "this machine is too busy to offer twice the limits");
    assert_eq!((found.other, found.background_unserved), (0, 0), "nobody else lost a request");
}
