//! A database of its own for each test, on either kind. The tests in this folder use it, and the unit tests of
//! the library.

#![allow(
    dead_code,
    unused_macros,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each user uses a part of it, and a test fails by panicking"
)]

use controlplane::config::{Config, DatabaseConfig, Variables};
use controlplane::db::Database;
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use tempfile::TempDir;

/// On which kind of database a test runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// Makes two tests of each function that takes a [`Backend`]: `sqlite::name` and `postgres::name`.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { super::$test(super::Backend::Sqlite); })+
        }
        mod postgres {
            $(#[test] fn $test() { super::$test(super::Backend::Postgres); })+
        }
    };
}
pub(crate) use on_both_databases;

/// An empty database; it goes with the value.
pub(crate) struct TestDatabase {
    pub(crate) config: DatabaseConfig,
    /// What stands in `DATABASE_URL`.
    pub(crate) url: String,
    folder: TempDir,
    /// Its name on the test's server.
    on_server: Option<String>,
}

impl TestDatabase {
    pub(crate) fn new(backend: Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (url, on_server) = match backend {
            Backend::Sqlite => (format!("sqlite://{}", folder.path().join("x.db").display()), None),
            Backend::Postgres => {
                let name = format!("test_{:016x}", controlplane::random::nonzero_u64().unwrap());
                on_server(OWNER);
                on_server(&format!("CREATE DATABASE {name} OWNER suiftly_test"));
                (as_owner(&url_of(&name)), Some(name))
            }
        };
        let variables = Variables::from([("DATABASE_URL".to_owned(), url.clone())]);
        let config = Config::from_variables(&variables).unwrap().database;
        Self { config, url, folder, on_server }
    }

    /// Opens it; the first time makes its tables.
    pub(crate) fn open(&self) -> Database {
        Database::open(&self.config).unwrap()
    }

    /// A connection past the program, as an administrator with `psql` has one.
    pub(crate) fn psql(&self) -> PgConnection {
        PgConnection::establish(&url_of(self.on_server.as_ref().unwrap())).unwrap()
    }

    /// Cuts every other session on it, as a restart of the server does.
    pub(crate) fn cut_every_session(&self) {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.psql().batch_execute(cut).unwrap();
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some(name) = &self.on_server {
            on_server(&format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// A role without any right but to own its database: what the program needs, and no more.
const OWNER: &str = "DO $$ BEGIN CREATE ROLE suiftly_test LOGIN; \
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$";

fn as_owner(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, host) = rest.split_once('@').unwrap();
    format!("{scheme}://suiftly_test@{host}")
}

fn server() -> String {
    std::env::var("SUIFTLY_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "SUIFTLY_TEST_POSTGRES names no PostgreSQL; run the tests with one: \
             scripts/with-postgres cargo nextest run --cargo-profile release -p controlplane"
        )
    })
}

/// The server's URL with another database in it.
fn url_of(database: &str) -> String {
    let server = server();
    let (before, parameters) = server.split_once('?').unwrap();
    let (host, _) = before.rsplit_once('/').unwrap();
    format!("{host}/{database}?{parameters}")
}

fn on_server(statement: &str) {
    PgConnection::establish(&server()).unwrap().batch_execute(statement).unwrap();
}
