//! What was credited to customers, and what was charged to that.

use crate::db::schema::credit_entries::dsl;
use crate::db::{CustomerLock, DbError, ReadTx, WriteTx, customer_id, word};
use crate::domain::Tier;
use crate::domain::credit::EntryKind;
use apikey::{CustomerId, Service};
use diesel::prelude::*;

/// An entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreditEntryRow {
    /// Whose.
    pub customer: CustomerId,
    /// Counts the customer's entries, from 1.
    pub number: i64,
    /// When, unix milliseconds.
    pub at_ms: i64,
    /// What it was.
    pub kind: EntryKind,
    /// To the customer's credit; negative where it was charged.
    pub amount_cents: i64,
    /// The balance afterwards.
    pub balance_cents: i64,
    /// What was charged for.
    pub service: Option<Service>,
    /// The tier that was charged for.
    pub tier: Option<Tier>,
}

type Columns = (i64, i64, i64, String, i64, i64, Option<String>, Option<String>);
const COLUMNS: (
    dsl::customer_id,
    dsl::number,
    dsl::at_ms,
    dsl::kind,
    dsl::amount_cents,
    dsl::balance_cents,
    dsl::service,
    dsl::tier,
) = (
    dsl::customer_id,
    dsl::number,
    dsl::at_ms,
    dsl::kind,
    dsl::amount_cents,
    dsl::balance_cents,
    dsl::service,
    dsl::tier,
);

/// A customer's entries, newest first, at most `limit`.
pub fn newest(tx: &mut ReadTx<'_>, customer: CustomerId, limit: i64) -> Result<Vec<CreditEntryRow>, DbError> {
    let rows: Vec<Columns> = dsl::credit_entries
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .order(dsl::number.desc())
        .limit(limit)
        .select(COLUMNS)
        .load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// A customer's entries since a moment (unix milliseconds), newest first.
pub fn since(
    tx: &mut ReadTx<'_>,
    customer: CustomerId,
    since_ms: i64,
) -> Result<Vec<CreditEntryRow>, DbError> {
    let rows: Vec<Columns> = dsl::credit_entries
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .filter(dsl::at_ms.ge(since_ms))
        .order(dsl::number.desc())
        .select(COLUMNS)
        .load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// Adds an entry of the locked customer.
pub fn insert(tx: &mut WriteTx<'_>, lock: &CustomerLock, entry: &CreditEntryRow) -> Result<(), DbError> {
    let columns = (
        dsl::customer_id.eq(i64::from(lock.customer().get())),
        dsl::number.eq(entry.number),
        dsl::at_ms.eq(entry.at_ms),
        dsl::kind.eq(entry.kind.word()),
        dsl::amount_cents.eq(entry.amount_cents),
        dsl::balance_cents.eq(entry.balance_cents),
        dsl::service.eq(entry.service.map(Service::name)),
        dsl::tier.eq(entry.tier.map(Tier::word)),
    );
    diesel::insert_into(dsl::credit_entries).values(columns).execute(tx.connection())?;
    Ok(())
}

fn row(
    (customer, number, at_ms, kind, amount_cents, balance_cents, service, tier): Columns,
) -> Result<CreditEntryRow, DbError> {
    Ok(CreditEntryRow {
        customer: customer_id("credit_entries", customer)?,
        number,
        at_ms,
        kind: word("credit_entries", "kind", &kind)?,
        amount_cents,
        balance_cents,
        service: service.map(|service| word("credit_entries", "service", &service)).transpose()?,
        tier: tier.map(|tier| word("credit_entries", "tier", &tier)).transpose()?,
    })
}
