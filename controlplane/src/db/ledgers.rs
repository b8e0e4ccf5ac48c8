//! The files in which edges count, and whose they are.

use crate::db::schema::ledgers::dsl;
use crate::db::{DbError, ReadTx, WriteTx, column_of};
use diesel::prelude::*;
use edgeformat::ledger::LedgerId;

/// A ledger, as far as the control plane has to know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerRow {
    /// The edge that owns it.
    pub edge: String,
    /// The earliest moment that its counts can come from, unix milliseconds.
    pub counts_from_ms: i64,
    /// When nobody counted in it any more, unix milliseconds.
    pub closed_at_ms: Option<i64>,
}

/// What a ledger says of itself, for [`insert`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewLedger {
    /// Which.
    pub ledger: LedgerId,
    /// Its number among those of its edge.
    pub generation: i64,
    /// When it was made, unix milliseconds, by the edge's clock.
    pub created_at_ms: i64,
    /// The earliest moment that its counts can come from, unix milliseconds.
    pub counts_from_ms: i64,
}

/// The ledger with this id.
pub fn find(tx: &mut ReadTx<'_>, ledger: LedgerId) -> Result<Option<LedgerRow>, DbError> {
    let found: Option<(String, i64, Option<i64>)> = dsl::ledgers
        .find(column_of(ledger.get()))
        .select((dsl::edge, dsl::counts_from_ms, dsl::closed_at_ms))
        .first(tx.connection())
        .optional()?;
    Ok(found.map(|(edge, counts_from_ms, closed_at_ms)| LedgerRow { edge, counts_from_ms, closed_at_ms }))
}

/// When an edge reported a new ledger last, unix milliseconds.
pub fn last_begun_ms(tx: &mut ReadTx<'_>, edge: &str) -> Result<Option<i64>, DbError> {
    let of_edge = dsl::ledgers.filter(dsl::edge.eq(edge)).order(dsl::first_heard_at_ms.desc());
    Ok(of_edge.select(dsl::first_heard_at_ms).first(tx.connection()).optional()?)
}

/// How many new ledgers an edge has reported since then (unix milliseconds).
pub fn begun_since(tx: &mut ReadTx<'_>, edge: &str, since_ms: i64) -> Result<i64, DbError> {
    let of_edge = dsl::ledgers.filter(dsl::edge.eq(edge)).filter(dsl::first_heard_at_ms.gt(since_ms));
    Ok(of_edge.count().get_result(tx.connection())?)
}

/// Adds a ledger that an edge has just reported for the first time.
pub fn insert(tx: &mut WriteTx<'_>, edge: &str, new: NewLedger, now_ms: i64) -> Result<(), DbError> {
    let row = (
        dsl::ledger_id.eq(column_of(new.ledger.get())),
        dsl::edge.eq(edge),
        dsl::generation.eq(new.generation),
        dsl::created_at_ms.eq(new.created_at_ms),
        dsl::counts_from_ms.eq(new.counts_from_ms),
        dsl::first_heard_at_ms.eq(now_ms),
        dsl::heard_at_ms.eq(now_ms),
    );
    diesel::insert_into(dsl::ledgers).values(row).execute(tx.connection())?;
    Ok(())
}

/// Notes when a ledger was heard.
pub fn set_heard(tx: &mut WriteTx<'_>, ledger: LedgerId, now_ms: i64) -> Result<(), DbError> {
    let target = dsl::ledgers.find(column_of(ledger.get()));
    diesel::update(target).set(dsl::heard_at_ms.eq(now_ms)).execute(tx.connection())?;
    Ok(())
}

/// Notes that nobody counts in a ledger any more.
pub fn set_closed(tx: &mut WriteTx<'_>, ledger: LedgerId, now_ms: i64) -> Result<(), DbError> {
    let target = dsl::ledgers.find(column_of(ledger.get()));
    diesel::update(target).set(dsl::closed_at_ms.eq(now_ms)).execute(tx.connection())?;
    Ok(())
}
