//! What this process has taken of the edges' ledgers since it began, for `/metrics`. Each copy of `suiftly serve` counts what
//! was told to it.

use crate::domain::usage::{Taken, UsageError};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The counts, for all threads.
#[derive(Default, Debug)]
pub struct UsageCounts(Mutex<UsageNumbers>);

/// One moment of them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct UsageNumbers {
    /// Readings that were taken.
    pub readings: u64,
    /// Slots in them that had something new.
    pub slots: u64,
    /// Slots that were set aside.
    pub set_aside: u64,
    /// Readings of another edge's ledger.
    pub refused: u64,
    /// Readings that were not taken for another reason.
    pub failed: u64,
    /// When a reading of each edge was taken last, unix milliseconds.
    pub heard_ms: BTreeMap<String, i64>,
}

impl UsageCounts {
    /// Counts how [`crate::domain::usage::take`] has ended.
    pub fn note(&self, edge: &str, taken: &Result<Taken, UsageError>, now_ms: i64) {
        let mut numbers = self.lock();
        match taken {
            Ok(taken) => {
                numbers.readings += 1;
                numbers.slots += taken.slots;
                numbers.set_aside += taken.set_aside;
                numbers.heard_ms.insert(edge.to_owned(), now_ms);
            }
            Err(UsageError::OtherEdge { .. }) => numbers.refused += 1,
            Err(_) => numbers.failed += 1,
        }
    }

    /// The counts now.
    pub fn numbers(&self) -> UsageNumbers {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, UsageNumbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
