//! What happens to services when its time has come: a downgrade, the end of a cancelled one, its removal.

use crate::db::services::ServiceRow;
use crate::db::{Database, WriteTx, lock_customer, services};
use crate::domain::services::moves::{Event, Standing};
use crate::domain::services::store;
use crate::domain::{CustomerStatus, DomainError, ServiceState};
use edgeformat::PolicyKey;

const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// How long a cancelled service is kept, switched off, after its last period (DESIGN section 7).
pub const KEPT_AFTER_END_MS: i64 = 7 * DAY_MS;
/// How long after that it cannot be had again.
pub const COOLING_DOWN_MS: i64 = 7 * DAY_MS;
/// The most steps that one service is behind by: it is looked at again each day while it waits for a suspension's end.
const STEPS_MAX: u32 = 64;
/// How many services one transaction takes.
const SERVICES_A_TRANSACTION: i64 = 100;

/// Lets happen what is due at a moment, the earliest first; answers to how many services something happened, and whether there may
/// be more.
///
/// # Errors
/// [`DomainError`]; then nothing of this part has happened.
pub fn let_happen(database: &mut Database, now_ms: i64) -> Result<(u64, bool), DomainError> {
    let due = database.read(|tx| services::due(tx, now_ms, SERVICES_A_TRANSACTION))?;
    if due.is_empty() {
        return Ok((0, false));
    }
    let happened = database.write(|tx| {
        let mut happened = 0;
        for key in &due {
            happened += u64::from(one(tx, *key, now_ms)?);
        }
        Ok::<_, DomainError>(happened)
    })?;
    Ok((happened, happened > 0 && due.len() as i64 == SERVICES_A_TRANSACTION))
}

/// Lets happen what is due for one service, before anybody changes it: it has happened, though the job has not come by yet.
///
/// # Errors
/// [`DomainError`].
pub(in crate::domain) fn catch_up(
    tx: &mut WriteTx<'_>,
    key: PolicyKey,
    now_ms: i64,
) -> Result<(), DomainError> {
    for _ in 0..STEPS_MAX {
        if !one(tx, key, now_ms)? {
            break;
        }
    }
    Ok(())
}

fn one(tx: &mut WriteTx<'_>, key: PolicyKey, now_ms: i64) -> Result<bool, DomainError> {
    let Some(lock) = lock_customer(tx, key.customer)? else { return Ok(false) };
    // It may have changed since it was found.
    let Some(before) = services::find(tx, key)? else { return Ok(false) };
    let Some(at_ms) = before.pending_until_ms.filter(|at_ms| *at_ms <= now_ms) else { return Ok(false) };
    if before.state == ServiceState::NotProvisioned {
        // It can be had again: that is no change of the account, and nobody need look at it any more.
        let row = ServiceRow { pending_until_ms: None, version: before.version + 1, ..before };
        services::update(tx, &lock, &row, now_ms)?;
        return Ok(true);
    }
    // Nothing of a closed account changes any more.
    let row = if lock.status() == CustomerStatus::Closed {
        ServiceRow { next_tier: None, pending_until_ms: None, ..before }
    } else {
        after(&before, at_ms)
    };
    Ok(store(tx, &lock, Some(&before), row, now_ms)?.changed)
}

fn after(before: &ServiceRow, at_ms: i64) -> ServiceRow {
    let standing = Standing::of(before);
    if let Some(tier) = before.next_tier {
        // A list that is too long for it stays as it is, and cannot grow: to cut it would close what its owner needs open.
        return ServiceRow { tier, next_tier: None, pending_until_ms: None, ..*before };
    }
    if let Ok(ended) = standing.after(Event::EndPeriod) {
        return ServiceRow { pending_until_ms: Some(at_ms + KEPT_AFTER_END_MS), ..ended.write_to(*before) };
    }
    if standing.is_cancelled() {
        return match standing.after(Event::Remove) {
            Ok(removed) => ServiceRow {
                pending_until_ms: Some(at_ms + COOLING_DOWN_MS),
                paid: false,
                ..removed.write_to(*before)
            },
            // It waits for the suspension's end, and is looked at again a day later.
            Err(_) => ServiceRow { pending_until_ms: Some(at_ms + DAY_MS), ..*before },
        };
    }
    ServiceRow { pending_until_ms: None, ..*before }
}
