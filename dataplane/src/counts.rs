//! Counters of the module as a whole.

use crate::usage::Outcome;
use apikey::CustomerId;
use edgeformat::Reason;
use edgeformat::ledger::Counter;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// In how many places admitted requests are counted, so that threads seldom meet in one; a power of two.
const SHARDS: usize = 16;

/// Refusals by reason, what was admitted and what became of it, and panics: of this process alone, since it was loaded.
/// Growing only; relaxed, since each is read on its own.
#[derive(Debug)]
pub struct Counts {
    refused: [AtomicU64; 256],
    admitted: [Shard; SHARDS],
    burst: AtomicU64,
    rejected: AtomicU64,
    unserved: AtomicU64,
    panics: AtomicU64,
}

/// A cache line of its own.
#[derive(Default, Debug)]
#[repr(align(64))]
struct Shard(AtomicU64);

impl Default for Counts {
    fn default() -> Self {
        Self {
            refused: [const { AtomicU64::new(0) }; 256],
            admitted: Default::default(),
            burst: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            unserved: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }
}

impl Counts {
    /// One request more was refused for this reason.
    pub fn refused(&self, reason: Reason) {
        if let Some(count) = self.refused.get(usize::from(reason.number())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One request more of this customer was let through.
    #[inline]
    pub fn admitted(&self, customer: CustomerId) {
        if let Some(shard) = self.admitted.get(customer.get() as usize & (SHARDS - 1)) {
            shard.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// This became of a request more that was let through.
    pub fn outcome(&self, outcome: Outcome) {
        let (count, also) = match outcome {
            Outcome::Burst => (&self.burst, None),
            Outcome::Unserved { .. } => (&self.unserved, None),
            Outcome::Rejected(Counter::RateLimited) => (&self.rejected, Some(Reason::RateLimited)),
            Outcome::Rejected(Counter::TooManyFailures) => (&self.rejected, Some(Reason::TooManyFailures)),
            Outcome::Rejected(_) => (&self.rejected, None),
            Outcome::Answered { .. } => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(reason) = also {
            self.refused(reason);
        }
    }

    /// Requests let through so far.
    pub fn admitted_in_all(&self) -> u64 {
        self.admitted.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum()
    }

    /// Of those, so far: served above the guaranteed rate, refused after all, answered by HAProxy itself.
    pub fn outcomes(&self) -> [u64; 3] {
        [&self.burst, &self.rejected, &self.unserved].map(|count| count.load(Ordering::Relaxed))
    }

    /// One panic more was caught.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Panics caught so far.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Refusals so far by reason's code; reasons that never came are left out.
    pub fn refused_by_code(&self) -> BTreeMap<String, u64> {
        let count = |reason: Reason| {
            let count = self.refused.get(usize::from(reason.number()));
            (reason.code().to_owned(), count.map_or(0, |count| count.load(Ordering::Relaxed)))
        };
        Reason::all().map(count).filter(|(_, count)| *count > 0).collect()
    }
}
