//! The database. Only this folder names Diesel.
//!
//! SQLite or PostgreSQL, decided by `DATABASE_URL` when the connection is opened. One schema and one set of
//! queries for both, which keep to what both can do (no upsert by Diesel, and many rows at once only by [`many_rows`]; usage,
//! which is many rows and upserts only, is SQL text over `given_rows`, the same for both) and the columns to `Text`, `BigInt`
//! and `Integer`; the few steps that differ match on the connection's variant.
//!
//! Whoever writes takes a [`WriteTx`], whoever reads a [`ReadTx`]; a [`WriteTx`] can read as well. One table
//! a file, with its row type and its queries; rules live in [`crate::domain`].

pub mod activity;
pub mod allowlist_entries;
pub mod api_keys;
pub mod api_tokens;
pub mod change_log;
mod connection;
pub mod credit_entries;
pub mod customer_lock;
pub mod customers;
pub mod demo;
pub mod derivation_counters;
pub mod edges;
mod given_rows;
pub mod idempotency_keys;
pub mod kept_query;
pub mod key_groups;
pub mod leases;
pub mod ledgers;
pub mod many_rows;
mod migrate;
pub mod operator_tokens;
pub mod pending_usage;
pub mod plans;
pub mod pool;
mod postgres;
pub mod prices;
mod read_tx;
pub mod refresh_tokens;
pub mod request_cursors;
pub mod request_logs;
pub mod request_stats;
pub mod request_sums;
pub mod revocations;
mod schema;
pub mod service_types;
pub mod services;
pub mod sessions;
pub mod sessions_for_support;
pub mod sign_in_challenges;
pub mod sign_in_history;
mod sqlite;
pub mod statistics;
pub mod stats_marks;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod tiers;
pub mod time_pieces;
mod transaction;
pub mod usage_cursors;
pub mod usage_records;
pub mod usage_roll_up;
pub mod usage_set_aside;
pub mod usage_sums;
pub mod whole_tables;
mod write_tx;

pub use connection::Database;
pub use customer_lock::{CustomerLock, lock_customer};
pub use pool::Pool;
pub use postgres::ChangeNotices;
pub use read_tx::ReadTx;
pub use write_tx::WriteTx;

use std::path::PathBuf;

/// Why the database did not do what was asked. For us, not for customers; the chain of sources has the
/// detail.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The file cannot be opened, or the server cannot be reached or refuses us.
    #[error("the database {database} cannot be opened")]
    Open {
        /// Which, without a password.
        database: String,
        /// Why not.
        source: diesel::ConnectionError,
    },
    /// The file or its folder cannot be made.
    #[error("the database {} cannot be made", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// A query failed.
    #[error("the database refused a query")]
    Query(#[from] diesel::result::Error),
    /// The tables cannot be brought to this version.
    #[error("the database's tables cannot be brought up to date")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another program's version has been here.
    #[error(
        "the database has the migration {0}, which this version of suiftly does not know; use the newer version"
    )]
    TooNew(String),
    /// A value is in the database that none of our statements writes.
    #[error(
        "the table {table} holds something unexpected: {detail}; restore it from a backup or correct it by hand"
    )]
    Unexpected {
        /// The table.
        table: &'static str,
        /// What was found, without a secret.
        detail: String,
    },
    /// There is no randomness for the stream's id.
    #[error(transparent)]
    Random(#[from] crate::random::NoRandom),
}

impl DbError {
    pub(in crate::db) fn unexpected(table: &'static str, detail: impl Into<String>) -> Self {
        Self::Unexpected { table, detail: detail.into() }
    }
}

/// A 64-bit name as a column holds it: the same bits.
pub(in crate::db) const fn column_of(bits: u64) -> i64 {
    bits.cast_signed()
}

/// The 64-bit name behind a column.
pub(in crate::db) const fn bits_of(column: i64) -> u64 {
    column.cast_unsigned()
}

/// A number of a column in the type that the program wants.
pub(in crate::db) fn number<N: TryFrom<i64>>(
    table: &'static str,
    name: &str,
    column: i64,
) -> Result<N, DbError> {
    N::try_from(column).map_err(|_| DbError::unexpected(table, format!("{name} is {column}")))
}

/// A word of a column in the type that the program wants.
pub(in crate::db) fn word<W: std::str::FromStr>(
    table: &'static str,
    name: &str,
    column: &str,
) -> Result<W, DbError> {
    column.parse().map_err(|_| DbError::unexpected(table, format!("{name} is `{column}`")))
}

/// The customer id in a column.
pub(in crate::db) fn customer_id(table: &'static str, column: i64) -> Result<apikey::CustomerId, DbError> {
    let id: u32 = number(table, "customer_id", column)?;
    apikey::CustomerId::new(id).ok_or_else(|| DbError::unexpected(table, "customer_id is 0"))
}
