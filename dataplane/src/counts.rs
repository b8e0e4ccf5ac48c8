//! Counters of the module as a whole.

use edgeformat::Reason;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Refusals by reason, and panics. Growing only; relaxed, since each is read on its own.
#[derive(Debug)]
pub struct Counts {
    refused: [AtomicU64; 256],
    panics: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { refused: [const { AtomicU64::new(0) }; 256], panics: AtomicU64::new(0) }
    }
}

impl Counts {
    /// One request more was refused for this reason.
    pub fn refused(&self, reason: Reason) {
        if let Some(count) = self.refused.get(usize::from(reason.number())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
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
