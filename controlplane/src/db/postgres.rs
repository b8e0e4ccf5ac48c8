//! What only PostgreSQL needs: the settings of each session, and the notice that changes have been committed.

use crate::config::PostgresUrl;
use crate::db::DbError;
use crate::db::connection::AnyConnection;
use diesel::connection::SimpleConnection;
use diesel::{Connection as _, ConnectionError, PgConnection, QueryResult};

/// `lock_timeout` is what `busy_timeout` is on SQLite. A program that stops in the middle of a transaction
/// (suspended, its machine gone) would hold up every writer: the server ends its session after a minute.
/// A server that is set to forget the last commits in a crash is told otherwise: a revocation that was
/// confirmed is still there after the power has failed. Stronger settings (`remote_apply`) are left alone.
/// Our statements take milliseconds; to compile one first (`jit`) takes longer than it.
const SESSION: &str = "SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s'; SET jit = off; \
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local');";

/// Opens a connection.
pub(in crate::db) fn connect(url: &PostgresUrl) -> Result<PgConnection, DbError> {
    let mut connection = PgConnection::establish(&url.with_password()).map_err(|error| {
        let message = match error {
            ConnectionError::BadConnection(message) => message,
            other => other.to_string(),
        };
        // libpq writes a line for each address that it tried, and hints on lines of their own.
        let lines: Vec<&str> = message.lines().map(str::trim).collect();
        let message = url.without_password(&lines.join("; "));
        DbError::Open { database: url.to_string(), source: ConnectionError::BadConnection(message) }
    })?;
    connection.batch_execute(SESSION)?;
    Ok(connection)
}

/// Says at the commit of the open transaction, and only then, that there are changes. SQLite has no such
/// thing: there `control.sock` and the agent's tick do.
pub(in crate::db) fn announce_changes(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Sqlite(_) => Ok(()),
        AnyConnection::Postgres(connection) => connection.batch_execute("NOTIFY suiftly_changes"),
    }
}

/// Lets the open transaction stay idle for longer than [`SESSION`] allows: it reads everything, and who takes it may be
/// slow.
pub(in crate::db) fn let_this_transaction_pause(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Sqlite(_) => Ok(()),
        AnyConnection::Postgres(connection) => {
            connection.batch_execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        }
    }
}

/// Hears of changes that other processes have committed, on this machine or another one.
pub struct ChangeNotices {
    /// Of its own: the server delivers on it at any moment.
    connection: PgConnection,
}

impl ChangeNotices {
    /// Begins to listen. What was committed before is not told.
    ///
    /// # Errors
    /// [`DbError::Open`] or [`DbError::Query`].
    pub fn listen(url: &PostgresUrl) -> Result<Self, DbError> {
        let mut connection = connect(url)?;
        connection.batch_execute("LISTEN suiftly_changes")?;
        Ok(Self { connection })
    }

    /// Whether there were changes since the last call. Reads what has arrived and never waits.
    ///
    /// # Errors
    /// [`DbError::Query`]: the connection is gone.
    pub fn take(&mut self) -> Result<bool, DbError> {
        let mut any = false;
        for notice in self.connection.notifications_iter() {
            notice?;
            any = true;
        }
        Ok(any)
    }
}
