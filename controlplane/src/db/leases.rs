//! Who may do something alone, and until when.

use crate::db::schema::leases::dsl;
use crate::db::{DbError, ReadTx, WriteTx};
use diesel::prelude::*;

/// A lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseRow {
    /// Who has it.
    pub holder: String,
    /// Until when, unix milliseconds.
    pub until_ms: i64,
}

/// The lease with this name.
pub fn find(tx: &mut ReadTx<'_>, name: &str) -> Result<Option<LeaseRow>, DbError> {
    let found: Option<(String, i64)> =
        dsl::leases.find(name).select((dsl::holder, dsl::until_ms)).first(tx.connection()).optional()?;
    Ok(found.map(|(holder, until_ms)| LeaseRow { holder, until_ms }))
}

/// Gives a lease to somebody, whoever had it.
pub fn store(tx: &mut WriteTx<'_>, name: &str, lease: &LeaseRow) -> Result<(), DbError> {
    let columns = (dsl::holder.eq(&lease.holder), dsl::until_ms.eq(lease.until_ms));
    let changed = diesel::update(dsl::leases.find(name)).set(columns).execute(tx.connection())?;
    if changed == 0 {
        diesel::insert_into(dsl::leases).values((dsl::name.eq(name), columns)).execute(tx.connection())?;
    }
    Ok(())
}

/// Takes a lease away from its holder.
pub fn remove(tx: &mut WriteTx<'_>, name: &str, holder: &str) -> Result<(), DbError> {
    diesel::delete(dsl::leases.find(name).filter(dsl::holder.eq(holder))).execute(tx.connection())?;
    Ok(())
}
