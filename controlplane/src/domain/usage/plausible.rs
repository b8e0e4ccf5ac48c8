//! What an edge is believed. The bounds are wide: they are there for a stolen token and a broken edge, not for a customer, whom
//! HAProxy limits. What is beyond them is kept, so that a bound that was too narrow loses nothing.

use crate::db::usage_set_aside::Why;
use edgeformat::Plan;
use edgeformat::ledger::Counters;

/// How many times the rate of the largest plan is believed: a reload of HAProxy forgets what it has counted in a second.
const TIMES_THE_RATE: u64 = 2;
/// How much longer than it was is believed, in milliseconds: readings are seconds apart, and clocks differ.
const GRACE_MS: i64 = 60_000;
/// More than anybody counts to: a million a second for nine years.
const COUNT_MAX: u64 = 1 << 48;
/// How long an edge may have counted before it was made known, in milliseconds.
const BEFORE_KNOWN_MAX_MS: i64 = 86_400_000;

/// What one customer can have been served in a time.
pub(super) struct Bound {
    per_s: u64,
}

impl Bound {
    /// By the largest plan, and not by the customer's own: it may have had a larger one when it was counted.
    pub(super) fn of(plans: &[Plan]) -> Self {
        let rate = |plan: &Plan| u64::from(plan.guaranteed_per_s) + u64::from(plan.burst_per_s);
        Self { per_s: plans.iter().map(rate).max().unwrap_or(0) }
    }

    /// Whether `new` is believed, counted since `since_ms` (unix milliseconds): the moment from which the next counts of the slot
    /// are believed, or why not.
    ///
    /// A leaky bucket: what goes beyond the time that has passed is taken from the grace, and comes back with the time. So
    /// many small steps are not believed to be more than one large one.
    pub(super) fn judge(
        &self,
        new: &Counters,
        has_customer: bool,
        since_ms: i64,
        now_ms: i64,
    ) -> Result<i64, Why> {
        if !has_customer {
            return Err(Why::UnknownCustomer);
        }
        if new.0.iter().any(|count| *count > COUNT_MAX) {
            return Err(Why::NoCount);
        }
        let (guaranteed, burst) = (new.billed_guaranteed(), new.billed_burst());
        // Less than nothing is believed in the same bounds: outcomes come after what they belong to, but never without it.
        let most =
            [guaranteed, burst, guaranteed.saturating_add(burst)].map(i64::unsigned_abs).into_iter().max();
        let rate_per_s = TIMES_THE_RATE.saturating_mul(self.per_s);
        let needed_ms = match most.unwrap_or(0) {
            0 => 0,
            _ if rate_per_s == 0 => u64::MAX,
            most => most.saturating_mul(1_000).div_ceil(rate_per_s),
        };
        let until_ms = since_ms.saturating_add(i64::try_from(needed_ms).unwrap_or(i64::MAX));
        if until_ms > now_ms.saturating_add(GRACE_MS) { Err(Why::TooMuch) } else { Ok(until_ms.max(now_ms)) }
    }
}

/// The earliest moment that the counts of a new ledger can come from, unix milliseconds.
///
/// It is the edge that says when its ledger was made. It is believed back to the moment when the ledger before it was reported
/// for the first time, and for its first ledger back to a day before the edge was made known: so the times of all ledgers of an
/// edge together are not longer than the edge has been there, however many it reports.
pub(super) fn counts_from_ms(
    created_at_ms: i64,
    last_begun_ms: Option<i64>,
    edge_known_ms: i64,
    now_ms: i64,
) -> i64 {
    let from_ms = match last_begun_ms {
        Some(begun_ms) => created_at_ms.max(begun_ms),
        // The earlier of both: the clock of the edge may be ahead.
        None => created_at_ms.min(edge_known_ms).max(edge_known_ms.saturating_sub(BEFORE_KNOWN_MAX_MS)),
    };
    from_ms.min(now_ms)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use edgeformat::PlanNumber;
    use edgeformat::ledger::Counter;

    const NOW_MS: i64 = 1_795_000_000_000;

    fn bound() -> Bound {
        let plan = |number, guaranteed_per_s, burst_per_s| Plan {
            number: PlanNumber::new(number).unwrap(),
            guaranteed_per_s,
            burst_per_s,
            burst_priority: 0,
        };
        Bound::of(&[plan(1, 12, 0), plan(2, 200, 500), plan(3, 300, 0)])
    }

    fn counters(counts: &[(Counter, u64)]) -> Counters {
        let mut counters = Counters::default();
        counts.iter().for_each(|(counter, count)| counters.0[counter.number()] = *count);
        counters
    }

    fn objection_of(bound: &Bound, new: &Counters, has_customer: bool, since_ms: i64) -> Option<Why> {
        bound.judge(new, has_customer, since_ms, NOW_MS).err()
    }

    #[test]
    fn many_small_steps_are_not_believed_to_be_more_than_one_large_one() {
        let (bound, mut since_ms) = (bound(), NOW_MS);
        // A second's worth each, and no time passes.
        let step = counters(&[(Counter::Admitted, 1_400)]);
        for number in 1..=60 {
            since_ms = bound.judge(&step, true, since_ms, NOW_MS).unwrap();
            assert_eq!(since_ms, NOW_MS + number * 1_000);
        }
        assert_eq!(bound.judge(&step, true, since_ms, NOW_MS), Err(Why::TooMuch));
        // The grace comes back with the time, and is never more than that.
        assert_eq!(bound.judge(&step, true, since_ms, NOW_MS + 1_000), Ok(since_ms + 1_000));
        assert_eq!(bound.judge(&step, true, since_ms, NOW_MS + 500_000), Ok(NOW_MS + 500_000));
    }

    #[test]
    fn twice_the_largest_plan_and_a_minute_more_is_believed() {
        let (bound, since_ms) = (bound(), NOW_MS - 10_000);
        let most = 2 * 700 * (10 + 60);
        let objection = |counts: &[(Counter, u64)]| objection_of(&bound, &counters(counts), true, since_ms);
        assert_eq!(objection(&[(Counter::Admitted, most)]), None);
        assert_eq!(objection(&[(Counter::Admitted, most + 1)]), Some(Why::TooMuch));
        assert_eq!(objection(&[(Counter::Admitted, most + 1), (Counter::Burst, most)]), Some(Why::TooMuch));
        // What is not billed may be as much as it likes, as far as it is a count.
        assert_eq!(objection(&[(Counter::Admitted, 1 << 40), (Counter::RateLimited, 1 << 40)]), None);
        assert_eq!(objection(&[(Counter::Revoked, 1 << 48)]), None);
        assert_eq!(objection(&[(Counter::Revoked, (1 << 48) + 1)]), Some(Why::NoCount));
        assert_eq!(objection(&[(Counter::Admitted, u64::MAX)]), Some(Why::NoCount));
        // Nor can a bill be made smaller than it is.
        assert_eq!(objection(&[(Counter::RateLimited, most)]), None);
        assert_eq!(objection(&[(Counter::RateLimited, most + 1)]), Some(Why::TooMuch));
        assert_eq!(objection(&[(Counter::UnservedBurst, most + 1)]), Some(Why::TooMuch));
        let shifted = [(Counter::UnservedBurst, most + 1), (Counter::Admitted, most + 1)];
        assert_eq!(objection(&shifted), Some(Why::TooMuch));
        let one = counters(&[(Counter::Admitted, 1)]);
        assert_eq!(objection_of(&bound, &one, false, since_ms), Some(Why::UnknownCustomer));
        assert_eq!(objection_of(&Bound::of(&[]), &one, true, since_ms), Some(Why::TooMuch));
        let ahead_ms = NOW_MS + 50_000;
        assert_eq!(objection_of(&bound, &one, true, ahead_ms), None, "a clock that went back a little");
    }

    #[test]
    fn the_ledgers_of_an_edge_together_are_not_older_than_it() {
        let known_ms = NOW_MS - 5_000_000_000;
        let from = |created_at_ms, last| counts_from_ms(created_at_ms, last, known_ms, NOW_MS);
        assert_eq!(from(NOW_MS - 10, None), known_ms);
        assert_eq!(from(known_ms - 5, None), known_ms - 5);
        assert_eq!(from(0, None), known_ms - BEFORE_KNOWN_MAX_MS);
        assert_eq!(from(0, Some(NOW_MS - 7)), NOW_MS - 7);
        assert_eq!(from(NOW_MS - 3, Some(NOW_MS - 7)), NOW_MS - 3);
        assert_eq!(from(i64::MAX, Some(NOW_MS - 7)), NOW_MS);
    }
}
