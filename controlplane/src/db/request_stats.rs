//! What requests add up to: one row a window, customer, service and key. Each request stands in a minute, and when that is over
//! also in its hour and its day, for as long as windows of that length are kept. What hours and days add up to over all keys stands in
//! `usage_sums` as well.

use crate::db::many_rows::{self, Cell};
use crate::db::schema::request_stats::dsl;
use crate::db::stats_marks::{self, Source};
use crate::db::usage_sums::{self, Logged};
use crate::db::{DbError, ReadTx, WriteTx, bits_of, column_of, number};
use crate::domain::requests::{Counts, Owner, Window};
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

/// Adds to minutes. Where one of them is added up already, its hour and its day grow, too.
pub fn add(tx: &mut WriteTx<'_>, minutes: &[StatsRow]) -> Result<(), DbError> {
    let mark = stats_marks::read(tx, Source::Requests)?;
    let late = minutes.iter().filter(|row| mark.covers(row.window_start_s, row.owner.customer));
    let mut rows = sums_of(late);
    rows.extend_from_slice(minutes);
    merge(tx, &rows)
}

/// Adds the next minutes that begin before `before_s` (unix seconds) to their hours and days, about `rows_max` of them; answers how
/// many, 0 where all is done.
pub fn add_up(tx: &mut WriteTx<'_>, before_s: i64, rows_max: u32) -> Result<u64, DbError> {
    while let Some(chunk) = stats_marks::next_chunk(tx, Source::Requests, before_s, rows_max)? {
        stats_marks::set(tx, Source::Requests, chunk.mark)?;
        let found: Vec<Row> = dsl::request_stats
            .filter(dsl::window_length_s.eq(Window::Minute.length_s()))
            .filter(dsl::window_start_s.eq(chunk.window_start_s))
            .filter(dsl::customer_id.gt(chunk.after))
            .filter(dsl::customer_id.le(chunk.up_to))
            .select(Row::as_select())
            .load(tx.connection())?;
        let minutes: Vec<StatsRow> = found.into_iter().map(row).collect::<Result<_, _>>()?;
        merge(tx, &sums_of(minutes.iter()))?;
        if !minutes.is_empty() {
            return Ok(minutes.len() as u64);
        }
    }
    Ok(0)
}

/// The same counts for the hour and the day of each minute.
fn sums_of<'r>(minutes: impl Iterator<Item = &'r StatsRow>) -> Vec<StatsRow> {
    let longer = |row: &StatsRow, window: Window| StatsRow {
        window,
        window_start_s: window.start_of(row.window_start_s),
        ..row.clone()
    };
    minutes.flat_map(|row| [Window::Hour, Window::Day].map(|window| longer(row, window))).collect()
}

/// Adds to what the rows' windows hold already. Nobody else writes meanwhile, so that reading, adding and writing is one step.
fn merge(tx: &mut WriteTx<'_>, rows: &[StatsRow]) -> Result<(), DbError> {
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
    many_rows::insert_or_replace(tx.connection(), TABLE, &KEY, &SUMS, &cells)?;
    let mut of_all_keys = BTreeMap::<usage_sums::Key, Logged>::new();
    for row in rows.iter().filter(|row| row.window != Window::Minute) {
        let key = (row.owner.customer, row.window.length_s(), row.window_start_s, row.owner.service.clone());
        let sums = of_all_keys.entry(key).or_default();
        sums.client_errors += row.counts.client_errors;
        sums.server_errors += row.counts.server_errors;
        sums.received_bytes += row.counts.received_bytes;
        sums.sent_bytes += row.counts.sent_bytes;
    }
    if of_all_keys.is_empty() { Ok(()) } else { usage_sums::add_logged(tx.connection(), &of_all_keys) }
}

/// Forgets windows of a length that begin before `before_s` (unix seconds), at most `rows_max` of them, and answers how many.
/// Minutes that are not added up are kept.
pub fn forget(tx: &mut WriteTx<'_>, window: Window, before_s: i64, rows_max: u32) -> Result<u64, DbError> {
    let before_s = match window {
        Window::Minute => before_s.min(stats_marks::read(tx, Source::Requests)?.window_start_s),
        Window::Hour | Window::Day => before_s,
    };
    let (key, length_s) = (KEY.join(", "), window.length_s());
    let text = format!(
        "DELETE FROM {TABLE} WHERE ({key}) IN (SELECT {key} FROM {TABLE} WHERE window_length_s = {length_s} \
         AND window_start_s < {before_s} ORDER BY window_start_s LIMIT {rows_max})"
    );
    Ok(diesel::sql_query(text).execute(tx.connection())? as u64)
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
