//! Short windows become long ones, so that old statistics take little room.

use crate::db::request_stats::{self, StatsRow};
use crate::db::{Database, DbError};
use crate::domain::requests::{Window, pause_after};
use std::time::{Duration, Instant};

/// How long minutes are kept, then hours; days are kept.
const MINUTES_FOR: Duration = Duration::from_secs(48 * 3_600);
const HOURS_FOR: Duration = Duration::from_secs(90 * 86_400);
/// How many rows one transaction moves: below 0.3 s, in which nobody else writes.
const ROWS_MAX: i64 = 200;

/// Moves minutes that are older than 48 hours into their hours, and hours that are older than 90 days into their days, each
/// chunk in a transaction: a row is in one window or in the other, never in both or in none. Only whole hours and days are
/// moved. Answers how many rows were moved.
///
/// # Errors
/// [`DbError`]; what was moved before stays moved.
pub fn roll_up(database: &mut Database, now_ms: i64) -> Result<u64, DbError> {
    let minutes = move_older(database, now_ms, Window::Minute, Window::Hour, MINUTES_FOR)?;
    let hours = move_older(database, now_ms, Window::Hour, Window::Day, HOURS_FOR)?;
    Ok(minutes + hours)
}

fn move_older(
    database: &mut Database,
    now_ms: i64,
    from: Window,
    to: Window,
    kept: Duration,
) -> Result<u64, DbError> {
    let kept_s = i64::try_from(kept.as_secs()).unwrap_or(i64::MAX);
    let before_s = to.start_of(now_ms.div_euclid(1_000).saturating_sub(kept_s));
    let mut moved = 0;
    loop {
        let begun = Instant::now();
        let taken = database.write(|tx| {
            let rows = request_stats::take_oldest(tx, from, before_s, ROWS_MAX)?;
            let longer: Vec<StatsRow> = rows
                .iter()
                .map(|row| StatsRow {
                    window: to,
                    window_start_s: to.start_of(row.window_start_s),
                    ..row.clone()
                })
                .collect();
            request_stats::add(tx, &longer)?;
            Ok::<_, DbError>(rows.len())
        })?;
        moved += taken as u64;
        if taken == 0 {
            return Ok(moved);
        }
        pause_after(begun.elapsed());
    }
}
