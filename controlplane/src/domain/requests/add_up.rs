//! Minutes are added up in hours and days when they are over, so that a long time is few rows; old windows are forgotten.

use crate::db::{Database, DbError, WriteTx, request_stats};
use crate::domain::requests::{Window, pause_after};
use crate::domain::statistics::{HOURS_KEPT_S, MINUTE_IS_OVER_AFTER_S, MINUTES_KEPT_S};
use std::time::Instant;

/// How many minutes one transaction adds up: below 0.3 s, in which nobody else writes.
const ROWS_ADDED_MAX: u32 = 200;
/// How many rows one transaction forgets.
const ROWS_FORGOTTEN_MAX: u32 = 2_000;

/// Adds minutes that are over to their hours and days, each chunk in a transaction that also notes up to where: each request stands
/// in one window of each length, or is behind that mark. Answers how many minutes were added up.
///
/// # Errors
/// [`DbError`]; what was added before stays.
pub fn add_up(database: &mut Database, now_ms: i64) -> Result<u64, DbError> {
    let before_s = now_ms.div_euclid(1_000) - MINUTE_IS_OVER_AFTER_S;
    until_nothing_is_left(database, |tx| request_stats::add_up(tx, before_s, ROWS_ADDED_MAX))
}

/// Forgets minutes after 48 hours, once they are added up, and hours after 90 days. Days are kept. Answers how many windows.
///
/// # Errors
/// [`DbError`]; what was forgotten before is gone.
pub fn forget_old_windows(database: &mut Database, now_ms: i64) -> Result<u64, DbError> {
    let now_s = now_ms.div_euclid(1_000);
    // Whole hours and days, so that one is told in minutes or as itself.
    let minutes_s = Window::Hour.start_of(now_s - MINUTES_KEPT_S);
    let hours_s = Window::Day.start_of(now_s - HOURS_KEPT_S);
    let forget = |window, before_s| {
        move |tx: &mut WriteTx<'_>| request_stats::forget(tx, window, before_s, ROWS_FORGOTTEN_MAX)
    };
    let minutes = until_nothing_is_left(database, forget(Window::Minute, minutes_s))?;
    Ok(minutes + until_nothing_is_left(database, forget(Window::Hour, hours_s))?)
}

fn until_nothing_is_left(
    database: &mut Database,
    part: impl Fn(&mut WriteTx<'_>) -> Result<u64, DbError>,
) -> Result<u64, DbError> {
    let mut all = 0;
    loop {
        let begun = Instant::now();
        let rows = database.write(&part)?;
        all += rows;
        if rows == 0 {
            return Ok(all);
        }
        pause_after(begun.elapsed());
    }
}
