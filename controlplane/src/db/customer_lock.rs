//! Who holds a [`CustomerLock`] is the only one who changes that customer's keys, services or money.

use crate::db::{DbError, WriteTx, customers};
use crate::domain::CustomerStatus;
use apikey::CustomerId;

/// Proof that a customer exists and is locked until the transaction ends. Only [`lock_customer`] makes one.
#[derive(Debug)]
pub struct CustomerLock {
    customer: CustomerId,
    status: CustomerStatus,
}

impl CustomerLock {
    /// Whom it locks.
    pub const fn customer(&self) -> CustomerId {
        self.customer
    }

    /// How the customer stood when the lock was taken.
    pub const fn status(&self) -> CustomerStatus {
        self.status
    }
}

/// Locks a customer; `None` where there is no such customer. A write transaction is alone already; on PostgreSQL
/// the row is locked, too, also against who writes past us with SQL.
///
/// # Errors
/// [`DbError`].
pub fn lock_customer(tx: &mut WriteTx<'_>, customer: CustomerId) -> Result<Option<CustomerLock>, DbError> {
    let row = customers::find_and_lock(tx, customer)?;
    Ok(row.map(|row| CustomerLock { customer: row.customer, status: row.status }))
}
