//! Usage grows old: minutes become hours, hours become days, and the oldest days are forgotten.
//!
//! Rows move: each request stands in one row at any time, so a sum over the table is right at any time, and what an edge reports
//! late for an old minute is a row of that minute, which moves at the next run. Beside that, statistics have sums of their own.

use crate::config::UsageConfig;
use crate::db::usage_records::{DAY_S, MINUTE_S};
use crate::db::{Database, DbError, WriteTx, usage_cursors, usage_roll_up, usage_sums};
use crate::domain::statistics;
use crate::jobs::{Done, Job, Part};
use std::time::Duration;

const HOUR_S: i64 = 3_600;
/// How many rows one transaction moves or removes: some ten milliseconds.
const ROWS_A_TRANSACTION: u32 = 2_000;
/// How many minutes one transaction adds up. More, since each looks through the whole minute for where it begins.
const ROWS_ADDED_UP: u32 = 10_000;
/// How often these jobs look.
const EVERY: Duration = Duration::from_secs(60);

/// The jobs.
pub(super) fn jobs(keep: UsageConfig) -> [Job; 6] {
    let job = |name, run| Job { name, every: EVERY, run };
    [
        job(
            "usage minutes added up",
            part(|tx, now_s| {
                usage_sums::add_up(tx, now_s - statistics::MINUTE_IS_OVER_AFTER_S, ROWS_ADDED_UP)
            }),
        ),
        job(
            "usage minutes to hours",
            part(move |tx, now_s| {
                // What has moved cannot be added up any more.
                let added_up_s = whole(usage_sums::mark(tx)?.window_start_s, HOUR_S);
                let before_s = whole(now_s - i64::from(keep.minutes_keep_h) * HOUR_S, HOUR_S).min(added_up_s);
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
            "forget old sums of usage",
            part(move |tx, now_s| {
                let hours_s = whole(now_s - statistics::HOURS_KEPT_S, DAY_S);
                let days_s = whole(now_s - i64::from(keep.days_keep_d) * DAY_S, DAY_S);
                Ok(usage_sums::forget(tx, HOUR_S, hours_s, ROWS_A_TRANSACTION)?
                    + usage_sums::forget(tx, DAY_S, days_s, ROWS_A_TRANSACTION)?)
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
