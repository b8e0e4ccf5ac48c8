//! What sign-ins leave behind is forgotten: challenges, sessions with their refresh tokens, and answers kept for repeated
//! requests. The activity log is not: it is what an account's owner is told of it, for ever.

use crate::db::idempotency_keys::KEPT_MS;
use crate::db::{Database, DbError, WriteTx, sign_in_history};
use crate::jobs::{Done, Job, Part};
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How long challenges stay after their end: failures are counted from them.
const CHALLENGES_KEEP_MS: i64 = HOUR_MS;
/// How long sessions stay after their end: an owner who looks sees where somebody was signed in.
const SESSIONS_KEEP_MS: i64 = 30 * DAY_MS;
/// How many rows one transaction removes: some ten milliseconds.
const ROWS_A_TRANSACTION: i64 = 1_000;
/// How many sessions are taken at once: each has as many refresh tokens as it was refreshed.
const SESSIONS_AT_ONCE: i64 = 100;
/// How often what is found by an index is looked for.
const EVERY: Duration = Duration::from_secs(60);
/// How often old sessions are: those that were ended are found by reading the whole table, outside of any write transaction.
const SESSIONS_EVERY: Duration = Duration::from_secs(3_600);

/// The jobs.
pub(super) fn forget_old_sign_ins() -> [Job; 5] {
    [
        Job {
            name: "forget old sign-in challenges",
            every: EVERY,
            run: part(|tx, now_ms| {
                sign_in_history::forget_challenges(tx, now_ms - CHALLENGES_KEEP_MS, ROWS_A_TRANSACTION)
            }),
        },
        Job {
            name: "forget old sessions",
            every: SESSIONS_EVERY,
            run: Box::new(|database, now_ms| forget_sessions(database, now_ms - SESSIONS_KEEP_MS)),
        },
        Job {
            name: "forget expired refresh tokens",
            every: SESSIONS_EVERY,
            run: part(|tx, now_ms| {
                let before_ms = now_ms - SESSIONS_KEEP_MS;
                sign_in_history::forget_expired_refresh_tokens(tx, before_ms, ROWS_A_TRANSACTION)
            }),
        },
        Job {
            name: "forget expired API tokens",
            every: SESSIONS_EVERY,
            run: part(|tx, now_ms| {
                sign_in_history::forget_api_tokens(tx, now_ms - SESSIONS_KEEP_MS, ROWS_A_TRANSACTION)
            }),
        },
        Job {
            name: "forget answers to repeated requests",
            every: EVERY,
            run: part(|tx, now_ms| sign_in_history::forget_answers(tx, now_ms - KEPT_MS, ROWS_A_TRANSACTION)),
        },
    ]
}

/// Nothing brings a session back that is over, so that between looking and removing nothing changes.
fn forget_sessions(database: &mut Database, before_ms: i64) -> Result<Done, DbError> {
    let old = database.read(|tx| sign_in_history::old_sessions(tx, before_ms, SESSIONS_AT_ONCE))?;
    if old.is_empty() {
        return Ok(Done::default());
    }
    let rows = database.write(|tx| {
        let tokens = sign_in_history::forget_refresh_tokens(tx, &old, ROWS_A_TRANSACTION)?;
        if tokens == ROWS_A_TRANSACTION.unsigned_abs() {
            // There may be more of them; the sessions go after the last one.
            return Ok::<_, DbError>(tokens);
        }
        Ok(tokens + sign_in_history::forget_sessions(tx, &old)?)
    })?;
    Ok(Done { rows, more: true })
}

/// One transaction, until there is nothing left.
fn part(step: impl Fn(&mut WriteTx<'_>, i64) -> Result<u64, DbError> + Send + 'static) -> Part {
    Box::new(move |database: &mut Database, now_ms| {
        let rows = database.write(|tx| step(tx, now_ms))?;
        Ok(Done { rows, more: rows > 0 })
    })
}
