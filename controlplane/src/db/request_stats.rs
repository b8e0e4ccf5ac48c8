//! What requests add up to: one row a window, customer, service and key.

use crate::db::many_rows::{self, Cell};
use crate::db::schema::request_stats::dsl;
use crate::db::{DbError, ReadTx, WriteTx, bits_of, column_of, number};
use crate::domain::requests::{Counts, Owner, Window};
use apikey::{CustomerId, Service};
use diesel::prelude::*;
use std::collections::BTreeMap;

const TABLE: &str = "request_stats";
const KEY: [&str; 5] = ["window_length_s", "window_start_s", "customer_id", "service", "fingerprint"];
const SUMS: [&str; 10] = [
    "guaranteed",
    "burst",
    "rejected",
    "refused",
    "unserved",
    "client_errors",
    "server_errors",
    "received_bytes",
    "sent_bytes",
    "sketch",
];

/// A row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatsRow {
    /// How long the window is.
    pub window: Window,
    /// When it begins, unix seconds.
    pub window_start_s: i64,
    /// Whose requests.
    pub owner: Owner,
    /// What they add up to.
    pub counts: Counts,
}

/// Adds to what the rows' windows hold already. Nobody else writes meanwhile, so that reading, adding and writing is one step.
pub fn add(tx: &mut WriteTx<'_>, rows: &[StatsRow]) -> Result<(), DbError> {
    let mut sums = BTreeMap::<(Window, i64, &Owner), Counts>::new();
    for row in rows {
        sums.entry((row.window, row.window_start_s, &row.owner)).or_default().merge(&row.counts);
    }
    let mut cells = Vec::with_capacity(sums.len());
    for ((window, window_start_s, owner), mut counts) in sums {
        if let Some(held) = find(tx, window, window_start_s, owner)? {
            counts.merge(&held.counts);
        }
        cells.push(vec![
            Cell::Integer(window.length_s()),
            Cell::Integer(window_start_s),
            Cell::Integer(i64::from(owner.customer)),
            Cell::Text(owner.service.clone()),
            Cell::Integer(column_of(owner.fingerprint)),
            Cell::Integer(counts.guaranteed),
            Cell::Integer(counts.burst),
            Cell::Integer(counts.rejected),
            Cell::Integer(counts.refused),
            Cell::Integer(counts.unserved),
            Cell::Integer(counts.client_errors),
            Cell::Integer(counts.server_errors),
            Cell::Integer(counts.received_bytes),
            Cell::Integer(counts.sent_bytes),
            Cell::Text(counts.times.to_string()),
        ]);
    }
    many_rows::insert_or_replace(tx.connection(), TABLE, &KEY, &SUMS, &cells)
}

/// Takes the oldest rows of a length out of the table: those that begin before `before_s`, at most `rows_max`.
pub fn take_oldest(
    tx: &mut WriteTx<'_>,
    window: Window,
    before_s: i64,
    rows_max: i64,
) -> Result<Vec<StatsRow>, DbError> {
    let found: Vec<Row> = dsl::request_stats
        .filter(dsl::window_length_s.eq(window.length_s()))
        .filter(dsl::window_start_s.lt(before_s))
        .order((dsl::window_start_s, dsl::customer_id, dsl::service, dsl::fingerprint))
        .limit(rows_max)
        .select(Row::as_select())
        .load(tx.connection())?;
    let rows: Vec<StatsRow> = found.into_iter().map(row).collect::<Result<_, _>>()?;
    let keys: Vec<Vec<Cell>> = rows.iter().map(key_cells).collect();
    many_rows::delete(tx.connection(), TABLE, &KEY, &keys)?;
    Ok(rows)
}

/// The rows of a customer whose windows begin in a time, of one service or key, or of all.
pub fn of(
    tx: &mut ReadTx<'_>,
    customer: CustomerId,
    service: Option<Service>,
    fingerprint: Option<u64>,
    since_s: i64,
    until_s: i64,
) -> Result<Vec<StatsRow>, DbError> {
    let mut query = dsl::request_stats
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .filter(dsl::window_start_s.ge(since_s))
        .filter(dsl::window_start_s.lt(until_s))
        .select(Row::as_select())
        .into_boxed();
    if let Some(service) = service {
        query = query.filter(dsl::service.eq(service.name()));
    }
    if let Some(fingerprint) = fingerprint {
        query = query.filter(dsl::fingerprint.eq(column_of(fingerprint)));
    }
    query.load::<Row>(tx.connection())?.into_iter().map(row).collect()
}

fn find(
    tx: &mut ReadTx<'_>,
    window: Window,
    window_start_s: i64,
    owner: &Owner,
) -> Result<Option<StatsRow>, DbError> {
    let key = (
        window.length_s(),
        window_start_s,
        i64::from(owner.customer),
        owner.service.as_str(),
        column_of(owner.fingerprint),
    );
    let found: Option<Row> =
        dsl::request_stats.find(key).select(Row::as_select()).first(tx.connection()).optional()?;
    found.map(row).transpose()
}

fn key_cells(row: &StatsRow) -> Vec<Cell> {
    vec![
        Cell::Integer(row.window.length_s()),
        Cell::Integer(row.window_start_s),
        Cell::Integer(i64::from(row.owner.customer)),
        Cell::Text(row.owner.service.clone()),
        Cell::Integer(column_of(row.owner.fingerprint)),
    ]
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = crate::db::schema::request_stats)]
struct Row {
    customer_id: i64,
    service: String,
    fingerprint: i64,
    window_start_s: i64,
    window_length_s: i64,
    guaranteed: i64,
    burst: i64,
    rejected: i64,
    refused: i64,
    unserved: i64,
    client_errors: i64,
    server_errors: i64,
    received_bytes: i64,
    sent_bytes: i64,
    sketch: String,
}

fn row(row: Row) -> Result<StatsRow, DbError> {
    let length_s = row.window_length_s;
    let window = Window::from_length_s(length_s)
        .ok_or_else(|| DbError::unexpected(TABLE, format!("window_length_s is {length_s}")))?;
    let times = row.sketch.parse().map_err(|_| DbError::unexpected(TABLE, "a sketch is none"))?;
    Ok(StatsRow {
        window,
        window_start_s: row.window_start_s,
        owner: Owner {
            customer: number(TABLE, "customer_id", row.customer_id)?,
            service: row.service,
            fingerprint: bits_of(row.fingerprint),
        },
        counts: Counts {
            guaranteed: row.guaranteed,
            burst: row.burst,
            rejected: row.rejected,
            refused: row.refused,
            unserved: row.unserved,
            client_errors: row.client_errors,
            server_errors: row.server_errors,
            received_bytes: row.received_bytes,
            sent_bytes: row.sent_bytes,
            times,
        },
    })
}
