//! The history that sequence numbers count in.

use crate::db::schema::stream::dsl;
use crate::db::{DbError, ReadTx, WriteTx, bits_of, column_of, number};
use diesel::prelude::*;
use edgeformat::StreamId;

/// Where the history stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// Which history.
    pub stream: StreamId,
    /// The last change in it; 0 is none yet.
    pub sequence: u64,
}

/// Where the history stands now.
pub fn position(tx: &mut ReadTx<'_>) -> Result<Position, DbError> {
    let row: Option<(i64, i64)> =
        dsl::stream.select((dsl::stream_id, dsl::sequence)).first(tx.connection()).optional()?;
    let (id, sequence) = row.ok_or_else(|| DbError::unexpected("stream", "its one row is missing"))?;
    Ok(Position {
        stream: StreamId::from_u64(bits_of(id)),
        sequence: number("stream", "sequence", sequence)?,
    })
}

/// Takes the next sequence number; only [`crate::changes::record`] does. The transaction's rollback gives it
/// back.
pub(crate) fn advance(tx: &mut WriteTx<'_>) -> Result<u64, DbError> {
    diesel::update(dsl::stream).set(dsl::sequence.eq(dsl::sequence + 1)).execute(tx.connection())?;
    Ok(position(tx)?.sequence)
}

/// Begins a history in a new database.
pub(in crate::db) fn make_if_missing(tx: &mut WriteTx<'_>) -> Result<(), DbError> {
    let count: i64 = dsl::stream.count().get_result(tx.connection())?;
    if count == 0 {
        let id = column_of(crate::random::nonzero_u64()?);
        let row = (dsl::stream_id.eq(id), dsl::sequence.eq(0));
        diesel::insert_into(dsl::stream).values(row).execute(tx.connection())?;
    }
    Ok(())
}
