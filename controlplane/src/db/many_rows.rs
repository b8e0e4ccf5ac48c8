//! Adding and deleting many rows with one statement: Diesel's own way does not exist for a connection that can be of either kind.

use crate::db::DbError;
use crate::db::connection::{AnyConnection, MultiBackend};
use diesel::prelude::*;
use diesel::sql_types;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

const POSTGRES_MARK: char = '$';

/// How many rows one statement adds. SQLite takes 32,766 values in one, PostgreSQL 65,535; no table has 60 columns.
const ROWS_MAX: usize = 500;

/// A value of a column. There are no others in our tables.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// `BIGINT`.
    Integer(i64),
    /// `TEXT`.
    Text(String),
    /// `NULL`.
    Null,
}

/// Adds rows to a table. Table and columns are words of this program and never come from outside.
pub(in crate::db) fn insert(
    connection: &mut AnyConnection,
    table: &'static str,
    columns: &[&'static str],
    rows: &[Vec<Cell>],
) -> Result<(), DbError> {
    insert_with_end(connection, table, columns, rows, "")
}

/// Adds rows to a table; where one with the same key is there, the values of the new one take the place of its own. A row's
/// cells are its key and then its values.
pub(in crate::db) fn insert_or_replace(
    connection: &mut AnyConnection,
    table: &'static str,
    key: &[&'static str],
    values: &[&'static str],
    rows: &[Vec<Cell>],
) -> Result<(), DbError> {
    let columns: Vec<&'static str> = key.iter().chain(values).copied().collect();
    let replaced: Vec<String> =
        values.iter().map(|name| format!("\"{name}\" = excluded.\"{name}\"")).collect();
    let end = format!(" ON CONFLICT ({}) DO UPDATE SET {}", quoted(key), replaced.join(", "));
    insert_with_end(connection, table, &columns, rows, &end)
}

/// Deletes the rows with these keys.
pub(in crate::db) fn delete(
    connection: &mut AnyConnection,
    table: &'static str,
    key: &[&'static str],
    keys: &[Vec<Cell>],
) -> Result<(), DbError> {
    for keys in keys.chunks(ROWS_MAX) {
        let mut text = format!("DELETE FROM \"{table}\" WHERE ({}) IN (VALUES ", quoted(key));
        push_rows(&mut text, mark(connection), keys);
        text.push(')');
        bind(text, keys.iter().flatten()).execute(connection)?;
    }
    Ok(())
}

fn insert_with_end(
    connection: &mut AnyConnection,
    table: &'static str,
    columns: &[&'static str],
    rows: &[Vec<Cell>],
    end: &str,
) -> Result<(), DbError> {
    for rows in rows.chunks(ROWS_MAX) {
        let mut text = format!("INSERT INTO \"{table}\" ({}) VALUES ", quoted(columns));
        push_rows(&mut text, mark(connection), rows);
        text.push_str(end);
        bind(text, rows.iter().flatten()).execute(connection)?;
    }
    Ok(())
}

/// `($1, $2), ($3, NULL)`: a place for every cell.
fn push_rows(text: &mut String, mark: char, rows: &[Vec<Cell>]) {
    let mut bound = 0;
    for (number, row) in rows.iter().enumerate() {
        text.push_str(if number == 0 { "(" } else { ", (" });
        for (number, cell) in row.iter().enumerate() {
            text.push_str(if number == 0 { "" } else { ", " });
            // Not bound: its type would have to be that of the column.
            if *cell == Cell::Null {
                text.push_str("NULL");
            } else {
                bound += 1;
                text.push(mark);
                // SQLite counts places itself, and looks through all before it for one that has a number: thousands of them
                // take seconds.
                if mark == POSTGRES_MARK {
                    // Writing into a String cannot fail.
                    let _ = write!(text, "{bound}");
                }
            }
        }
        text.push(')');
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// What stands before the number of a bound value.
pub(in crate::db) const fn mark(connection: &AnyConnection) -> char {
    match connection {
        AnyConnection::Sqlite(_) => '?',
        AnyConnection::Postgres(_) => POSTGRES_MARK,
    }
}

/// A statement with its values, in the order of their numbers; `NULL` is written and not bound.
pub(in crate::db) fn bind<'q>(
    text: String,
    cells: impl Iterator<Item = &'q Cell>,
) -> diesel::query_builder::BoxedSqlQuery<'q, MultiBackend, diesel::query_builder::SqlQuery> {
    let mut query = diesel::sql_query(text).into_boxed::<MultiBackend>();
    for cell in cells {
        query = match cell {
            Cell::Integer(number) => query.bind::<sql_types::BigInt, _>(*number),
            Cell::Text(text) => query.bind::<sql_types::Text, _>(text.as_str()),
            Cell::Null => query,
        };
    }
    query
}
