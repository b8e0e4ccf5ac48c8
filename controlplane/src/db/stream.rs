//! The history that sequence numbers count in.

use crate::db::connection::AnyConnection;
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

/// Where the history stands now, with what this transaction has recorded itself.
pub fn position(tx: &mut ReadTx<'_>) -> Result<Position, DbError> {
    if let Some(position) = *tx.position() {
        return Ok(position);
    }
    let rows: Vec<(i64, i64)> = dsl::stream.select((dsl::stream_id, dsl::sequence)).load(tx.connection())?;
    let position = only(&rows)?;
    *tx.position() = Some(position);
    Ok(position)
}

/// Takes the next sequence number; only [`crate::changes::record`] does. The transaction's rollback gives it
/// back. The counter itself is written once, at the end of the transaction: a row that is updated 5,000 times in
/// one transaction of PostgreSQL would be 5,000 rows to look through.
pub(crate) fn advance(tx: &mut WriteTx<'_>) -> Result<u64, DbError> {
    let Position { stream, sequence } = position(tx)?;
    *tx.position() = Some(Position { stream, sequence: sequence + 1 });
    Ok(sequence + 1)
}

/// Begins another history in the place of the present one, from a number on that neither has reached; it stays without a
/// change, so that no change of the old history is ever taken for one of the new.
pub(crate) fn begin_another(tx: &mut WriteTx<'_>, at_least: u64) -> Result<Position, DbError> {
    let now = position(tx)?;
    let new = Position {
        stream: StreamId::from_u64(crate::random::nonzero_u64()?),
        sequence: now.sequence.max(at_least) + 1,
    };
    // The row is changed and not replaced: who waits for its lock finds it.
    let target = dsl::stream.find(column_of(now.stream.get()));
    let columns = (dsl::stream_id.eq(column_of(new.stream.get())), dsl::sequence.eq(column_of(new.sequence)));
    diesel::update(target).set(columns).execute(tx.connection())?;
    *tx.position() = Some(new);
    Ok(new)
}

/// Makes the transaction the only one that writes, and answers where the history stands. On SQLite it is the
/// only one already.
pub(in crate::db) fn lock(connection: &mut AnyConnection) -> Result<Position, DbError> {
    let row = dsl::stream.select((dsl::stream_id, dsl::sequence));
    let rows: Vec<(i64, i64)> = match connection {
        AnyConnection::Sqlite(connection) => row.load(connection)?,
        AnyConnection::Postgres(connection) => row.for_update().load(connection)?,
    };
    only(&rows)
}

/// Writes the counter; only the end of a write transaction does.
pub(in crate::db) fn store(connection: &mut AnyConnection, position: Position) -> Result<(), DbError> {
    let target = dsl::stream.find(column_of(position.stream.get()));
    diesel::update(target).set(dsl::sequence.eq(column_of(position.sequence))).execute(connection)?;
    Ok(())
}

/// Begins a history in a new database.
pub(in crate::db) fn make_if_missing(connection: &mut AnyConnection) -> Result<(), DbError> {
    let count: i64 = dsl::stream.count().get_result(connection)?;
    if count == 0 {
        let id = column_of(crate::random::nonzero_u64()?);
        let row = (dsl::stream_id.eq(id), dsl::sequence.eq(0));
        diesel::insert_into(dsl::stream).values(row).execute(connection)?;
    }
    Ok(())
}

fn only(rows: &[(i64, i64)]) -> Result<Position, DbError> {
    let [(id, sequence)] = rows else {
        return Err(DbError::unexpected("stream", format!("it has {} rows instead of one", rows.len())));
    };
    Ok(Position {
        stream: StreamId::from_u64(bits_of(*id)),
        sequence: number("stream", "sequence", *sequence)?,
    })
}
