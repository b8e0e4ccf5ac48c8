//! Usage grows old: minutes become hours, hours become days, and the oldest days are forgotten.
//!
//! Rows move: each request stands in one row at any time, so a sum over the table is right at any time, and what an edge reports
//! late for an old minute is a row of that minute, which moves at the next run.

use crate::config::UsageConfig;
use crate::db::usage_records::{DAY_S, MINUTE_S};
use crate::db::{Database, DbError, WriteTx, usage_cursors, usage_roll_up};
use crate::jobs::{Done, Job, Part};
use std::time::Duration;

const HOUR_S: i64 = 3_600;
/// How many rows one transaction moves or removes: some ten milliseconds.
const ROWS_A_TRANSACTION: u32 = 2_000;
/// How often these jobs look.
const EVERY: Duration = Duration::from_secs(60);

/// The jobs.
pub(super) fn jobs(keep: UsageConfig) -> [Job; 4] {
    let job = |name, run| Job { name, every: EVERY, run };
    [
        job(
            "usage minutes to hours",
            part(move |tx, now_s| {
                let before_s = whole(now_s - i64::from(keep.minutes_keep_h) * HOUR_S, HOUR_S);
                usage_roll_up::move_up(tx, MINUTE_S, HOUR_S, before_s, ROWS_A_TRANSACTION)
            }),
        ),
        job(
            "usage hours to days",
            part(move |tx, now_s| {
                let before_s = whole(now_s - i64::from(keep.hours_keep_d) * DAY_S, DAY_S);
                usage_roll_up::move_up(tx, HOUR_S, DAY_S, before_s, ROWS_A_TRANSACTION)
            }),
        ),
        job(
            "forget old usage",
            part(move |tx, now_s| {
                let before_s = whole(now_s - i64::from(keep.days_keep_d) * DAY_S, DAY_S);
                usage_roll_up::forget(tx, DAY_S, before_s, ROWS_A_TRANSACTION)
            }),
        ),
        job(
            "forget cursors of closed ledgers",
            part(|tx, _| usage_cursors::forget_closed(tx, ROWS_A_TRANSACTION)),
        ),
    ]
}

/// Only whole hours and days grow old, so that an hour is told by minutes, or as an hour, and not in two parts.
const fn whole(second: i64, length_s: i64) -> i64 {
    second - second.rem_euclid(length_s)
}

/// One transaction, until there is nothing left.
fn part(step: impl Fn(&mut WriteTx<'_>, i64) -> Result<u64, DbError> + Send + 'static) -> Part {
    Box::new(move |database: &mut Database, now_ms| {
        let rows = database.write(|tx| step(tx, now_ms / 1_000))?;
        Ok(Done { rows, more: rows > 0 })
    })
}
