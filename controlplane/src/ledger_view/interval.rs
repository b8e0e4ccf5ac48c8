//! One stretch of time, and what was counted in it.

use crate::clock::Clock;
use crate::ledger_view::{Counted, LedgerFiles};
use edgeformat::ledger::Counters;
use std::time::{Duration, Instant};

/// What was counted between two looks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interval {
    /// When it ended, unix milliseconds.
    pub ended_at_ms: i64,
    /// How long it was, measured.
    pub took: Duration,
    /// By whom.
    pub counted: Counted,
}

/// Looks at the ledgers again and again.
#[derive(Debug)]
pub struct Observer {
    files: LedgerFiles,
    clock: Clock,
    looked: Instant,
}

/// A column of the views.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Figure {
    /// Let through by the module.
    Admitted,
    /// As billed at the guaranteed rate. Negative where an outcome has come for a request of an interval before.
    Guaranteed,
    /// As billed above it.
    Burst,
    /// Let through, then refused by HAProxy.
    Rejected,
    /// Refused by the module, knowing whose they were.
    Refused,
    /// Let through, but no server answered; not billed.
    Unserved,
}

impl Observer {
    /// Looks from now on.
    pub fn new(files: LedgerFiles, clock: Clock) -> Self {
        let looked = clock.instant();
        Self { files, clock, looked }
    }

    /// What was counted since the last call, or since the beginning.
    pub fn next_interval(&mut self) -> Interval {
        let now = self.clock.instant();
        let took = now.saturating_duration_since(self.looked);
        self.looked = now;
        Interval { ended_at_ms: self.clock.now_ms(), took, counted: self.files.look() }
    }
}

impl Interval {
    /// The sum over all customers and services; without what was counted for nobody.
    pub fn total(&self) -> Counters {
        self.counted.by_key.values().fold(Counters::default(), |sum, counters| sum.plus(counters))
    }

    /// A count as a rate, per second.
    pub fn per_s(&self, count: i64) -> f64 {
        // Counts of one interval are far below 2^53.
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }

    /// The same for programs: with at most three digits after the point.
    pub fn per_s_rounded(&self, count: i64) -> f64 {
        (self.per_s(count) * 1_000.0).round() / 1_000.0
    }
}

impl Figure {
    /// All of them, as they stand from left to right.
    pub const ALL: [Self; 6] =
        [Self::Admitted, Self::Guaranteed, Self::Burst, Self::Rejected, Self::Refused, Self::Unserved];

    /// Its heading.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Guaranteed => "guaranteed",
            Self::Burst => "burst",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Unserved => "unserved",
        }
    }

    /// Of these counters.
    pub fn of(self, counters: &Counters) -> i64 {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        match self {
            Self::Admitted => count(counters.admitted()),
            Self::Guaranteed => counters.billed_guaranteed(),
            Self::Burst => counters.billed_burst(),
            Self::Rejected => count(counters.rejected()),
            Self::Refused => count(counters.refused()),
            Self::Unserved => count(counters.unserved()),
        }
    }
}
