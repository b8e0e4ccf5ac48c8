//! Customers: one row a wallet.

use crate::db::connection::AnyConnection;
use crate::db::schema::customers::dsl;
use crate::db::{CustomerLock, DbError, ReadTx, WriteTx, customer_id, number, word};
use crate::domain::{CustomerStatus, WalletAddress};
use apikey::CustomerId;
use diesel::prelude::*;

/// A customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CustomerRow {
    /// The id that stands in keys.
    pub customer: CustomerId,
    /// Whether the customer may use anything.
    pub status: CustomerStatus,
}

/// The customer with this id.
pub fn find(tx: &mut ReadTx<'_>, customer: CustomerId) -> Result<Option<CustomerRow>, DbError> {
    let found: Option<(i64, String)> = dsl::customers
        .find(i64::from(customer.get()))
        .select((dsl::customer_id, dsl::status))
        .first(tx.connection())
        .optional()?;
    found.map(row).transpose()
}

/// The customer with this id, whose row nobody else may change until the transaction ends.
pub(in crate::db) fn find_and_lock(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
) -> Result<Option<CustomerRow>, DbError> {
    let row_of = dsl::customers.find(i64::from(customer.get())).select((dsl::customer_id, dsl::status));
    let found: Vec<(i64, String)> = match tx.connection() {
        AnyConnection::Sqlite(connection) => row_of.load(connection)?,
        AnyConnection::Postgres(connection) => row_of.for_update().load(connection)?,
    };
    found.into_iter().next().map(row).transpose()
}

/// What is kept of a customer, all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CustomerProfile {
    /// The id that stands in keys.
    pub customer: CustomerId,
    /// Whose: the wallet that signs in.
    pub wallet: WalletAddress,
    /// Whether the customer may use anything.
    pub status: CustomerStatus,
    /// When it was made, unix milliseconds.
    pub created_at_ms: i64,
}

/// All that is kept of the customer with this id.
pub fn find_profile(tx: &mut ReadTx<'_>, customer: CustomerId) -> Result<Option<CustomerProfile>, DbError> {
    let found: Option<(String, String, i64)> = dsl::customers
        .find(i64::from(customer.get()))
        .select((dsl::wallet_address, dsl::status, dsl::created_at_ms))
        .first(tx.connection())
        .optional()?;
    let profile = |(wallet, status, created_at_ms): (String, String, i64)| {
        let wallet = word("customers", "wallet_address", &wallet)?;
        Ok(CustomerProfile { customer, wallet, status: word("customers", "status", &status)?, created_at_ms })
    };
    found.map(profile).transpose()
}

/// When a customer was made (unix milliseconds), and how much may be charged to it in 28 days (cents; 0 is without limit).
pub fn spending_limit(tx: &mut ReadTx<'_>, customer: CustomerId) -> Result<Option<(i64, i64)>, DbError> {
    Ok(dsl::customers
        .find(i64::from(customer.get()))
        .select((dsl::created_at_ms, dsl::spending_limit_cents))
        .first(tx.connection())
        .optional()?)
}

/// How many derivations of a group the locked customer can have.
pub fn derivations_max(tx: &mut WriteTx<'_>, lock: &CustomerLock) -> Result<u32, DbError> {
    let most: i64 = dsl::customers
        .find(i64::from(lock.customer().get()))
        .select(dsl::derivations_max)
        .first(tx.connection())?;
    number("customers", "derivations_max", most)
}

/// Writes how many derivations of a group the locked customer can have.
pub fn set_derivations_max(tx: &mut WriteTx<'_>, lock: &CustomerLock, most: u32) -> Result<(), DbError> {
    let target = dsl::customers.find(i64::from(lock.customer().get()));
    diesel::update(target).set(dsl::derivations_max.eq(i64::from(most))).execute(tx.connection())?;
    Ok(())
}

/// Writes how much may be charged to the locked customer in 28 days, in cents; 0 is without limit.
pub fn set_spending_limit(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    limit_cents: i64,
) -> Result<(), DbError> {
    let target = dsl::customers.find(i64::from(lock.customer().get()));
    diesel::update(target).set(dsl::spending_limit_cents.eq(limit_cents)).execute(tx.connection())?;
    Ok(())
}

/// The customer with this wallet.
pub fn find_by_wallet(tx: &mut ReadTx<'_>, wallet: &WalletAddress) -> Result<Option<CustomerRow>, DbError> {
    let found: Option<(i64, String)> = dsl::customers
        .filter(dsl::wallet_address.eq(wallet.as_str()))
        .select((dsl::customer_id, dsl::status))
        .first(tx.connection())
        .optional()?;
    found.map(row).transpose()
}

/// Adds an active customer.
pub fn insert(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
    wallet: &WalletAddress,
    now_ms: i64,
) -> Result<(), DbError> {
    let row = (
        dsl::customer_id.eq(i64::from(customer.get())),
        dsl::wallet_address.eq(wallet.as_str()),
        dsl::status.eq(CustomerStatus::Active.word()),
        dsl::created_at_ms.eq(now_ms),
    );
    diesel::insert_into(dsl::customers).values(row).execute(tx.connection())?;
    Ok(())
}

/// Writes the status of the locked customer.
pub fn set_status(tx: &mut WriteTx<'_>, lock: &CustomerLock, status: CustomerStatus) -> Result<(), DbError> {
    let target = dsl::customers.find(i64::from(lock.customer().get()));
    diesel::update(target).set(dsl::status.eq(status.word())).execute(tx.connection())?;
    Ok(())
}

fn row((id, status): (i64, String)) -> Result<CustomerRow, DbError> {
    Ok(CustomerRow { customer: customer_id("customers", id)?, status: word("customers", "status", &status)? })
}
