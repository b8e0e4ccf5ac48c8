//! Migrations, embedded in the binary.

use crate::db::{DbError, WriteTx, stream, write_tx};
use diesel::SqliteConnection;
use diesel::migration::MigrationSource;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::collections::BTreeSet;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Runs what is missing. The look and the work are one write transaction, so that programs which start at the
/// same time do not both do it; where nothing is missing none is begun, so that a reader does not wait for a
/// writer.
pub(in crate::db) fn bring_up_to_date(connection: &mut SqliteConnection) -> Result<(), DbError> {
    if missing(connection)? == 0 {
        return Ok(());
    }
    write_tx::immediate(connection, |tx: &mut WriteTx<'_>| {
        if missing(tx.connection())? > 0 {
            tx.connection().run_pending_migrations(SQLITE).map_err(DbError::Migrate)?;
        }
        stream::make_if_missing(tx)
    })
}

/// How many migrations are missing; one that we do not know is an error.
fn missing(connection: &mut SqliteConnection) -> Result<usize, DbError> {
    let known = MigrationSource::<Sqlite>::migrations(&SQLITE).map_err(DbError::Migrate)?;
    let known: BTreeSet<String> =
        known.iter().map(|migration| migration.name().version().to_string()).collect();
    let applied = connection.applied_migrations().map_err(DbError::Migrate)?;
    let applied: BTreeSet<String> = applied.iter().map(ToString::to_string).collect();
    match applied.difference(&known).next() {
        None => Ok(known.difference(&applied).count()),
        Some(unknown) => Err(DbError::TooNew(unknown.clone())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::db::Database;
    use diesel::{QueryableByName, RunQueryDsl, sql_types};

    #[derive(QueryableByName, PartialEq, Debug)]
    struct Object {
        #[diesel(sql_type = sql_types::Text)]
        name: String,
        #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
        sql: Option<String>,
    }

    fn schema(connection: &mut SqliteConnection) -> Vec<Object> {
        diesel::sql_query("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '__diesel%' ORDER BY name")
            .load(connection)
            .unwrap()
            .into_iter()
            .filter(|object: &Object| !object.name.contains("__diesel"))
            .collect()
    }

    #[test]
    fn down_undoes_up_and_up_again_leaves_the_same_schema() {
        let folder = tempfile::tempdir().unwrap();
        let mut database = Database::open(&folder.path().join("x.db")).unwrap();
        let first = schema(&mut database.connection);
        assert!(first.len() > 9, "{first:?}");
        database.connection.revert_all_migrations(SQLITE).unwrap();
        assert_eq!(schema(&mut database.connection), []);
        bring_up_to_date(&mut database.connection).unwrap();
        assert_eq!(schema(&mut database.connection), first);
    }

    #[test]
    fn a_database_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.db");
        let mut database = Database::open(&file).unwrap();
        diesel::sql_query("INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000001')")
            .execute(&mut database.connection)
            .unwrap();
        assert!(matches!(Database::open(&file), Err(DbError::TooNew(_))));
    }

    /// Times, money and ids do not fit 32 bits; a column that is `INTEGER` must be there for a reason.
    #[test]
    fn every_number_is_bigint_but_the_one_named_here() {
        let up = include_str!("../../migrations/sqlite/2026-11-21-000001_first_tables/up.sql");
        let small: Vec<&str> = up.lines().filter(|line| line.contains(" INTEGER")).collect();
        assert_eq!(small.len(), 1, "{small:?}");
    }
}
