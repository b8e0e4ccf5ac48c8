//! Accounts in tests: rows that sign-in would write, and the log as the command shows it.

use super::{Backend, Stack, TestDatabase};
use controlplane::config::DatabaseConfig;
use diesel::connection::SimpleConnection;
use diesel::{Connection, RunQueryDsl, SqliteConnection};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A database past the program: what its other parts, which sign people in, would write.
pub(crate) enum Raw<'a> {
    File(PathBuf),
    Server(&'a TestDatabase),
}

impl<'a> Raw<'a> {
    pub(crate) fn of_stack(stack: &'a Stack, backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => Self::File(stack.path("suiftly.db")),
            Backend::Postgres => Self::Server(stack.database()),
        }
    }

    pub(crate) fn of(place: &'a TestDatabase) -> Self {
        match &place.config {
            DatabaseConfig::Sqlite(file) => Self::File(file.clone()),
            DatabaseConfig::Postgres(_) => Self::Server(place),
        }
    }

    fn sqlite(file: &Path) -> SqliteConnection {
        let mut connection = SqliteConnection::establish(&file.display().to_string()).unwrap();
        connection.batch_execute("PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON;").unwrap();
        connection
    }

    pub(crate) fn run(&self, statements: &str) {
        match self {
            Self::File(file) => Self::sqlite(file).batch_execute(statements).unwrap(),
            Self::Server(place) => place.psql().batch_execute(statements).unwrap(),
        }
    }

    pub(crate) fn count(&self, what: &str) -> i64 {
        let query = diesel::sql_query(format!("SELECT COUNT(*) AS count FROM {what}"));
        let row: Count = match self {
            Self::File(file) => query.get_result(&mut Self::sqlite(file)).unwrap(),
            Self::Server(place) => query.get_result(&mut place.psql()).unwrap(),
        };
        row.count
    }
}

#[derive(diesel::QueryableByName)]
pub(crate) struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

pub(crate) fn session(customer: u64, id: u8, created_ms: i64, expires_ms: i64, agent: &str) -> String {
    format!(
        "INSERT INTO sessions VALUES ('{id:032x}', {customer}, '192.0.2.{id}', '{agent}', {created_ms}, \
         {created_ms}, {expires_ms}, NULL, NULL); \
         INSERT INTO refresh_tokens VALUES ('{id:064x}', '{id:032x}', {created_ms}, {expires_ms}, NULL);"
    )
}

pub(crate) fn api_token(customer: u64, id: u8) -> String {
    format!(
        "INSERT INTO api_tokens VALUES ('{id:032x}', {customer}, 'ci', '{id:064x}', 'keys:read', 0, \
         9999999999999, NULL, NULL, 1);"
    )
}

/// The log as the command shows it, oldest first.
pub(crate) fn log(stack: &Stack, customer: u64) -> Vec<Value> {
    let listed = stack.run(&format!("admin customer activity --customer {customer} --json")).json_with(0);
    let mut items = listed["items"].as_array().unwrap().clone();
    items.reverse();
    items
}

pub(crate) fn actions(log: &[Value]) -> Vec<&str> {
    log.iter().map(|item| item["action"].as_str().unwrap()).collect()
}

pub(crate) fn login() -> String {
    let id = |what: &str| {
        let output = std::process::Command::new("id").args(["-r", what]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    // `id` prints the number again where there is no name.
    let (name, uid) = (id("-un"), id("-u"));
    if name == uid || name.is_empty() { format!("uid {uid}") } else { name }
}

pub(crate) fn wallet(number: u32) -> String {
    format!("0x{number:064x}")
}
