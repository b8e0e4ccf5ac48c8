//! What was not believed, and what a person decides about it.

use crate::db::usage_set_aside::{self, Decision, SetAsideRow, Why};
use crate::db::{Database, DbError, customers, usage_records};
use crate::domain::DomainError;

/// The most that [`list`] answers.
pub const LISTED_MAX: u32 = 1_000;

/// What nobody has decided on, the oldest first, and how many there are in all.
///
/// # Errors
/// [`DbError`].
pub fn list(database: &mut Database) -> Result<(Vec<SetAsideRow>, i64), DbError> {
    database
        .read(|tx| Ok((usage_set_aside::undecided(tx, LISTED_MAX)?, usage_set_aside::count_undecided(tx)?)))
}

/// Decides: what is accepted is added to the minute that it belongs to, once; what is discarded stays in the table, and counts
/// nowhere. Deciding the same again changes nothing. `None` where there is none with this number.
///
/// # Errors
/// [`DomainError::Refused`] where it was decided otherwise, or cannot be accepted.
pub fn decide(
    database: &mut Database,
    id: i64,
    decision: Decision,
    now_ms: i64,
) -> Result<Option<SetAsideRow>, DomainError> {
    database.write(|tx| {
        let Some(row) = usage_set_aside::find(tx, id)? else { return Ok(None) };
        match row.decision {
            Some(before) if before == decision => return Ok(Some(row)),
            Some(before) => {
                return Err(DomainError::Refused(format!("number {id} is {} already", before.word())));
            }
            None => {}
        }
        if decision == Decision::Accepted {
            if row.why == Why::NoCount.word() {
                return Err(DomainError::Refused("no edge counts to such a number; discard it".to_owned()));
            }
            if customers::find(tx, row.key.customer)?.is_none() {
                return Err(DomainError::NoCustomer(row.key.customer));
            }
            usage_records::add(tx, row.window_start_s, &[(row.key, row.counters)])?;
        }
        usage_set_aside::set_decision(tx, id, decision, now_ms)?;
        Ok(Some(SetAsideRow { decision: Some(decision), ..row }))
    })
}
