//! What was told lately of usage that is not invoiced: for 30 seconds a customer is told the same again, and the database is not asked.
//! Each copy of `suiftly serve` keeps its own; nothing depends on it.

use crate::clock::Clock;
use crate::domain::pending_usage::PendingUsage;
use apikey::CustomerId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an answer holds.
pub const HOLDS_FOR: Duration = Duration::from_secs(30);
/// Of how many customers an answer is kept at most: some 10 MB.
const CUSTOMERS_MAX: usize = 10_000;

/// The answers, with the moment at which each was made. The lock is held for a look and never while the database is asked.
#[derive(Debug, Default)]
pub struct PendingCache(Mutex<BTreeMap<CustomerId, (Duration, Arc<PendingUsage>)>>);

impl PendingCache {
    /// What a customer was told within the last 30 seconds.
    pub fn get(&self, clock: &Clock, customer: CustomerId) -> Option<Arc<PendingUsage>> {
        let now = clock.steady();
        let held = self.held();
        held.get(&customer).filter(|(made, _)| is_fresh(*made, now)).map(|(_, pending)| Arc::clone(pending))
    }

    /// Keeps what a customer is told.
    pub fn put(&self, clock: &Clock, customer: CustomerId, pending: &Arc<PendingUsage>) {
        let now = clock.steady();
        let mut held = self.held();
        if held.len() >= CUSTOMERS_MAX {
            held.retain(|_, (made, _)| is_fresh(*made, now));
        }
        // More than this many customers in 30 seconds are answered from the database.
        if held.len() < CUSTOMERS_MAX || held.contains_key(&customer) {
            held.insert(customer, (now, Arc::clone(pending)));
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<CustomerId, (Duration, Arc<PendingUsage>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(made: Duration, now: Duration) -> bool {
    now.saturating_sub(made) < HOLDS_FOR
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn pending(as_of_ms: i64) -> Arc<PendingUsage> {
        Arc::new(PendingUsage { since_ms: 0, as_of_ms, items: Vec::new() })
    }

    #[test]
    fn an_answer_holds_for_30_s_and_so_many_are_kept() {
        let (cache, clock) = (PendingCache::default(), Clock::standing_at(1_795_251_900_000));
        let customer = |id| CustomerId::new(id).unwrap();
        for id in 1..=10_000 {
            cache.put(&clock, customer(id), &pending(i64::from(id)));
        }
        cache.put(&clock, customer(10_001), &pending(7));
        assert_eq!(cache.get(&clock, customer(10_001)), None);
        clock.advance(Duration::from_millis(29_999));
        assert_eq!(cache.get(&clock, customer(5)).unwrap().as_of_ms, 5);
        clock.advance(Duration::from_millis(1));
        assert_eq!(cache.get(&clock, customer(5)), None);
        cache.put(&clock, customer(10_001), &pending(7));
        assert_eq!(cache.get(&clock, customer(10_001)).unwrap().as_of_ms, 7);
        assert_eq!(cache.held().len(), 1, "what holds no more has gone");
    }
}
