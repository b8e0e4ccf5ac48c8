//! The catalogue of prices: what an item costs from a moment on. Rows are added; only one that is not in force yet is ever
//! deleted.

use crate::db::schema::prices::dsl;
use crate::db::{DbError, ReadTx, WriteTx, word};
use crate::domain::catalogue::{PriceItem, PriceRow};
use diesel::prelude::*;
use std::ops::Range;

/// What an item costs at a moment, in millionths of a US dollar. An item without a price by then is an error.
pub fn price_at(tx: &mut ReadTx<'_>, item: PriceItem, now_ms: i64) -> Result<i64, DbError> {
    let found: Option<i64> = dsl::prices
        .filter(dsl::item.eq(item.word()))
        .filter(dsl::valid_from_ms.le(now_ms))
        .order(dsl::valid_from_ms.desc())
        .select(dsl::micro_usd)
        .first(tx.connection())
        .optional()?;
    found.ok_or_else(|| {
        DbError::unexpected("prices", format!("{} has no price that is valid now", item.word()))
    })
}

/// The prices of an item that hold in a time, unix milliseconds, oldest first: the one in force at its beginning, and those that begin in
/// it.
pub fn in_force(
    tx: &mut ReadTx<'_>,
    item: PriceItem,
    time_ms: &Range<i64>,
) -> Result<Vec<PriceRow>, DbError> {
    let rows: Vec<(i64, i64)> = dsl::prices
        .filter(dsl::item.eq(item.word()))
        .filter(dsl::valid_from_ms.lt(time_ms.end))
        .order(dsl::valid_from_ms.asc())
        .select((dsl::valid_from_ms, dsl::micro_usd))
        .load(tx.connection())?;
    let first = rows.iter().rposition(|(from_ms, _)| *from_ms <= time_ms.start).unwrap_or(0);
    let rows = rows.into_iter().skip(first);
    Ok(rows.map(|(valid_from_ms, micro_usd)| PriceRow { item, valid_from_ms, micro_usd }).collect())
}

/// Every row, past and coming, by item and then by its moment.
pub fn all(tx: &mut ReadTx<'_>) -> Result<Vec<PriceRow>, DbError> {
    let rows: Vec<(String, i64, i64)> =
        dsl::prices.select((dsl::item, dsl::valid_from_ms, dsl::micro_usd)).load(tx.connection())?;
    let mut rows = rows
        .into_iter()
        .map(|(item, valid_from_ms, micro_usd)| {
            Ok(PriceRow { item: word("prices", "item", &item)?, valid_from_ms, micro_usd })
        })
        .collect::<Result<Vec<PriceRow>, DbError>>()?;
    rows.sort_by_key(|row| (row.item, row.valid_from_ms));
    Ok(rows)
}

/// Adds a row.
pub fn insert(tx: &mut WriteTx<'_>, row: &PriceRow) -> Result<(), DbError> {
    let columns = (
        dsl::item.eq(row.item.word()),
        dsl::valid_from_ms.eq(row.valid_from_ms),
        dsl::micro_usd.eq(row.micro_usd),
    );
    diesel::insert_into(dsl::prices).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Deletes the row of an item with this moment if that is still to come. Answers whether there was one.
pub fn delete_coming(
    tx: &mut WriteTx<'_>,
    item: PriceItem,
    valid_from_ms: i64,
    now_ms: i64,
) -> Result<bool, DbError> {
    let target = dsl::prices.find((item.word(), valid_from_ms)).filter(dsl::valid_from_ms.gt(now_ms));
    Ok(diesel::delete(target).execute(tx.connection())? > 0)
}
