//! Per customer and group, over all services: the derivation that comes next.

use crate::db::schema::derivation_counters::dsl;
use crate::db::{CustomerLock, DbError, WriteTx, number};
use apikey::Group;
use diesel::prelude::*;

/// The derivation that comes next; 1 where none was given yet.
pub fn next(tx: &mut WriteTx<'_>, lock: &CustomerLock, group: Group) -> Result<u32, DbError> {
    let found: Option<i64> = dsl::derivation_counters
        .find((i64::from(lock.customer().get()), i64::from(group.get())))
        .select(dsl::next)
        .first(tx.connection())
        .optional()?;
    found.map_or(Ok(1), |next| number("derivation_counters", "next", next))
}

/// Stores the derivation that comes next.
pub fn set_next(tx: &mut WriteTx<'_>, lock: &CustomerLock, group: Group, next: u32) -> Result<(), DbError> {
    let (customer, group) = (i64::from(lock.customer().get()), i64::from(group.get()));
    let target = dsl::derivation_counters.find((customer, group));
    let updated = diesel::update(target).set(dsl::next.eq(i64::from(next))).execute(tx.connection())?;
    if updated == 0 {
        // Nobody can have added the row in between: the customer is locked.
        let row = (dsl::customer_id.eq(customer), dsl::key_group.eq(group), dsl::next.eq(i64::from(next)));
        diesel::insert_into(dsl::derivation_counters).values(row).execute(tx.connection())?;
    }
    Ok(())
}
