//! Windows grow old: rows of minutes move into those of hours, those of hours into days, and the oldest are forgotten. Each
//! step takes the oldest rows first, a bounded number, and is one with the transaction that it runs in.

use crate::db::usage_records::{ADD_REASON_ON_CONFLICT, COUNTED, add_on_conflict};
use crate::db::{DbError, WriteTx, schema::usage_records::dsl};
use diesel::prelude::*;

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
             SELECT customer_id, service, {longer}, {to_s}, {sums} FROM usage_records"
        ),
        &format!("GROUP BY customer_id, service, {longer} {}", add_on_conflict()),
    )?;
    oldest.execute(
        tx,
        &format!(
            "INSERT INTO usage_reasons (customer_id, service, window_start_s, window_length_s, reason, count) \
             SELECT customer_id, service, {longer}, {to_s}, reason, CAST(SUM(count) AS BIGINT) FROM usage_reasons"
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

/// The oldest rows of a length: those up to a last one, in the order of the index by age.
struct Oldest {
    length_s: i64,
    last: (i64, i64, String),
}

impl Oldest {
    fn of(tx: &mut WriteTx<'_>, length_s: i64, before_s: i64, limit: u32) -> Result<Option<Self>, DbError> {
        let key = (dsl::window_start_s, dsl::customer_id, dsl::service);
        let rows: Vec<(i64, i64, String)> = dsl::usage_records
            .filter(dsl::window_length_s.eq(length_s))
            .filter(dsl::window_start_s.lt(before_s))
            .order(key)
            .limit(i64::from(limit))
            .select(key)
            .load(tx.connection())?;
        Ok(rows.into_iter().next_back().map(|last| Self { length_s, last }))
    }

    /// Runs a statement on these rows.
    fn execute(&self, tx: &mut WriteTx<'_>, before: &str, after: &str) -> Result<usize, DbError> {
        let (start_s, customer, service) = &self.last;
        let connection = tx.connection();
        let mark = crate::db::many_rows::mark(connection);
        // The plain bound beside the comparison of rows is what an index is searched by on both databases.
        let text = format!(
            "{before} WHERE window_length_s = {} AND window_start_s <= {start_s} \
             AND (window_start_s, customer_id, service) <= ({start_s}, {customer}, {mark}1) {after}",
            self.length_s
        );
        let cell = crate::db::many_rows::Cell::Text(service.clone());
        Ok(crate::db::many_rows::bind(text, std::iter::once(&cell)).execute(connection)?)
    }

    fn delete(&self, tx: &mut WriteTx<'_>) -> Result<u64, DbError> {
        self.execute(tx, "DELETE FROM usage_reasons", "")?;
        Ok(self.execute(tx, "DELETE FROM usage_records", "")? as u64)
    }
}
