//! What support needs of a customer, on one screen; and the end of sessions in a customer's name. Nothing here can show a key
//! or a token: none is kept.

use crate::db::activity::{self, ActivityRow};
use crate::db::api_keys::{self, ApiKeyRow};
use crate::db::customers::{self, CustomerProfile};
use crate::db::services::ServiceRow;
use crate::db::sessions as table;
use crate::db::sessions_for_support::{self, SessionSeen};
use crate::db::{Database, api_tokens, lock_customer, services};
use crate::domain::sessions::{self, EndReason};
use crate::domain::{DomainError, WalletAddress};
use apikey::{CustomerId, Fingerprint};

/// The most sessions that are listed.
pub const SESSIONS_MAX: i64 = 200;

/// By what a customer is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum By {
    /// The id.
    Id(CustomerId),
    /// The wallet that signs in.
    Wallet(WalletAddress),
    /// A key. One that was not issued here names its customer itself.
    Key(Fingerprint),
}

/// A customer on one screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overview {
    /// Who it is.
    pub profile: CustomerProfile,
    /// All services that it ever had.
    pub services: Vec<ServiceRow>,
    /// All its keys, also those that are good no more.
    pub keys: Vec<ApiKeyRow>,
    /// How many sessions are open.
    pub open_sessions: u64,
    /// How many API tokens are good.
    pub api_tokens: u64,
    /// What was changed last.
    pub last_activity: Option<ActivityRow>,
}

/// The customer; `None` where there is none.
///
/// # Errors
/// [`DomainError::Db`].
pub fn find(database: &mut Database, by: &By, now_ms: i64) -> Result<Option<Overview>, DomainError> {
    database.read(|tx| {
        let customer = match by {
            By::Id(customer) => Some(*customer),
            By::Wallet(wallet) => customers::find_by_wallet(tx, wallet)?.map(|row| row.customer),
            By::Key(fingerprint) => match api_keys::find(tx, *fingerprint)? {
                Some(row) => Some(row.customer),
                None => CustomerId::new(fingerprint.customer_bits()),
            },
        };
        let Some(customer) = customer else { return Ok(None) };
        let Some(profile) = customers::find_profile(tx, customer)? else { return Ok(None) };
        Ok(Some(Overview {
            profile,
            services: services::of_customer(tx, customer)?,
            keys: api_keys::of_customer(tx, customer, None)?,
            open_sessions: sessions_for_support::count_open(tx, customer, now_ms)?,
            api_tokens: api_tokens::count_good(tx, customer, now_ms)?,
            last_activity: activity::page(tx, customer, i64::MAX, 1)?.into_iter().next(),
        }))
    })
}

/// At most `limit` changes of an account, newest first, all older than the one with the number `before`.
///
/// # Errors
/// [`DomainError::NoCustomer`] or [`DomainError::Db`].
pub fn activity_before(
    database: &mut Database,
    customer: CustomerId,
    before: i64,
    limit: i64,
) -> Result<Vec<ActivityRow>, DomainError> {
    database.read(|tx| {
        customers::find(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
        Ok(activity::page(tx, customer, before, limit)?)
    })
}

/// The newest sessions of a customer, at most [`SESSIONS_MAX`]: those open now.
///
/// # Errors
/// [`DomainError::NoCustomer`] or [`DomainError::Db`].
pub fn open_sessions(
    database: &mut Database,
    customer: CustomerId,
    now_ms: i64,
) -> Result<Vec<SessionSeen>, DomainError> {
    newest_sessions(database, customer, Some(now_ms))
}

/// The same with those that are over.
///
/// # Errors
/// [`DomainError::NoCustomer`] or [`DomainError::Db`].
pub fn all_sessions(database: &mut Database, customer: CustomerId) -> Result<Vec<SessionSeen>, DomainError> {
    newest_sessions(database, customer, None)
}

fn newest_sessions(
    database: &mut Database,
    customer: CustomerId,
    open_at_ms: Option<i64>,
) -> Result<Vec<SessionSeen>, DomainError> {
    database.read(|tx| {
        customers::find(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
        Ok(sessions_for_support::of_customer(tx, customer, open_at_ms, SESSIONS_MAX)?)
    })
}

/// Ends every open session of a customer, as an operator, and answers how many there were.
///
/// # Errors
/// [`DomainError::NoCustomer`] or [`DomainError::Db`].
pub fn end_all_sessions(
    database: &mut Database,
    customer: CustomerId,
    now_ms: i64,
) -> Result<u64, DomainError> {
    database.write(|tx| {
        lock_customer(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
        Ok(sessions::end_others(tx, customer, "", EndReason::EndedByOperator, now_ms)? as u64)
    })
}

/// Ends a session, as an operator. Answers whose it is and how many were ended, 0 where it was over already; `None` where there
/// is no such session.
///
/// # Errors
/// [`DomainError::Db`].
pub fn end_session(
    database: &mut Database,
    session: &str,
    now_ms: i64,
) -> Result<Option<(CustomerId, u64)>, DomainError> {
    database.write(|tx| {
        let Some(session) = table::find(tx, session)? else { return Ok(None) };
        lock_customer(tx, session.customer)?.ok_or(DomainError::NoCustomer(session.customer))?;
        let ended = sessions::end(tx, &session, EndReason::EndedByOperator, now_ms)?;
        Ok(Some((session.customer, u64::from(ended))))
    })
}
