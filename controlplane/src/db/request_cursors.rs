//! Up to which batch the request log of each edge was taken.

use crate::db::schema::request_cursors::dsl;
use crate::db::{DbError, ReadTx, WriteTx};
use diesel::prelude::*;

/// The last batch of an edge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// Which process sent it.
    pub instance: String,
    /// Its how many-th.
    pub number: i64,
    /// The number that the edge's next line gets.
    pub next_seq: i64,
}

/// Of this edge; none before its first batch.
pub fn find(tx: &mut ReadTx<'_>, edge: &str) -> Result<Option<Cursor>, DbError> {
    let found: Option<(String, i64, i64)> = dsl::request_cursors
        .find(edge)
        .select((dsl::instance, dsl::number, dsl::next_seq))
        .first(tx.connection())
        .optional()?;
    Ok(found.map(|(instance, number, next_seq)| Cursor { instance, number, next_seq }))
}

/// Notes a batch; `is_first` where the edge has no row yet.
pub fn set(tx: &mut WriteTx<'_>, edge: &str, cursor: &Cursor, is_first: bool) -> Result<(), DbError> {
    let columns = (
        dsl::instance.eq(&cursor.instance),
        dsl::number.eq(cursor.number),
        dsl::next_seq.eq(cursor.next_seq),
    );
    if is_first {
        diesel::insert_into(dsl::request_cursors)
            .values((dsl::edge.eq(edge), columns.0, columns.1, columns.2))
            .execute(tx.connection())?;
    } else {
        diesel::update(dsl::request_cursors.find(edge)).set(columns).execute(tx.connection())?;
    }
    Ok(())
}
