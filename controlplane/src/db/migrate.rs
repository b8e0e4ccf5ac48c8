//! Migrations, embedded in the binary: a folder a database, the same names in each.

use crate::db::connection::{AnyConnection, MultiBackend};
use crate::db::{DbError, stream, transaction};
use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel::prelude::*;
use diesel::{QueryableByName, sql_types};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::collections::BTreeSet;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Any number that nobody else takes an advisory lock on in this database.
const POSTGRES_LOCK: i64 = 0x5375_6966_746c_7901;

diesel::table! {
    /// Kept by diesel_migrations.
    __diesel_schema_migrations (version) {
        version -> Text,
    }
}

/// Runs what is missing. The look and the work are one write transaction, so that programs which start at the
/// same time do not both do it; where nothing is missing none is begun, so that a reader does not wait for a
/// writer, and who may not make tables can work on those that are there.
pub(in crate::db) fn bring_up_to_date(connection: &mut AnyConnection) -> Result<(), DbError> {
    if missing(connection)? == 0 {
        return Ok(());
    }
    transaction::begin_writing(connection)?;
    let result = run_missing(connection);
    transaction::end(connection, result)
}

fn run_missing(connection: &mut AnyConnection) -> Result<(), DbError> {
    if let AnyConnection::Postgres(connection) = connection {
        // Held until the commit. `CREATE TABLE IF NOT EXISTS` alone fails when two do it at once.
        connection.batch_execute(&format!("SELECT pg_advisory_xact_lock({POSTGRES_LOCK})"))?;
    }
    if missing(connection)? > 0 {
        let source = source(connection);
        connection.run_pending_migrations(source).map_err(DbError::Migrate)?;
    }
    stream::make_if_missing(connection)
}

const fn source(connection: &AnyConnection) -> EmbeddedMigrations {
    match connection {
        AnyConnection::Sqlite(_) => SQLITE,
        AnyConnection::Postgres(_) => POSTGRES,
    }
}

/// How many migrations are missing; one that we do not know is an error.
fn missing(connection: &mut AnyConnection) -> Result<usize, DbError> {
    let known = MigrationSource::<MultiBackend>::migrations(&source(connection)).map_err(DbError::Migrate)?;
    let known: BTreeSet<String> =
        known.iter().map(|migration| migration.name().version().to_string()).collect();
    let applied: BTreeSet<String> = if is_begun(connection)? {
        let versions = __diesel_schema_migrations::table.select(__diesel_schema_migrations::version);
        versions.load(connection)?.into_iter().collect()
    } else {
        BTreeSet::new()
    };
    match applied.difference(&known).next() {
        None => Ok(known.difference(&applied).count()),
        Some(unknown) => Err(DbError::TooNew(unknown.clone())),
    }
}

/// The last migration that was run.
pub(in crate::db) fn version(connection: &mut AnyConnection) -> Result<String, DbError> {
    use __diesel_schema_migrations as applied;
    let last = applied::table.select(applied::version).order(applied::version.desc()).first(connection);
    Ok(last?)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = sql_types::BigInt)]
    count: i64,
}

/// Whether any migration was ever run here: the table that counts them is there.
fn is_begun(connection: &mut AnyConnection) -> Result<bool, DbError> {
    let look = match connection {
        AnyConnection::Sqlite(_) => {
            "SELECT count(*) AS count FROM sqlite_master WHERE name = '__diesel_schema_migrations'"
        }
        AnyConnection::Postgres(_) => "SELECT count(to_regclass('__diesel_schema_migrations')) AS count",
    };
    Ok(diesel::sql_query(look).get_result::<Count>(connection)?.count > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::databases::{Backend, TestDatabase, on_both_databases};
    use crate::db::Database;

    on_both_databases! {
        down_undoes_up_and_up_again_leaves_the_same_schema,
        a_database_of_a_newer_version_is_refused,
        many_first_starts_at_once_make_the_tables_once,
    }

    #[derive(QueryableByName, PartialEq, Eq, Debug)]
    struct Object {
        #[diesel(sql_type = sql_types::Text)]
        name: String,
        #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
        sql: Option<String>,
    }

    /// Everything that a migration makes, as the database itself describes it.
    fn schema(connection: &mut AnyConnection) -> Vec<Object> {
        let look = match connection {
            AnyConnection::Sqlite(_) => "SELECT name, sql FROM sqlite_master ORDER BY name, sql",
            AnyConnection::Postgres(_) => {
                "SELECT table_name || '.' || column_name AS name,
                    concat_ws(' ', data_type, is_nullable, column_default) AS sql
                FROM information_schema.columns WHERE table_schema = 'public'
                UNION ALL SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
                FROM pg_constraint WHERE connamespace = 'public'::regnamespace
                UNION ALL SELECT tablename || ' ' || indexname, indexdef
                FROM pg_indexes WHERE schemaname = 'public'
                ORDER BY 1, 2"
            }
        };
        let objects: Vec<Object> = diesel::sql_query(look).load(connection).unwrap();
        objects.into_iter().filter(|object| !object.name.contains("__diesel")).collect()
    }

    fn down_undoes_up_and_up_again_leaves_the_same_schema(backend: Backend) {
        let place = TestDatabase::new(backend);
        let mut database = place.open();
        let connection = &mut database.connection;
        let first = schema(connection);
        assert!(first.len() > 9, "{first:?}");
        let source = source(connection);
        connection.revert_all_migrations(source).unwrap();
        assert_eq!(schema(connection), []);
        bring_up_to_date(connection).unwrap();
        assert_eq!(schema(connection), first);
    }

    fn a_database_of_a_newer_version_is_refused(backend: Backend) {
        let place = TestDatabase::new(backend);
        let mut database = place.open();
        diesel::sql_query("INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000001')")
            .execute(&mut database.connection)
            .unwrap();
        assert!(matches!(Database::open(&place.config), Err(DbError::TooNew(_))));
    }

    fn many_first_starts_at_once_make_the_tables_once(backend: Backend) {
        let place = TestDatabase::new(backend);
        let position = || place.open().read(stream::position).unwrap();
        let positions: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..12).map(|_| scope.spawn(position)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let first = positions.first().unwrap();
        assert!(positions.iter().all(|position| position == first), "{positions:?}");
    }

    #[test]
    fn who_may_not_make_tables_can_use_those_that_are_there() {
        let place = TestDatabase::new(Backend::Postgres);
        drop(place.open());
        let role = format!("worker_{}", crate::random::nonzero_u64().unwrap());
        let mut psql = place.psql();
        psql.batch_execute(&format!(
            "CREATE ROLE {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
        ))
        .unwrap();
        psql.batch_execute(&format!("SET ROLE {role}")).unwrap();
        let mut connection = AnyConnection::Postgres(psql);
        bring_up_to_date(&mut connection).unwrap();
        let AnyConnection::Postgres(mut psql) = connection else { return };
        psql.batch_execute(&format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
    }

    const UP: [&str; 2] = [
        include_str!("../../migrations/sqlite/2026-11-21-000001_first_tables/up.sql"),
        include_str!("../../migrations/postgres/2026-11-21-000001_first_tables/up.sql"),
    ];

    /// Times, money and ids do not fit 32 bits; a column that is `INTEGER` must be there for a reason.
    #[test]
    fn every_number_is_bigint_but_the_one_named_here() {
        for up in UP {
            let small: Vec<&str> = up.lines().filter(|line| line.contains(" INTEGER")).collect();
            assert_eq!(small.len(), 1, "{small:?}");
        }
    }

    #[test]
    fn both_databases_have_the_same_migrations() {
        let names = |source: EmbeddedMigrations| -> BTreeSet<String> {
            let migrations = MigrationSource::<MultiBackend>::migrations(&source).unwrap();
            migrations.iter().map(|migration| migration.name().to_string()).collect()
        };
        assert_eq!(names(SQLITE), names(POSTGRES));
        // So far the two databases understand the same text; where one must differ, compare what it makes.
        assert_eq!(UP[0], UP[1]);
    }
}
