//! The only place of the module that reads the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the module takes the time from.
#[derive(Debug)]
pub enum Clock {
    /// The system's clock.
    System,
    /// A second that a test sets.
    Manual(AtomicU64),
}

impl Clock {
    /// Now, in unix seconds. A system clock before 1970 reads as 0.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
    pub fn now_s(&self) -> u64 {
        match self {
            Self::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            Self::Manual(second) => second.load(Ordering::Relaxed),
        }
    }
}
