//! What an edge is believed. The bounds are wide: they are there for a stolen token and a broken edge, not for a customer, whom
//! HAProxy limits. What is beyond them is kept, so that a bound that was too narrow loses nothing.

use crate::db::usage_set_aside::Why;
use edgeformat::Plan;
use edgeformat::ledger::Counters;

/// How many times the rate of the largest plan is believed: a reload of HAProxy forgets what it has counted in a second.
const TIMES_THE_RATE: u64 = 2;
/// How much longer than it was is believed, in seconds: readings are seconds apart, and clocks differ.
const GRACE_S: u64 = 60;
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

    /// Why a slot is not believed, of which `new` was counted since `since_ms`, and `whole` since `counts_from_ms` (unix
    /// milliseconds); none if it is. Both are judged: many small steps would add up to more than one large one may be.
    pub(super) fn objection(
        &self,
        (new, since_ms): (&Counters, i64),
        (whole, counts_from_ms): (&Counters, i64),
        has_customer: bool,
        now_ms: i64,
    ) -> Option<Why> {
        if !has_customer {
            return Some(Why::UnknownCustomer);
        }
        if whole.0.iter().any(|count| *count > COUNT_MAX) {
            return Some(Why::NoCount);
        }
        let is_too_much =
            self.is_too_much(new, since_ms, now_ms) || self.is_too_much(whole, counts_from_ms, now_ms);
        is_too_much.then_some(Why::TooMuch)
    }

    fn is_too_much(&self, new: &Counters, since_ms: i64, now_ms: i64) -> bool {
        let span_s = u64::try_from(now_ms.saturating_sub(since_ms)).unwrap_or(0).div_ceil(1_000);
        let most = TIMES_THE_RATE.saturating_mul(self.per_s).saturating_mul(span_s.saturating_add(GRACE_S));
        let (guaranteed, burst) = (new.billed_guaranteed(), new.billed_burst());
        // Less than nothing is believed in the same bounds: outcomes come after what they belong to, but never without it.
        [guaranteed, burst, guaranteed.saturating_add(burst)]
            .into_iter()
            .any(|billed| billed.unsigned_abs() > most)
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

    /// Of a slot whose first count this is.
    fn objection_of(bound: &Bound, new: &Counters, has_customer: bool, since_ms: i64) -> Option<Why> {
        bound.objection((new, since_ms), (new, since_ms), has_customer, NOW_MS)
    }

    #[test]
    fn many_small_steps_are_not_believed_to_be_more_than_one_large_one() {
        let (bound, begun_ms) = (bound(), NOW_MS - 10_000);
        let most = 2 * 700 * (10 + 60);
        let step = counters(&[(Counter::Admitted, 1_000)]);
        let objection = |whole| {
            bound.objection(
                (&step, NOW_MS - 20),
                (&counters(&[(Counter::Admitted, whole)]), begun_ms),
                true,
                NOW_MS,
            )
        };
        assert_eq!((objection(most), objection(most + 1)), (None, Some(Why::TooMuch)));
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
        assert_eq!(objection_of(&bound, &one, true, i64::MAX), None, "a clock that went back");
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
