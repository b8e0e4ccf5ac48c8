//! Appends to the change log, in the caller's own write transaction: a change of the database and the message
//! about it are both there or both not.

use crate::db::{DbError, WriteTx, change_log, stream};
use edgeformat::Change;

/// Appends one change under the next number, and answers that number.
///
/// The number comes from a counter row in this same transaction, so that numbers have no gap and follow the
/// order of commits; a database's own sequence would give neither.
///
/// # Errors
/// [`DbError`]; the transaction must then be given up.
pub fn record(tx: &mut WriteTx<'_>, change: &Change, now_ms: i64) -> Result<u64, DbError> {
    let sequence = stream::advance(tx)?;
    change_log::insert(tx, sequence, change, now_ms)?;
    Ok(sequence)
}

/// Appends many changes in order, in few statements.
///
/// # Errors
/// [`DbError`]; the transaction must then be given up.
pub fn record_many(tx: &mut WriteTx<'_>, changes: &[Change], now_ms: i64) -> Result<(), DbError> {
    let first = stream::position(tx)?.sequence + 1;
    for _ in changes {
        stream::advance(tx)?;
    }
    change_log::insert_many(tx, first, changes, now_ms)
}
