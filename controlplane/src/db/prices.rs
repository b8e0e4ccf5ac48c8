//! Prices with the moment from which each holds.

use crate::db::schema::prices::dsl;
use crate::db::{DbError, ReadTx};
use diesel::prelude::*;
use std::ops::Range;

/// A price and from when on it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Price {
    /// Unix milliseconds.
    pub valid_from_ms: i64,
    /// Micro-dollars.
    pub micro_usd: i64,
}

/// The prices of a request that hold in a time, unix milliseconds, oldest first: the one in force at its beginning, and all that begin
/// in it.
pub fn of_request(tx: &mut ReadTx<'_>, time_ms: &Range<i64>) -> Result<Vec<Price>, DbError> {
    let rows: Vec<(i64, i64)> = dsl::prices
        .filter(dsl::item.eq("request"))
        .filter(dsl::valid_from_ms.lt(time_ms.end))
        .order(dsl::valid_from_ms.asc())
        .select((dsl::valid_from_ms, dsl::micro_usd))
        .load(tx.connection())?;
    let in_force = rows.iter().rposition(|(from_ms, _)| *from_ms <= time_ms.start).unwrap_or(0);
    let prices = rows.into_iter().skip(in_force);
    Ok(prices.map(|(valid_from_ms, micro_usd)| Price { valid_from_ms, micro_usd }).collect())
}
