//! Customers: one a wallet.

use crate::db::{Database, WriteTx, customers};
use crate::domain::activity::{Action, note};
use crate::domain::{DomainError, WalletAddress};
use crate::random;
use apikey::CustomerId;
use serde_json::json;

/// How often a random id may hit a customer that exists. At a million customers the chance of one hit is 1 in
/// 4,000.
const ID_TRIES_MAX: u32 = 64;

/// A customer, and whether this call made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Created {
    /// The id.
    pub customer: CustomerId,
    /// False where the wallet was known.
    pub created: bool,
}

/// The customer of a wallet, made where there is none.
///
/// # Errors
/// [`DomainError`].
pub fn create(database: &mut Database, wallet: &WalletAddress, now_ms: i64) -> Result<Created, DomainError> {
    database.write(|tx| create_in(tx, wallet, now_ms))
}

/// The same in a transaction that does more.
pub(in crate::domain) fn create_in(
    tx: &mut WriteTx<'_>,
    wallet: &WalletAddress,
    now_ms: i64,
) -> Result<Created, DomainError> {
    if let Some(known) = customers::find_by_wallet(tx, wallet)? {
        return Ok(Created { customer: known.customer, created: false });
    }
    for _ in 0..ID_TRIES_MAX {
        let Some(customer) = CustomerId::new(random::any_u32()?) else { continue };
        if customers::find(tx, customer)?.is_none() {
            customers::insert(tx, customer, wallet, now_ms)?;
            note(tx, customer, Action::CustomerCreated, &json!({"wallet": wallet.as_str()}), now_ms)?;
            return Ok(Created { customer, created: true });
        }
    }
    Err(DomainError::Refused("no free customer id was found; try again".to_owned()))
}
