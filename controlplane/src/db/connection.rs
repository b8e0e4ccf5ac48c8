//! Opening a connection. Which database it leads to is decided by the settings, nowhere else.

use crate::config::DatabaseConfig;
use crate::db::{DbError, migrate, postgres, sqlite};
use crate::domain::activity::Actor;
use diesel::connection::TransactionManager;
use diesel::{PgConnection, SqliteConnection};

/// A connection to either database. A query on it runs on both; what only one of them can do (`FOR UPDATE`,
/// `NOTIFY`, upserts) matches on the variant, in this folder only. Its derived `establish` guesses and is never
/// called.
#[derive(diesel::MultiConnection)]
pub(in crate::db) enum AnyConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// One open connection.
pub struct Database {
    config: DatabaseConfig,
    pub(in crate::db) connection: AnyConnection,
    pub(in crate::db) actor: Actor,
}

impl Database {
    /// Opens the database and brings its tables to this version. A SQLite file is made where there is none; a
    /// database of PostgreSQL must be there.
    ///
    /// # Errors
    /// [`DbError`]; a database that a newer version has changed is refused.
    pub fn open(config: &DatabaseConfig) -> Result<Self, DbError> {
        let mut connection = match config {
            DatabaseConfig::Sqlite(file) => AnyConnection::Sqlite(sqlite::open(file)?),
            DatabaseConfig::Postgres(_) => connect(config)?,
        };
        migrate::bring_up_to_date(&mut connection)?;
        Ok(Self { config: config.clone(), connection, actor: Actor::system() })
    }

    /// Opens a further connection to a database that [`Self::open`] has brought up to date.
    ///
    /// # Errors
    /// [`DbError::Open`] or [`DbError::Query`].
    pub fn open_again(config: &DatabaseConfig) -> Result<Self, DbError> {
        Ok(Self { config: config.clone(), connection: connect(config)?, actor: Actor::system() })
    }

    /// Whether a transaction was left in a state that no other can follow.
    pub(in crate::db) fn is_broken(&mut self) -> bool {
        AnyConnection::is_broken_transaction_manager(&mut self.connection)
    }

    /// Says in whose name everything is changed from now on; the system's own until it is said.
    pub fn act_as(&mut self, actor: Actor) {
        self.actor = actor;
    }

    /// Begins a transaction. A server that was restarted has cut the connection; as long as nothing has begun
    /// nothing is lost with it, so that another one is made, once.
    pub(in crate::db) fn begin(
        &mut self,
        begin: impl Fn(&mut AnyConnection) -> diesel::QueryResult<()>,
    ) -> Result<(), DbError> {
        let Err(error) = begin(&mut self.connection) else { return Ok(()) };
        let is_remote = matches!(self.config, DatabaseConfig::Postgres(_));
        if !is_remote && !AnyConnection::is_broken_transaction_manager(&mut self.connection) {
            return Err(error.into());
        }
        self.connection = connect(&self.config)?;
        Ok(begin(&mut self.connection)?)
    }
}

fn connect(config: &DatabaseConfig) -> Result<AnyConnection, DbError> {
    match config {
        DatabaseConfig::Sqlite(file) => sqlite::connect(file).map(AnyConnection::Sqlite),
        DatabaseConfig::Postgres(url) => postgres::connect(url).map(AnyConnection::Postgres),
    }
}
