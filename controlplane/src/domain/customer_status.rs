//! A customer's status: which change leads from which to which, and all that hangs on it.
//!
//! A suspension touches nothing but the status: keys, services and sessions stay, and the edges refuse with
//! `customer_suspended`. A closed account is the end: its keys are revoked for ever, also those that are told apart from it by
//! an edge which does not know the status yet, its sessions and API tokens end, and nothing of it changes any more.

use crate::changes::record::record;
use crate::db::stream::Position;
use crate::db::{
    CustomerLock, Database, DbError, WriteTx, api_keys, api_tokens, customers, lock_customer, services,
    sessions, stream,
};
use crate::domain::activity::{Action, note};
use crate::domain::revocations::revoke_in;
use crate::domain::sessions::EndReason;
use crate::domain::{CustomerStatus, DomainError, RevocationSource, policy_of};
use apikey::{CustomerId, Fingerprint};
use edgeformat::Change;
use serde_json::json;

/// What can be done to an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Suspend,
    Resume,
    Close,
}

/// Where that leads.
enum Next {
    To(CustomerStatus, Action),
    /// It is so already.
    Stay,
    /// A closed account stays closed.
    Final,
}

/// The table of changes.
const fn next(wanted: Wanted, status: CustomerStatus) -> Next {
    use CustomerStatus as S;
    match (wanted, status) {
        (Wanted::Suspend, S::Active) => Next::To(S::Suspended, Action::CustomerSuspended),
        (Wanted::Resume, S::Suspended) => Next::To(S::Active, Action::CustomerResumed),
        (Wanted::Close, S::Active | S::Suspended) => Next::To(S::Closed, Action::CustomerClosed),
        (Wanted::Suspend, S::Suspended) | (Wanted::Resume, S::Active) | (Wanted::Close, S::Closed) => {
            Next::Stay
        }
        (Wanted::Suspend | Wanted::Resume, S::Closed) => Next::Final,
    }
}

/// How a customer stands after a change, and what ended with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusChange {
    /// Whose.
    pub customer: CustomerId,
    /// The status now.
    pub status: CustomerStatus,
    /// Whether anything was changed.
    pub changed: bool,
    /// What a closing ended; all 0 otherwise.
    pub ended: Ended,
    /// The stream afterwards: the edges that have it enforce the status.
    pub position: Position,
}

/// What a closing has ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ended {
    /// Keys that were not revoked before.
    pub keys_revoked: u64,
    /// Sessions that were open.
    pub sessions_ended: u64,
    /// API tokens that were not revoked before.
    pub api_tokens_revoked: u64,
}

/// Suspends a customer: nothing is served until it is resumed. One that is suspended stays so.
///
/// # Errors
/// [`DomainError::NoCustomer`], and [`DomainError::Refused`] for a closed one; then nothing has happened.
pub fn suspend(
    database: &mut Database,
    customer: CustomerId,
    now_ms: i64,
) -> Result<StatusChange, DomainError> {
    database.write(|tx| change_in(tx, customer, Wanted::Suspend, now_ms))
}

/// Ends a customer's suspension: everything is as it was before. One that is active stays so.
///
/// # Errors
/// As [`suspend`].
pub fn resume(
    database: &mut Database,
    customer: CustomerId,
    now_ms: i64,
) -> Result<StatusChange, DomainError> {
    database.write(|tx| change_in(tx, customer, Wanted::Resume, now_ms))
}

/// Closes an account for ever. One that is closed stays so.
///
/// # Errors
/// [`DomainError::NoCustomer`]; then nothing has happened.
pub fn close(
    database: &mut Database,
    customer: CustomerId,
    now_ms: i64,
) -> Result<StatusChange, DomainError> {
    database.write(|tx| close_in(tx, customer, now_ms))
}

/// The same in a transaction that does more.
///
/// # Errors
/// As [`close`]; the transaction must then be given up.
pub fn close_in(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
    now_ms: i64,
) -> Result<StatusChange, DomainError> {
    change_in(tx, customer, Wanted::Close, now_ms)
}

/// Refuses to change a closed account; `what` goes on with "a closed account …".
///
/// # Errors
/// [`DomainError::Refused`].
pub(in crate::domain) fn must_not_be_closed(lock: &CustomerLock, what: &str) -> Result<(), DomainError> {
    match lock.status() {
        CustomerStatus::Active | CustomerStatus::Suspended => Ok(()),
        CustomerStatus::Closed => Err(DomainError::Refused(format!(
            "customer {} is closed; a closed account {what}",
            lock.customer()
        ))),
    }
}

fn change_in(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
    wanted: Wanted,
    now_ms: i64,
) -> Result<StatusChange, DomainError> {
    let lock = lock_customer(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
    let before = lock.status();
    let (status, action) = match next(wanted, before) {
        Next::To(status, action) => (status, action),
        Next::Stay => {
            let (position, ended) = (stream::position(tx)?, Ended::default());
            return Ok(StatusChange { customer, status: before, changed: false, ended, position });
        }
        Next::Final => {
            return Err(DomainError::Refused(format!(
                "customer {customer} is closed, and a closed account stays closed; its owner needs another wallet"
            )));
        }
    };
    customers::set_status(tx, &lock, status)?;
    tell_the_edge(tx, &lock, status, now_ms)?;
    let (ended, detail) = match status {
        CustomerStatus::Closed => {
            let ended = end_everything(tx, &lock, now_ms)?;
            let detail = json!({
                "from": before.word(),
                "keys_revoked": ended.keys_revoked,
                "sessions_ended": ended.sessions_ended,
                "api_tokens_revoked": ended.api_tokens_revoked,
            });
            (ended, detail)
        }
        CustomerStatus::Active | CustomerStatus::Suspended => {
            (Ended::default(), json!({"from": before.word()}))
        }
    };
    note(tx, customer, action, &detail, now_ms)?;
    Ok(StatusChange { customer, status, changed: true, ended, position: stream::position(tx)? })
}

/// Appends the policies that differ for the edge under another status.
fn tell_the_edge(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    status: CustomerStatus,
    now_ms: i64,
) -> Result<(), DbError> {
    for service in services::of_customer(tx, lock.customer())? {
        let (known, wanted) = (policy_of(&service, lock.status()), policy_of(&service, status));
        // Whether the edge knows a service depends on the service alone: nothing is ever removed here.
        if let Some(policy) = wanted.filter(|_| known != wanted) {
            record(tx, &Change::SetPolicy(policy), now_ms)?;
        }
    }
    Ok(())
}

fn end_everything(tx: &mut WriteTx<'_>, lock: &CustomerLock, now_ms: i64) -> Result<Ended, DomainError> {
    let keys = api_keys::of_customer(tx, lock.customer(), None)?;
    let fingerprints: Vec<Fingerprint> = keys.iter().map(|key| key.fingerprint).collect();
    let revoked = revoke_in(tx, &fingerprints, RevocationSource::AccountClosed, now_ms)?;
    Ok(Ended {
        keys_revoked: revoked.revoked,
        sessions_ended: sessions::end_all(tx, lock.customer(), "", EndReason::AccountClosed, now_ms)? as u64,
        api_tokens_revoked: api_tokens::revoke_all(tx, lock, now_ms)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_leads_where_the_table_says_and_nothing_leads_out_of_closed() {
        use CustomerStatus as S;
        let leads = |wanted, status| match next(wanted, status) {
            Next::To(status, _) => Some(status),
            Next::Stay => Some(status),
            Next::Final => None,
        };
        let rows = [
            (Wanted::Suspend, [Some(S::Suspended), Some(S::Suspended), None]),
            (Wanted::Resume, [Some(S::Active), Some(S::Active), None]),
            (Wanted::Close, [Some(S::Closed), Some(S::Closed), Some(S::Closed)]),
        ];
        for (wanted, ends) in rows {
            for (status, end) in S::ALL.iter().zip(ends) {
                assert_eq!(leads(wanted, *status), end, "{wanted:?} from {status}");
            }
        }
    }
}
