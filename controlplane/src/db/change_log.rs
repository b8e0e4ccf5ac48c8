//! The outbox: what the edges must be told, numbered without a gap. Written by [`crate::changes::record`],
//! read by [`crate::changes::feed`].

use crate::db::many_rows::{self, Cell};
use crate::db::schema::change_log::dsl;
use crate::db::{DbError, ReadTx, WriteTx, column_of, number};
use diesel::prelude::*;
use edgeformat::Change;

/// One change with its number.
pub type Numbered = (u64, Change);

/// Adds a change.
pub fn insert(tx: &mut WriteTx<'_>, sequence: u64, change: &Change, now_ms: i64) -> Result<(), DbError> {
    let columns = (
        dsl::sequence.eq(column_of(sequence)),
        dsl::change.eq(change.to_string()),
        dsl::created_at_ms.eq(now_ms),
    );
    diesel::insert_into(dsl::change_log).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Adds many changes, numbered from `first` on.
pub fn insert_many(tx: &mut WriteTx<'_>, first: u64, changes: &[Change], now_ms: i64) -> Result<(), DbError> {
    let row = |(sequence, change): (u64, &Change)| {
        vec![Cell::Integer(column_of(sequence)), Cell::Text(change.to_string()), Cell::Integer(now_ms)]
    };
    let rows: Vec<Vec<Cell>> = (first..).zip(changes).map(row).collect();
    let columns = ["sequence", "change", "created_at_ms"];
    many_rows::insert(tx.connection(), "change_log", &columns, &rows)
}

/// At most `limit` changes after a sequence number, in order.
pub fn after(tx: &mut ReadTx<'_>, sequence: u64, limit: u32) -> Result<Vec<Numbered>, DbError> {
    let rows: Vec<(i64, String)> = dsl::change_log
        .filter(dsl::sequence.gt(column_of(sequence)))
        .order(dsl::sequence)
        .limit(i64::from(limit))
        .select((dsl::sequence, dsl::change))
        .load(tx.connection())?;
    rows.into_iter()
        .map(|(sequence, change)| {
            let change = change
                .parse()
                .map_err(|error| DbError::unexpected("change_log", format!("change {sequence}: {error}")))?;
            Ok((number("change_log", "sequence", sequence)?, change))
        })
        .collect()
}

/// Whether there is a change up to a sequence number.
pub fn has_before(tx: &mut ReadTx<'_>, up_to: u64) -> Result<bool, DbError> {
    let one = dsl::change_log.filter(dsl::sequence.le(column_of(up_to)));
    let found: Option<i64> = one.select(dsl::sequence).first(tx.connection()).optional()?;
    Ok(found.is_some())
}

/// Forgets changes up to a sequence number, at most `limit` of them, the oldest first. Answers how many.
pub fn forget(tx: &mut WriteTx<'_>, up_to: u64, limit: u32) -> Result<usize, DbError> {
    // Sequences have no gap, so the oldest and the limit say where to stop.
    let oldest: Option<i64> =
        dsl::change_log.select(diesel::dsl::min(dsl::sequence)).first(tx.connection())?;
    let Some(oldest) = oldest else { return Ok(0) };
    let last = column_of(up_to).min(oldest.saturating_add(i64::from(limit) - 1));
    let forgotten =
        diesel::delete(dsl::change_log.filter(dsl::sequence.le(last))).execute(tx.connection())?;
    Ok(forgotten)
}
