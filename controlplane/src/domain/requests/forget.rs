//! What was kept long enough goes: callers' addresses above all.

use crate::db::{Database, DbError, request_logs};
use crate::domain::requests::pause_after;
use std::time::{Duration, Instant};

/// How many rows one transaction deletes: below 0.3 s, in which nobody else writes.
const ROWS_MAX: i64 = 2_000;

/// Deletes the requests that began longer than `kept` ago, chunk by chunk, and answers how many.
///
/// # Errors
/// [`DbError`]; what was deleted before stays deleted.
pub fn forget_old(database: &mut Database, now_ms: i64, kept: Duration) -> Result<u64, DbError> {
    let before_ms = now_ms.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let mut forgotten = 0;
    loop {
        let begun = Instant::now();
        let deleted = database.write(|tx| request_logs::delete_before(tx, before_ms, ROWS_MAX))?;
        forgotten += deleted;
        if deleted == 0 {
            return Ok(forgotten);
        }
        pause_after(begun.elapsed());
    }
}
