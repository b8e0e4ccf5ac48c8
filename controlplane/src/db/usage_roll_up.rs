//! Windows grow old: rows of minutes move into those of hours, those of hours into days, and the oldest are forgotten. Each
//! step takes the oldest rows first, a bounded number, and is one with the transaction that it runs in.

use crate::db::connection::AnyConnection;
use crate::db::many_rows::{self, Cell};
use crate::db::usage_records::{ADD_REASON_ON_CONFLICT, COUNTED, add_on_conflict};
use crate::db::{DbError, WriteTx};
use diesel::prelude::*;
use diesel::{QueryableByName, sql_types};

/// Moves rows of windows of `from_s` seconds that begin before `before_s` (unix seconds) into windows of `to_s` seconds, at most
/// `limit` of them, with their reasons; answers how many.
pub fn move_up(
    tx: &mut WriteTx<'_>,
    from_s: i64,
    to_s: i64,
    before_s: i64,
    limit: u32,
) -> Result<u64, DbError> {
    let Some(oldest) = Oldest::of(tx, from_s, before_s, limit)? else { return Ok(0) };
    let sums = COUNTED.map(|name| format!("CAST(SUM({name}) AS BIGINT)")).join(", ");
    let longer = format!("window_start_s - window_start_s % {to_s}");
    let columns = COUNTED.join(", ");
    oldest.execute(
        tx,
        &format!(
            "INSERT INTO usage_records (customer_id, service, window_start_s, window_length_s, {columns}) \
             SELECT customer_id, service, {longer}, {to_s}, {sums} FROM usage_records WHERE"
        ),
        &format!("GROUP BY customer_id, service, {longer} {}", add_on_conflict()),
    )?;
    oldest.execute_on_reasons(
        tx,
        &format!(
            "INSERT INTO usage_reasons (customer_id, service, window_start_s, window_length_s, reason, count) \
             SELECT customer_id, service, {longer}, {to_s}, reason, CAST(SUM(count) AS BIGINT) FROM usage_reasons WHERE"
        ),
        &format!("GROUP BY customer_id, service, {longer}, reason {ADD_REASON_ON_CONFLICT}"),
    )?;
    oldest.delete(tx)
}

/// Forgets rows of windows of `length_s` seconds that begin before `before_s` (unix seconds), at most `limit` of them, with their
/// reasons; answers how many.
pub fn forget(tx: &mut WriteTx<'_>, length_s: i64, before_s: i64, limit: u32) -> Result<u64, DbError> {
    match Oldest::of(tx, length_s, before_s, limit)? {
        None => Ok(0),
        Some(oldest) => oldest.delete(tx),
    }
}

/// The oldest rows of a length, named by where they lie in the table: the order of one window's rows would have to be kept by an
/// index, which each minute of every customer would pay for. Nobody else writes while the transaction lasts, so they stay there.
struct Oldest {
    /// As the database reads a list of them.
    places: String,
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = sql_types::Text)]
    place: String,
}

impl Oldest {
    fn of(tx: &mut WriteTx<'_>, length_s: i64, before_s: i64, limit: u32) -> Result<Option<Self>, DbError> {
        let connection = tx.connection();
        let place = match connection {
            AnyConnection::Sqlite(_) => "CAST(rowid AS TEXT)",
            AnyConnection::Postgres(_) => "CAST(ctid AS TEXT)",
        };
        let text = format!(
            "SELECT {place} AS place FROM usage_records WHERE window_length_s = {length_s} AND window_start_s < {before_s} \
             ORDER BY window_start_s LIMIT {limit}"
        );
        let found: Vec<Place> = diesel::sql_query(text).load(connection)?;
        if found.is_empty() {
            return Ok(None);
        }
        let places = found.iter().map(|row| row.place.as_str());
        Ok(Some(match connection {
            AnyConnection::Sqlite(_) => {
                Self { places: format!("[{}]", places.collect::<Vec<_>>().join(",")) }
            }
            AnyConnection::Postgres(_) => {
                let quoted: Vec<String> = places.map(|place| format!("\"{place}\"")).collect();
                Self { places: format!("{{{}}}", quoted.join(",")) }
            }
        }))
    }

    /// Runs a statement on these rows; `before` ends with `WHERE`.
    fn execute(&self, tx: &mut WriteTx<'_>, before: &str, after: &str) -> Result<usize, DbError> {
        let connection = tx.connection();
        let text = format!("{before} {} {after}", are_these(connection));
        let cell = Cell::Text(self.places.clone());
        Ok(many_rows::bind(text, std::iter::once(&cell)).execute(connection)?)
    }

    /// The same on their reasons.
    fn execute_on_reasons(&self, tx: &mut WriteTx<'_>, before: &str, after: &str) -> Result<usize, DbError> {
        let connection = tx.connection();
        let key = "customer_id, service, window_start_s, window_length_s";
        let text = format!(
            "{before} ({key}) IN (SELECT {key} FROM usage_records WHERE {}) {after}",
            are_these(connection)
        );
        let cell = Cell::Text(self.places.clone());
        Ok(many_rows::bind(text, std::iter::once(&cell)).execute(connection)?)
    }

    fn delete(&self, tx: &mut WriteTx<'_>) -> Result<u64, DbError> {
        self.execute_on_reasons(tx, "DELETE FROM usage_reasons WHERE", "")?;
        Ok(self.execute(tx, "DELETE FROM usage_records WHERE", "")? as u64)
    }
}

/// The condition that a row of `usage_records` is one of the list that is bound to the statement.
const fn are_these(connection: &AnyConnection) -> &'static str {
    match connection {
        AnyConnection::Sqlite(_) => "rowid IN (SELECT value FROM json_each(?1))",
        AnyConnection::Postgres(_) => "ctid = ANY (CAST($1 AS tid[]))",
    }
}
