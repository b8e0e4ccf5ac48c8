//! Requests as the edges logged them: one row a line.

use crate::db::many_rows::{self, Cell};
use crate::db::schema::request_logs::dsl;
use crate::db::{DbError, ReadTx, WriteTx, bits_of, column_of, number, word};
use crate::domain::requests::{Class, RequestLine};
use apikey::CustomerId;
use diesel::prelude::*;

const TABLE: &str = "request_logs";
const COLUMNS: [&str; 19] = [
    "time_ms",
    "edge",
    "seq",
    "request_id",
    "client",
    "customer_id",
    "service",
    "fingerprint",
    "class",
    "reason",
    "status",
    "received_bytes",
    "sent_bytes",
    "queue_ms",
    "connect_ms",
    "response_ms",
    "total_ms",
    "server",
    "ending",
];

/// Adds lines of an edge, numbered from `seq` on.
pub fn insert(tx: &mut WriteTx<'_>, edge: &str, seq: i64, lines: &[RequestLine]) -> Result<(), DbError> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let rows: Vec<Vec<Cell>> = (seq..)
        .zip(lines)
        .map(|(seq, line)| {
            vec![
                Cell::Integer(line.time_ms),
                text(edge),
                Cell::Integer(seq),
                text(&line.request_id),
                text(&line.client.to_string()),
                line.customer.map_or(Cell::Null, |id| Cell::Integer(i64::from(id))),
                line.service.as_deref().map_or(Cell::Null, text),
                line.fingerprint.map_or(Cell::Null, |bits| Cell::Integer(column_of(bits))),
                line.class.map_or(Cell::Null, |class| text(class.word())),
                line.reason.as_deref().map_or(Cell::Null, text),
                Cell::Integer(line.status),
                Cell::Integer(line.received_bytes),
                Cell::Integer(line.sent_bytes),
                Cell::Integer(line.queue_ms),
                Cell::Integer(line.connect_ms),
                Cell::Integer(line.response_ms),
                Cell::Integer(line.total_ms),
                text(&line.server),
                text(&line.ending),
            ]
        })
        .collect();
    many_rows::insert(tx.connection(), TABLE, &COLUMNS, &rows)
}

/// The newest lines of a customer that began at `since_ms` or later, newest first, at most `limit`.
pub fn newest(
    tx: &mut ReadTx<'_>,
    customer: CustomerId,
    since_ms: i64,
    limit: u16,
) -> Result<Vec<RequestLine>, DbError> {
    let rows: Vec<Row> = dsl::request_logs
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .filter(dsl::time_ms.ge(since_ms))
        .order((dsl::time_ms.desc(), dsl::edge, dsl::seq.desc()))
        .limit(i64::from(limit))
        .select(Row::as_select())
        .load(tx.connection())?;
    rows.into_iter().map(line).collect()
}

/// Deletes the oldest of those that began before `before_ms`: about `rows_max` of them, and all of the last one's millisecond.
/// Answers how many.
pub fn delete_before(tx: &mut WriteTx<'_>, before_ms: i64, rows_max: i64) -> Result<u64, DbError> {
    let oldest: Vec<i64> = dsl::request_logs
        .filter(dsl::time_ms.lt(before_ms))
        .order(dsl::time_ms)
        .limit(rows_max)
        .select(dsl::time_ms)
        .load(tx.connection())?;
    let Some(last_ms) = oldest.last() else { return Ok(0) };
    let deleted =
        diesel::delete(dsl::request_logs.filter(dsl::time_ms.le(*last_ms))).execute(tx.connection())?;
    Ok(deleted as u64)
}

/// Without `edge` and `seq`, which only tell lines apart.
#[derive(Queryable, Selectable)]
#[diesel(table_name = crate::db::schema::request_logs)]
struct Row {
    time_ms: i64,
    request_id: String,
    client: String,
    customer_id: Option<i64>,
    service: Option<String>,
    fingerprint: Option<i64>,
    class: Option<String>,
    reason: Option<String>,
    status: i64,
    received_bytes: i64,
    sent_bytes: i64,
    queue_ms: i64,
    connect_ms: i64,
    response_ms: i64,
    total_ms: i64,
    server: String,
    ending: String,
}

fn line(row: Row) -> Result<RequestLine, DbError> {
    let class = row.class.as_deref().map(|class| {
        Class::from_word(class).ok_or_else(|| DbError::unexpected(TABLE, format!("class is `{class}`")))
    });
    Ok(RequestLine {
        time_ms: row.time_ms,
        request_id: row.request_id,
        client: word(TABLE, "client", &row.client)?,
        customer: row.customer_id.map(|id| number(TABLE, "customer_id", id)).transpose()?,
        service: row.service,
        fingerprint: row.fingerprint.map(bits_of),
        class: class.transpose()?,
        reason: row.reason,
        status: row.status,
        received_bytes: row.received_bytes,
        sent_bytes: row.sent_bytes,
        queue_ms: row.queue_ms,
        connect_ms: row.connect_ms,
        response_ms: row.response_ms,
        total_ms: row.total_ms,
        server: row.server,
        ending: row.ending,
    })
}
