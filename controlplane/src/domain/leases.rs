//! Leases: of several processes on one database one does something, as long as it goes on saying so.
//!
//! A lease ends by the clock. Two processes whose clocks differ, or of which one has stood still for a while, can both believe for
//! a moment that they have it: what is done under a lease must bear that.

use crate::db::leases::{self, LeaseRow};
use crate::db::{Database, DbError};

/// Takes a lease for `length_ms` from now on, or goes on having it; `false` while somebody else has it.
///
/// # Errors
/// [`DbError`].
pub fn take(
    database: &mut Database,
    name: &str,
    holder: &str,
    length_ms: i64,
    now_ms: i64,
) -> Result<bool, DbError> {
    // Those who wait look often, and looking keeps no writer waiting.
    let found = database.read(|tx| leases::find(tx, name))?;
    if is_of_another(found.as_ref(), holder, length_ms, now_ms) {
        return Ok(false);
    }
    database.write(|tx| {
        let found = leases::find(tx, name)?;
        if is_of_another(found.as_ref(), holder, length_ms, now_ms) {
            return Ok(false);
        }
        let lease = LeaseRow { holder: holder.to_owned(), until_ms: now_ms.saturating_add(length_ms) };
        leases::store(tx, name, &lease).map(|()| true)
    })
}

/// Gives a lease back; nothing happens where somebody else has it.
///
/// # Errors
/// [`DbError`].
pub fn release(database: &mut Database, name: &str, holder: &str) -> Result<(), DbError> {
    database.write(|tx| leases::remove(tx, name, holder))
}

/// One that ends later than any that is taken now was taken by a clock that is far ahead, and would keep everybody waiting.
fn is_of_another(found: Option<&LeaseRow>, holder: &str, length_ms: i64, now_ms: i64) -> bool {
    found.is_some_and(|lease| {
        let left_ms = lease.until_ms.saturating_sub(now_ms);
        lease.holder != holder && left_ms > 0 && left_ms <= length_ms.saturating_mul(2)
    })
}
