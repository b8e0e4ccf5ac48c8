//! A panic must neither end HAProxy nor let a request through.

use crate::edge::Edge;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; a panic in it is counted and answered with `otherwise`.
///
/// Unwind-safe to assert: what a request writes are single atomic counters, and tables that a command leaves half
/// changed stay locked away by the poisoned lock.
pub fn guarded<T>(edge: &Edge, otherwise: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        edge.counts.panicked();
        otherwise
    })
}
