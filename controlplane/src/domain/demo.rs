//! A believable month of made-up customers and traffic, so that every list, chart and answer has something to show.
//!
//! The database is marked before the first row is made, and one that holds anything of customers is never filled: what is made up
//! cannot be told apart from what is true afterwards. Customers, services, keys, lists and the activity log are made by the same rules
//! as true ones, with the clock set back; usage and request statistics come from one and the same number for each window, so that they
//! agree. It is the same for the same seed and the same moment, but for what is drawn by chance everywhere: ids and tokens.

mod accounts;
mod latency;
mod lines;
mod numbers;
mod traffic;
mod windows;

use crate::db::{Database, DbError, customers, demo, lock_customer};
use crate::domain::api_tokens::{self, ApiToken, Scope, Scopes, TokenName};
use crate::domain::{DomainError, WalletAddress, WalletError, key_groups};
use apikey::CustomerId;
use edgeformat::Keyring;

/// How long a token made by [`token`] is good.
pub const TOKEN_LIFE_MS: i64 = 24 * 3_600 * 1_000;

/// What marks a database as made up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// What it was made from.
    pub seed: u64,
    /// When making it began, unix milliseconds.
    pub begun_at_ms: i64,
    /// When everything was there; none where it was cut off.
    pub finished_at_ms: Option<i64>,
}

/// What a seeding did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seeded {
    /// It filled the database.
    Now(Mark, Made),
    /// That was done before; nothing has changed.
    Before(Mark),
}

/// How much was made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Made {
    /// Customers.
    pub customers: u64,
    /// Keys.
    pub keys: u64,
    /// Requests in usage and statistics.
    pub requests: u64,
    /// Requests that stand one by one in the request log.
    pub lines: u64,
}

/// How far it is: what, how much of it, out of how much.
pub type Progress<'p> = dyn FnMut(&'static str, u64, u64) + 'p;

/// Whether a database is for show.
///
/// # Errors
/// [`DbError`].
pub fn status(database: &mut Database) -> Result<Option<Mark>, DbError> {
    database.read(demo::find)
}

/// Fills an empty database, in many transactions of some ten milliseconds.
///
/// # Errors
/// [`DomainError::Refused`] where it holds anything of customers that it did not make itself, or where a seeding was cut off; then
/// nothing has happened.
pub fn seed(
    database: &mut Database,
    keyring: &Keyring,
    seed: u64,
    now_ms: i64,
    progress: &mut Progress<'_>,
) -> Result<Seeded, DomainError> {
    let mark = Mark { seed, begun_at_ms: now_ms, finished_at_ms: None };
    if let Some(before) = begin(database, keyring, &mark, now_ms)? {
        return Ok(Seeded::Before(before));
    }
    let mut numbers = numbers::Numbers::new(seed);
    let mut made = Made::default();
    let sources = accounts::make(database, keyring, &mut numbers, now_ms, &mut made, progress)?;
    windows::fill(database, &sources, &mut numbers, now_ms, &mut made, progress)?;
    database.write(|tx| demo::finish(tx, now_ms))?;
    Ok(Seeded::Now(Mark { finished_at_ms: Some(now_ms), ..mark }, made))
}

/// Marks an empty database; answers the mark of one that is finished.
fn begin(
    database: &mut Database,
    keyring: &Keyring,
    mark: &Mark,
    now_ms: i64,
) -> Result<Option<Mark>, DomainError> {
    database.write(|tx| {
        match demo::find(tx)? {
            Some(before) if before.finished_at_ms.is_some() => return Ok(Some(before)),
            Some(_) => {
                return Err(DomainError::Refused(
                    "an earlier seeding of this database was cut off, and cannot go on; begin again with an empty database \
                     (on SQLite delete the state folder)"
                        .to_owned(),
                ));
            }
            None => {}
        }
        let used = demo::tables_in_use(tx)?;
        if !used.is_empty() {
            return Err(DomainError::Refused(format!(
                "this database is in use (there are rows in {}); demo data is made in an empty one only, since nobody could tell \
                 the two apart again: give another state folder (SUIFTLY_STATE) or another DATABASE_URL",
                used.join(", ")
            )));
        }
        demo::insert(tx, mark)?;
        key_groups::adopt_first(tx, keyring, now_ms)?;
        Ok(None)
    })
}

/// The wallet of a made-up customer: they are told by how they begin, and nobody has their secret keys.
///
/// # Errors
/// Never: the digits are made here.
fn wallet(number: u32) -> Result<WalletAddress, WalletError> {
    format!("0x{}{number:032}", "de30".repeat(8)).parse()
}

/// The customer who has most of everything.
///
/// # Errors
/// [`DomainError::Refused`] on a database that is not for show.
pub fn first_customer(database: &mut Database) -> Result<CustomerId, DomainError> {
    let wallet = wallet(0).map_err(|error| DomainError::Refused(error.to_string()))?;
    database.read(|tx| {
        let mark = demo::find(tx)?.filter(|mark| mark.finished_at_ms.is_some());
        let row = customers::find_by_wallet(tx, &wallet)?;
        mark.and(row).map(|row| row.customer).ok_or_else(not_for_show)
    })
}

/// Makes an API token of the first customer with which everything can be read for a day. Only a database that is for show gives one
/// without its owner's signature.
///
/// # Errors
/// [`DomainError::Refused`] on any other database, or when it has too many tokens.
pub fn token(database: &mut Database, now_ms: i64) -> Result<(CustomerId, ApiToken, i64), DomainError> {
    let customer = first_customer(database)?;
    let refused = |text: &str| DomainError::Refused(text.to_owned());
    let name = TokenName::new("demo").ok_or_else(|| refused("`demo` names no token"))?;
    let scopes = vec![Scope::KeysRead, Scope::BillingRead, Scope::UsageRead, Scope::AuditRead];
    let scopes = Scopes::new(scopes).ok_or_else(|| refused("a scope stands twice"))?;
    let expires_at_ms = now_ms.saturating_add(TOKEN_LIFE_MS);
    database.write(|tx| {
        lock_customer(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
        let made = api_tokens::create(tx, customer, &name, scopes, expires_at_ms, now_ms)?;
        let (token, _) = made.map_err(|_| {
            refused(
                "the demo customer has as many API tokens as there can be; each ends a day after it was made",
            )
        })?;
        Ok((customer, token, expires_at_ms))
    })
}

fn not_for_show() -> DomainError {
    DomainError::Refused(
        "this database holds no demo data (`suiftly admin demo seed` makes it in an empty one); a true customer makes tokens with \
         the API, signed in with the wallet"
            .to_owned(),
    )
}
