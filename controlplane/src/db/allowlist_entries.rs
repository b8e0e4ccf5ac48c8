//! From which addresses a customer's keys of a service may be used: one row a prefix.

use crate::db::schema::allowlist_entries::dsl;
use crate::db::{CustomerLock, DbError, ReadTx, WriteTx, customer_id, word};
use apikey::Service;
use diesel::prelude::*;
use edgeformat::{AllowlistEntry, PolicyKey, Prefix};
use std::collections::BTreeSet;

/// Every entry of every list.
pub fn all(tx: &mut ReadTx<'_>) -> Result<Vec<AllowlistEntry>, DbError> {
    let rows: Vec<(i64, String, String)> =
        dsl::allowlist_entries.select((dsl::customer_id, dsl::service, dsl::prefix)).load(tx.connection())?;
    rows.into_iter()
        .map(|(id, service, prefix)| {
            let service: Service = word("allowlist_entries", "service", &service)?;
            let key = PolicyKey { customer: customer_id("allowlist_entries", id)?, service };
            Ok(AllowlistEntry { key, prefix: prefix_of(&prefix)? })
        })
        .collect()
}

/// The list of a customer's service.
pub fn of(tx: &mut ReadTx<'_>, key: PolicyKey) -> Result<BTreeSet<Prefix>, DbError> {
    let rows: Vec<String> = dsl::allowlist_entries
        .filter(dsl::customer_id.eq(i64::from(key.customer.get())))
        .filter(dsl::service.eq(key.service.name()))
        .select(dsl::prefix)
        .load(tx.connection())?;
    rows.iter().map(|prefix| prefix_of(prefix)).collect()
}

/// Adds a prefix that is not on the list of the locked customer.
pub fn insert(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    service: Service,
    prefix: Prefix,
    now_ms: i64,
) -> Result<(), DbError> {
    let row = (
        dsl::customer_id.eq(i64::from(lock.customer().get())),
        dsl::service.eq(service.name()),
        dsl::prefix.eq(prefix.to_string()),
        dsl::created_at_ms.eq(now_ms),
    );
    diesel::insert_into(dsl::allowlist_entries).values(row).execute(tx.connection())?;
    Ok(())
}

/// Takes a prefix off the list of the locked customer.
pub fn delete(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    service: Service,
    prefix: Prefix,
) -> Result<(), DbError> {
    let row = (i64::from(lock.customer().get()), service.name(), prefix.to_string());
    diesel::delete(dsl::allowlist_entries.find(row)).execute(tx.connection())?;
    Ok(())
}

/// A prefix as it stands in the database: in its one spelling.
fn prefix_of(text: &str) -> Result<Prefix, DbError> {
    Prefix::from_field(text)
        .map_err(|error| DbError::unexpected("allowlist_entries", format!("prefix {error}")))
}
