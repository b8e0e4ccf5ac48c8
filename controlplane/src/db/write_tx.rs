//! A write transaction. There is no other way to write.
//!
//! Writers exclude each other on both databases, so that every rule of [`crate::domain`] may read, decide and
//! write without a thought for another process: SQLite has one writer (`BEGIN IMMEDIATE`), and on PostgreSQL
//! the first statement locks the one row of `stream` until the end. After the wait for that lock every
//! statement (READ COMMITTED takes a new look for each) sees all that earlier writers have committed, and the
//! lock is given back only after the commit can be seen: numbers in the change log have no gap and follow the
//! order of commits, and who sees one sees all before it.
//!
//! SERIALIZABLE would let writers run side by side, for the price of aborts that every caller must repeat; and
//! all that record a change would meet at the counter anyway. What the lock costs: one more statement a
//! transaction, and writers of the whole installation take turns, a commit each. The longest turn is a chunk of
//! a revocation file, two statements a key: half a second on a server's own machine, more over a network.

use crate::db::read_tx::ReadTx;
use crate::db::{Database, DbError, postgres, stream, transaction};
use crate::domain::activity::Actor;
use std::ops::{Deref, DerefMut};

/// An open transaction that may write; nobody else writes until it ends.
pub struct WriteTx<'c> {
    reading: ReadTx<'c>,
    actor: Actor,
}

impl WriteTx<'_> {
    /// In whose name this is done.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Says in whose name the rest of this transaction is done, once that is known.
    pub fn act_as(&mut self, actor: Actor) {
        self.actor = actor;
    }
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
        self.begin(transaction::begin_writing)?;
        let result = self.write_alone(write);
        transaction::end(&mut self.connection, result)
    }

    fn write_alone<T, E: From<DbError>>(
        &mut self,
        write: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = stream::lock(&mut self.connection)?;
        let mut tx =
            WriteTx { reading: ReadTx::new(&mut self.connection, Some(begun)), actor: self.actor.clone() };
        let value = write(&mut tx)?;
        let ended = stream::position(&mut tx)?;
        if ended != begun {
            stream::store(&mut self.connection, ended)?;
            postgres::announce_changes(&mut self.connection).map_err(DbError::Query)?;
        }
        Ok(value)
    }
}
