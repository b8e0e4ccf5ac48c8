//! Making room for others: while we write to the database nobody else does.

use std::time::Duration;

const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Rests for half as long as a write took. Who waits for SQLite's lock only looks now and then whether it is free: without a pause
/// it would find it taken again and again, and a revocation would wait for seconds.
pub fn pause_after(write: Duration) {
    std::thread::sleep((write / 2).clamp(PAUSE_MIN, PAUSE_MAX));
}
