//! Beginning and ending a transaction on either database.

use crate::db::DbError;
use crate::db::connection::AnyConnection;
use diesel::QueryResult;
use diesel::connection::{AnsiTransactionManager, TransactionManager};

/// For reading: everything that is read belongs to one moment. SQLite's deferred transaction reads one state of
/// the file; PostgreSQL's default would give each statement a moment of its own.
pub(in crate::db) fn begin_reading(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Sqlite(connection) => {
            AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN")
        }
        AnyConnection::Postgres(connection) => AnsiTransactionManager::begin_transaction_sql(
            connection,
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        ),
    }
}

/// For writing; see [`crate::db::WriteTx`] for what makes the writer the only one.
///
/// SQLite: IMMEDIATE, since a transaction that reads first and writes later would be refused as busy in spite
/// of the timeout when another one wrote in between. PostgreSQL: each statement sees what was committed before
/// it, so that after the wait for a lock one reads what the holder has written.
pub(in crate::db) fn begin_writing(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Sqlite(connection) => {
            AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE")
        }
        AnyConnection::Postgres(connection) => AnsiTransactionManager::begin_transaction_sql(
            connection,
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        ),
    }
}

/// Commits where the work succeeded, else undoes it.
pub(in crate::db) fn end<T, E: From<DbError>>(
    connection: &mut AnyConnection,
    result: Result<T, E>,
) -> Result<T, E> {
    match result {
        Ok(value) => {
            AnyConnection::commit_transaction(connection).map_err(DbError::Query)?;
            Ok(value)
        }
        Err(error) => {
            // A connection that broke has undone it already; the caller is told what came first, and the next
            // transaction finds out.
            if let Err(error) = AnyConnection::rollback_transaction(connection) {
                tracing::debug!(%error, "a transaction could not be rolled back");
            }
            Err(error)
        }
    }
}
