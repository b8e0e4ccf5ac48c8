//! What was taken of each slot of each ledger. Steps by the slots that are asked for, never by those that exist.

use crate::db::given_rows::{CUSTOMER_OF_SLOT, Column, GivenRows, service_of_slot};
use crate::db::schema::{ledgers, usage_cursors, usage_cursors::dsl};
use crate::db::{DbError, ReadTx, WriteTx, column_of};
use diesel::prelude::*;
use diesel::{QueryableByName, sql_types};
use edgeformat::PolicyKey;
use edgeformat::ledger::{Counters, LedgerId, SlotReading};

/// What is known of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Known {
    /// What was taken of it, and from when on more is believed, unix milliseconds: when it was heard, or up to a minute later.
    /// None where it never was.
    pub taken: Option<(Counters, i64)>,
    /// Whether its customer exists.
    pub has_customer: bool,
}

#[derive(QueryableByName)]
struct KnownColumns {
    #[diesel(sql_type = sql_types::BigInt)]
    place: i64,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    taken: Option<String>,
    #[diesel(sql_type = sql_types::BigInt)]
    customers: i64,
}

/// What is known of each of these slots, in their order.
pub fn known(
    tx: &mut ReadTx<'_>,
    ledger: LedgerId,
    slots: impl Iterator<Item = PolicyKey>,
) -> Result<Vec<Known>, DbError> {
    let slots: Vec<PolicyKey> = slots.collect();
    let given = GivenRows::new(vec![GivenRows::slots(slots.iter().copied())]);
    // Subqueries and no joins: PostgreSQL would read all of a table for some thousand rows of it.
    // One look at a cursor gives both of its columns. Who has one was a customer when it was made, and customers stay.
    let query = format!(
        ", found AS MATERIALIZED (SELECT given.place, given.slot, (SELECT c.heard_at_ms || ';' || c.counters \
         FROM usage_cursors c WHERE c.ledger_id = {} AND c.customer_id = {CUSTOMER_OF_SLOT} AND c.service = {}) AS taken FROM given) \
         SELECT given.place, given.taken, CASE WHEN given.taken IS NULL THEN (SELECT count(*) FROM customers k \
         WHERE k.customer_id = {CUSTOMER_OF_SLOT}) ELSE 1 END AS customers FROM found AS given",
        column_of(ledger.get()),
        service_of_slot()
    );
    let found: Vec<KnownColumns> = given.load(tx.connection(), &query)?;
    let mut known = vec![Known::default(); slots.len()];
    for row in found {
        let taken = row.taken.as_deref().map(taken_of).transpose()?;
        if let Some(place) = usize::try_from(row.place).ok().and_then(|place| known.get_mut(place)) {
            *place = Known { taken, has_customer: row.customers > 0 };
        }
    }
    Ok(known)
}

fn taken_of(text: &str) -> Result<(Counters, i64), DbError> {
    let unexpected = || DbError::unexpected("usage_cursors", format!("a cursor is `{text}`"));
    let (heard_at_ms, counters) = text.split_once(';').ok_or_else(unexpected)?;
    Ok((counters_of("usage_cursors", counters)?, heard_at_ms.parse().map_err(|_| unexpected())?))
}

/// Notes what was taken of these slots, and from when on more of each is believed (unix milliseconds); each stands here once.
pub fn store(tx: &mut WriteTx<'_>, ledger: LedgerId, slots: &[(SlotReading, i64)]) -> Result<(), DbError> {
    let counters = slots.iter().map(|(slot, _)| text_of(&slot.counters)).collect();
    let given = GivenRows::new(vec![
        GivenRows::slots(slots.iter().map(|(slot, _)| slot.key)),
        ("counters", Column::Texts(counters)),
        ("heard_at_ms", Column::Integers(slots.iter().map(|(_, since_ms)| *since_ms).collect())),
    ]);
    // No `UPDATE … FROM given`: SQLite would read the whole list for each row of the table.
    let statement = format!(
        "INSERT INTO usage_cursors (ledger_id, customer_id, service, counters, heard_at_ms) \
         SELECT {}, {CUSTOMER_OF_SLOT}, {}, counters, heard_at_ms FROM given WHERE true \
         ON CONFLICT (ledger_id, customer_id, service) \
         DO UPDATE SET counters = excluded.counters, heard_at_ms = excluded.heard_at_ms",
        column_of(ledger.get()),
        service_of_slot()
    );
    given.execute(tx.connection(), &statement)?;
    Ok(())
}

/// Forgets cursors of a closed ledger, at most `limit` and a few; answers how many. 0: no closed ledger has any.
pub fn forget_closed(tx: &mut WriteTx<'_>, limit: u32) -> Result<u64, DbError> {
    let of_ledger = usage_cursors::table.filter(dsl::ledger_id.eq(ledgers::ledger_id));
    let closed: Option<i64> = ledgers::table
        .filter(ledgers::closed_at_ms.is_not_null())
        .filter(diesel::dsl::exists(of_ledger))
        .select(ledgers::ledger_id)
        .first(tx.connection())
        .optional()?;
    let Some(ledger) = closed else { return Ok(0) };
    let of_ledger = dsl::usage_cursors.filter(dsl::ledger_id.eq(ledger));
    let boundary: Option<i64> = of_ledger
        .order((dsl::customer_id, dsl::service))
        .offset(i64::from(limit))
        .select(dsl::customer_id)
        .first(tx.connection())
        .optional()?;
    let until = boundary.unwrap_or(i64::MAX);
    let old = dsl::usage_cursors.filter(dsl::ledger_id.eq(ledger)).filter(dsl::customer_id.le(until));
    Ok(diesel::delete(old).execute(tx.connection())? as u64)
}

/// Counters as a column holds them: with commas, without the zeros at the end.
pub(in crate::db) fn text_of(counters: &Counters) -> String {
    let used = counters.0.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
    counters.0.iter().take(used).map(u64::to_string).collect::<Vec<_>>().join(",")
}

/// The counters in a column.
pub(in crate::db) fn counters_of(table: &'static str, text: &str) -> Result<Counters, DbError> {
    let mut counters = Counters::default();
    let mut words = text.split(',').filter(|word| !word.is_empty());
    for (place, word) in counters.0.iter_mut().zip(&mut words) {
        *place = word.parse().map_err(|_| DbError::unexpected(table, format!("counters are `{text}`")))?;
    }
    match words.next() {
        None => Ok(counters),
        Some(_) => Err(DbError::unexpected(table, format!("counters are `{text}`"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn counters_read_back_as_they_were_written() {
        for (text, places) in
            [("", vec![]), ("5,0,3", vec![5, 0, 3]), ("0,18446744073709551615", vec![0, u64::MAX])]
        {
            let mut counters = Counters::default();
            counters.0[..places.len()].copy_from_slice(&places);
            assert_eq!(text_of(&counters), text);
            assert_eq!(counters_of("t", text).unwrap(), counters);
        }
        for text in ["x", "1,-1", "1,,x", &"1,".repeat(17)] {
            assert!(counters_of("t", text).is_err(), "{text}");
        }
    }
}
