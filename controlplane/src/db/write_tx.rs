//! A write transaction. There is no other way to write.
//!
//! It begins with `BEGIN IMMEDIATE`: a transaction that reads first and writes later would be refused as busy
//! in spite of the timeout when another one wrote in between.

use crate::db::read_tx::Stopped;
use crate::db::{Database, DbError, ReadTx};
use diesel::SqliteConnection;
use std::ops::{Deref, DerefMut};

/// An open transaction that may write; nobody else writes until it ends.
pub struct WriteTx<'c> {
    reading: ReadTx<'c>,
}

impl<'c> Deref for WriteTx<'c> {
    type Target = ReadTx<'c>;

    fn deref(&self) -> &Self::Target {
        &self.reading
    }
}

impl DerefMut for WriteTx<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.reading
    }
}

impl Database {
    /// Runs `write` and commits; if it answers an error, nothing has happened.
    ///
    /// # Errors
    /// What `write` answers, or [`DbError`].
    pub fn write<T, E: From<DbError>>(
        &mut self,
        write: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        immediate(&mut self.connection, write)
    }
}

pub(in crate::db) fn immediate<T, E: From<DbError>>(
    connection: &mut SqliteConnection,
    write: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let result = connection.immediate_transaction(|connection| {
        write(&mut WriteTx { reading: ReadTx::new(connection) }).map_err(Stopped::ByCaller)
    });
    result.map_err(Stopped::into_caller)
}
