//! Usage by hour and day, as statistics read it: added up from the minutes of `usage_records` and `usage_reasons` soon after they
//! are over, however long those keep their minutes. Bills are not made from this.

use crate::db::stats_marks::{self, Mark, Source};
use crate::db::time_pieces::{Piece, TimePieces};
use crate::db::usage_records::{COUNTED, DAY_S, Sums, summed};
use crate::db::{DbError, ReadTx, WriteTx, number};
use apikey::{CustomerId, Service};
use diesel::prelude::*;
use diesel::sql_types;

/// The windows that minutes are added up into, in seconds.
pub const LENGTHS_S: [i64; 2] = [3_600, DAY_S];

/// Whose usage is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whose {
    /// The customer.
    pub customer: CustomerId,
    /// Of which service; none: of all.
    pub service: Option<Service>,
}

/// Adds up the next minutes that begin before `before_s` (unix seconds), about `rows` rows; answers how many, 0 where all is done.
pub fn add_up(tx: &mut WriteTx<'_>, before_s: i64, rows: u32) -> Result<u64, DbError> {
    let mut added = 0;
    while added == 0 {
        let Some(chunk) = stats_marks::next_chunk(tx, Source::Usage, before_s, rows)? else { break };
        for length_s in LENGTHS_S {
            added = diesel::sql_query(add_from("usage_records", &chunk.condition(), length_s))
                .execute(tx.connection())?;
            diesel::sql_query(add_from("usage_reasons", &chunk.condition(), length_s))
                .execute(tx.connection())?;
        }
        stats_marks::set(tx, Source::Usage, chunk.mark)?;
    }
    Ok(added as u64)
}

/// Where the mark of usage stands.
pub fn mark(tx: &mut ReadTx<'_>) -> Result<Mark, DbError> {
    stats_marks::read(tx, Source::Usage)
}

/// Forgets sums of windows of `length_s` seconds that begin before `before_s` (unix seconds), about `rows` of them; answers how many.
pub fn forget(tx: &mut WriteTx<'_>, length_s: i64, before_s: i64, rows: u32) -> Result<u64, DbError> {
    let mut forgotten = 0;
    for (table, key) in [
        ("usage_sums", "customer_id, window_length_s, window_start_s, service"),
        ("usage_reason_sums", "customer_id, window_length_s, window_start_s, service, reason"),
    ] {
        let text = format!(
            "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE window_length_s = {length_s} AND \
             window_start_s < {before_s} LIMIT {rows})"
        );
        forgotten += diesel::sql_query(text).execute(tx.connection())? as u64;
    }
    Ok(forgotten)
}

/// The sums that a table's rows are added to.
pub(in crate::db) fn sums_of(table: &str) -> &'static str {
    if table == "usage_reasons" { "usage_reason_sums" } else { "usage_sums" }
}

/// What makes an `INSERT` of a sum add to the row that is there.
pub(in crate::db) fn add_on_conflict(table: &str) -> String {
    let sums = sums_of(table);
    let (reason, counted) = columns(table);
    let more: Vec<String> =
        counted.iter().map(|name| format!("{name} = {sums}.{name} + excluded.{name}")).collect();
    format!(
        "ON CONFLICT (customer_id, window_length_s, window_start_s, service{reason}) DO UPDATE SET {}",
        more.join(", ")
    )
}

fn columns(table: &str) -> (&'static str, &'static [&'static str]) {
    if table == "usage_reasons" { (", reason", &["count"]) } else { ("", &COUNTED) }
}

fn add_from(table: &str, condition: &str, length_s: i64) -> String {
    let (reason, counted) = columns(table);
    let (sums, counted) = (sums_of(table), counted.join(", "));
    format!(
        "INSERT INTO {sums} (customer_id, service, window_start_s, window_length_s{reason}, {counted}) \
         SELECT customer_id, service, window_start_s - window_start_s % {length_s}, {length_s}{reason}, {counted} \
         FROM {table} WHERE {condition} {}",
        add_on_conflict(table)
    )
}

/// What was used of a service in a bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageRow {
    /// When the bucket begins, unix seconds.
    pub start_s: i64,
    /// The word of the service.
    pub service: String,
    /// The counters.
    pub sums: Sums,
}

/// How often requests for a service were refused for a reason in a bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReasonRow {
    /// When the bucket begins, unix seconds.
    pub start_s: i64,
    /// The word of the service.
    pub service: String,
    /// The code that callers were answered.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// What was used, by bucket and service. A bucket can come more than once, with parts of it.
pub fn usage(tx: &mut ReadTx<'_>, whose: Whose, time: &TimePieces) -> Result<Vec<UsageRow>, DbError> {
    type Columns = (i64, String, i64, i64, i64, i64, i64, i64);
    type Types = (
        sql_types::BigInt,
        sql_types::Text,
        sql_types::BigInt,
        sql_types::BigInt,
        sql_types::BigInt,
        sql_types::BigInt,
        sql_types::BigInt,
        sql_types::BigInt,
    );
    let mut rows = Vec::new();
    for piece in &time.pieces {
        let text = select_usage(whose, piece, time.bucket_s);
        // By their places, which is faster than by their names; the order is that of `COUNTED`.
        let found: Vec<Columns> = diesel::dsl::sql::<Types>(&text).load(tx.connection())?;
        rows.extend(found.into_iter().map(|columns| UsageRow {
            start_s: columns.0,
            service: columns.1,
            sums: Sums {
                admitted: columns.2,
                burst: columns.3,
                rejected: columns.4,
                refused: columns.5,
                unserved_guaranteed: columns.6,
                unserved_burst: columns.7,
            },
        }));
    }
    Ok(rows)
}

/// Why requests were refused, in the same way.
pub fn reasons(tx: &mut ReadTx<'_>, whose: Whose, time: &TimePieces) -> Result<Vec<ReasonRow>, DbError> {
    type Columns = (i64, String, String, i64);
    type Types = (sql_types::BigInt, sql_types::Text, sql_types::Text, sql_types::BigInt);
    let mut rows = Vec::new();
    for piece in &time.pieces {
        let text = select_reasons(whose, piece, time.bucket_s);
        let found: Vec<Columns> = diesel::dsl::sql::<Types>(&text).load(tx.connection())?;
        for (start_s, service, reason, count) in found {
            let count = number("usage_reasons", "count", count)?;
            rows.push(ReasonRow { start_s, service, reason, count });
        }
    }
    Ok(rows)
}

/// The statement behind [`usage()`]; public for the test that asks the databases how they run it.
pub fn select_usage(whose: Whose, piece: &Piece, bucket_s: i64) -> String {
    if piece.length_s() == bucket_s && matches!(piece, Piece::Sums(..)) {
        let from = from(whose, piece, "usage_records");
        return format!("SELECT window_start_s AS start_s, service, {} FROM {from}", COUNTED.join(", "));
    }
    format!(
        "SELECT {} AS start_s, service, {} FROM {} GROUP BY 1, 2",
        bucket_of(bucket_s),
        summed(),
        from(whose, piece, "usage_records")
    )
}

/// The statement behind [`reasons()`].
pub fn select_reasons(whose: Whose, piece: &Piece, bucket_s: i64) -> String {
    if piece.length_s() == bucket_s && matches!(piece, Piece::Sums(..)) {
        let from = from(whose, piece, "usage_reasons");
        return format!("SELECT window_start_s AS start_s, service, reason, count FROM {from}");
    }
    format!(
        "SELECT {} AS start_s, service, reason, CAST(SUM(count) AS BIGINT) AS count FROM {} GROUP BY 1, 2, 3",
        bucket_of(bucket_s),
        from(whose, piece, "usage_reasons")
    )
}

pub(in crate::db) fn bucket_of(bucket_s: i64) -> String {
    format!("window_start_s - window_start_s % {}", bucket_s.max(1))
}

/// The table of a piece and the condition, which the primary key's index answers: it begins with customer and service in one
/// table, with customer and length in the other.
fn from(whose: Whose, piece: &Piece, minutes: &str) -> String {
    let customer = whose.customer.get();
    match piece {
        Piece::Minutes(time) => format!(
            "{minutes} WHERE customer_id = {customer} AND service IN ({}) AND window_start_s >= {} AND window_start_s < {}",
            services(whose.service),
            time.start,
            time.end
        ),
        Piece::Sums(length_s, time) => {
            let service = whose
                .service
                .map_or_else(String::new, |service| format!(" AND service = '{}'", service.name()));
            format!(
                "{} WHERE customer_id = {customer} AND window_length_s = {length_s} AND window_start_s >= {} \
                 AND window_start_s < {}{service}",
                sums_of(minutes),
                time.start,
                time.end
            )
        }
    }
}

/// The words of one service, or of all, as SQL lists them: with each of them the index leads to the time.
pub(in crate::db) fn services(service: Option<Service>) -> String {
    let of = |service: Service| format!("'{}'", service.name());
    match service {
        Some(service) => of(service),
        None => Service::ALL.map(of).join(", "),
    }
}
