//! A read transaction: everything read in it belongs to one moment.

use crate::db::{Database, DbError};
use diesel::{Connection as _, SqliteConnection};

/// An open transaction that may read.
pub struct ReadTx<'c> {
    connection: &'c mut SqliteConnection,
}

impl<'c> ReadTx<'c> {
    pub(in crate::db) const fn new(connection: &'c mut SqliteConnection) -> Self {
        Self { connection }
    }

    pub(in crate::db) const fn connection(&mut self) -> &mut SqliteConnection {
        self.connection
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
        let result = self
            .connection
            .transaction(|connection| read(&mut ReadTx::new(connection)).map_err(Stopped::ByCaller));
        result.map_err(Stopped::into_caller)
    }
}

/// Why a transaction was rolled back.
pub(in crate::db) enum Stopped<E> {
    ByCaller(E),
    ByDatabase(diesel::result::Error),
}

impl<E> From<diesel::result::Error> for Stopped<E> {
    fn from(error: diesel::result::Error) -> Self {
        Self::ByDatabase(error)
    }
}

impl<E: From<DbError>> Stopped<E> {
    pub(in crate::db) fn into_caller(self) -> E {
        match self {
            Self::ByCaller(error) => error,
            Self::ByDatabase(error) => DbError::Query(error).into(),
        }
    }
}
