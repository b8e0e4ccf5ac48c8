//! A read transaction: everything read in it belongs to one moment.

use crate::db::connection::AnyConnection;
use crate::db::stream::Position;
use crate::db::{Database, DbError, transaction};

/// An open transaction that may read.
pub struct ReadTx<'c> {
    connection: &'c mut AnyConnection,
    /// Where the stream stands, once that is known: nobody else can move it before this transaction ends.
    position: Option<Position>,
}

impl<'c> ReadTx<'c> {
    pub(in crate::db) const fn new(connection: &'c mut AnyConnection, position: Option<Position>) -> Self {
        Self { connection, position }
    }

    pub(in crate::db) const fn connection(&mut self) -> &mut AnyConnection {
        self.connection
    }

    pub(in crate::db) const fn position(&mut self) -> &mut Option<Position> {
        &mut self.position
    }
}

impl Database {
    /// Runs `read` on one unchanging state of the database.
    ///
    /// # Errors
    /// What `read` answers, or [`DbError`].
    pub fn read<T, E: From<DbError>>(
        &mut self,
        read: impl FnOnce(&mut ReadTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin(transaction::begin_reading)?;
        let result = read(&mut ReadTx::new(&mut self.connection, None));
        transaction::end(&mut self.connection, result)
    }
}
