//! Open connections that requests share: opening one costs a hundred times what a query does.

use crate::config::DatabaseConfig;
use crate::db::{Database, DbError};
use crate::domain::activity::Actor;
use std::time::Duration;

/// How many connections there are at most. Queries take well below a millisecond, and writers take turns anyway.
const CONNECTIONS_MAX: u32 = 8;
/// How long a request waits for one.
const WAIT_LIMIT: Duration = Duration::from_secs(3);
/// How long one that nobody uses stays open.
const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// The connections. Cheap to clone.
#[derive(Clone)]
pub struct Pool(r2d2::Pool<Opener>);

/// A connection of the pool: goes back when it is dropped.
pub type Pooled = r2d2::PooledConnection<Opener>;

/// No connection can be had: the database cannot be reached, or all connections are busy.
#[derive(Debug, thiserror::Error)]
#[error("no connection to the database can be had")]
pub struct NoConnection(#[from] r2d2::Error);

impl Pool {
    /// A pool that opens its first connection when it is asked for one. The database must have been brought up to date.
    pub fn new(config: &DatabaseConfig) -> Self {
        let builder = r2d2::Pool::builder()
            .max_size(CONNECTIONS_MAX)
            .min_idle(Some(0))
            .connection_timeout(WAIT_LIMIT)
            .idle_timeout(Some(IDLE_LIMIT))
            // A transaction that finds its connection cut makes another one (`Database::begin`); to ask before each use would
            // double the way.
            .test_on_check_out(false)
            .error_handler(Box::new(LogOpening));
        Self(builder.build_unchecked(Opener(config.clone())))
    }

    /// A connection in whose name nobody acts yet.
    ///
    /// # Errors
    /// [`NoConnection`] after three seconds.
    pub fn get(&self) -> Result<Pooled, NoConnection> {
        let mut database = self.0.get()?;
        database.act_as(Actor::system());
        Ok(database)
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

/// Opens connections for the pool.
#[derive(Debug)]
pub struct Opener(DatabaseConfig);

impl r2d2::ManageConnection for Opener {
    type Connection = Database;
    type Error = DbError;

    fn connect(&self) -> Result<Database, DbError> {
        Database::open_again(&self.0)
    }

    fn is_valid(&self, _: &mut Database) -> Result<(), DbError> {
        Ok(())
    }

    fn has_broken(&self, database: &mut Database) -> bool {
        database.is_broken()
    }
}

/// Why no connection could be opened is said once for each try.
#[derive(Debug)]
struct LogOpening;

impl r2d2::HandleError<DbError> for LogOpening {
    fn handle_error(&self, error: DbError) {
        tracing::error!(
            error = crate::app::chain_of(&error),
            "a connection to the database could not be opened"
        );
    }
}
