//! What was used in each window of time: how it is added, and how it is summed up.

use crate::db::connection::AnyConnection;
use crate::db::given_rows::{CUSTOMER_OF_SLOT, Column, GivenRows, service_of_slot};
use crate::db::many_rows::{self, Cell};
use crate::db::{DbError, ReadTx, WriteTx, number, usage_sums};
use apikey::{CustomerId, Service};
use diesel::prelude::*;
use diesel::{QueryableByName, sql_types};
use edgeformat::PolicyKey;
use edgeformat::ledger::{Counter, Counters};
use std::collections::BTreeMap;
use std::ops::Range;

/// The windows that counts are taken into, in seconds; [`crate::db::usage_roll_up`] makes them longer.
pub const MINUTE_S: i64 = 60;
/// The longest windows, in seconds.
pub const DAY_S: i64 = 86_400;

/// The columns that are counted.
pub(in crate::db) const COUNTED: [&str; 6] =
    ["admitted", "burst", "rejected", "refused", "unserved_guaranteed", "unserved_burst"];

/// Adds what was counted in the minute that begins at `window_start_s`; each customer's service stands here once. Where the minute
/// is added up already, statistics' sums of it grow, too.
pub fn add(
    tx: &mut WriteTx<'_>,
    window_start_s: i64,
    counted: &[(PolicyKey, Counters)],
) -> Result<(), DbError> {
    let mark = usage_sums::mark(tx)?;
    let connection = tx.connection();
    let columns = COUNTED.join(", ");
    let statement = format!(
        "INSERT INTO usage_records (customer_id, service, window_start_s, window_length_s, {columns}) \
         SELECT {CUSTOMER_OF_SLOT}, {}, {window_start_s}, {MINUTE_S}, {columns} FROM given WHERE true {}",
        service_of_slot(),
        add_on_conflict()
    );
    GivenRows::new(given_counts(counted)).execute(connection, &statement)?;
    add_reasons(connection, window_start_s, counted)?;
    let late: Vec<(PolicyKey, Counters)> =
        counted.iter().filter(|(key, _)| mark.covers(window_start_s, key.customer.get())).copied().collect();
    if late.is_empty() { Ok(()) } else { usage_sums::add(connection, window_start_s, &late) }
}

/// Slots with their counts, columns of `given`.
pub(in crate::db) fn given_counts(counted: &[(PolicyKey, Counters)]) -> Vec<(&'static str, Column)> {
    vec![
        GivenRows::slots(counted.iter().map(|(key, _)| *key)),
        ("admitted", given_count(counted, Counters::admitted)),
        ("burst", given_count(counted, |counters| counters.get(Counter::Burst))),
        ("rejected", given_count(counted, Counters::rejected)),
        ("refused", given_count(counted, Counters::refused)),
        ("unserved_guaranteed", given_count(counted, |counters| counters.get(Counter::UnservedGuaranteed))),
        ("unserved_burst", given_count(counted, |counters| counters.get(Counter::UnservedBurst))),
    ]
}

/// One count of each.
pub(in crate::db) fn given_count(counted: &[(PolicyKey, Counters)], of: impl Fn(&Counters) -> u64) -> Column {
    Column::Integers(counted.iter().map(|(_, counters)| as_column(of(counters))).collect())
}

/// What makes an `INSERT` of a record add to the row that is there.
pub(in crate::db) fn add_on_conflict() -> String {
    let more = COUNTED.map(|name| format!("{name} = usage_records.{name} + excluded.{name}"));
    format!(
        "ON CONFLICT (customer_id, service, window_start_s, window_length_s) DO UPDATE SET {}",
        more.join(", ")
    )
}

/// The same for a reason.
pub(in crate::db) const ADD_REASON_ON_CONFLICT: &str = "ON CONFLICT (customer_id, service, window_start_s, \
    window_length_s, reason) DO UPDATE SET count = usage_reasons.count + excluded.count";

fn add_reasons(
    connection: &mut AnyConnection,
    window_start_s: i64,
    counted: &[(PolicyKey, Counters)],
) -> Result<(), DbError> {
    let reasons: Vec<(PolicyKey, Counter, u64)> = counted
        .iter()
        .flat_map(|(key, counters)| {
            usage_sums::REASONS.into_iter().map(|counter| (*key, counter, counters.get(counter)))
        })
        .filter(|(_, _, count)| *count > 0)
        .collect();
    if reasons.is_empty() {
        return Ok(());
    }
    let words = reasons.iter().map(|(_, counter, _)| counter.word().to_owned()).collect();
    let given = GivenRows::new(vec![
        GivenRows::slots(reasons.iter().map(|(key, _, _)| *key)),
        ("reason", Column::Texts(words)),
        ("count", Column::Integers(reasons.iter().map(|(_, _, count)| as_column(*count)).collect())),
    ]);
    let statement = format!(
        "INSERT INTO usage_reasons (customer_id, service, window_start_s, window_length_s, reason, count) \
         SELECT {CUSTOMER_OF_SLOT}, {}, {window_start_s}, {MINUTE_S}, reason, count FROM given WHERE true \
         {ADD_REASON_ON_CONFLICT}",
        service_of_slot()
    );
    given.execute(connection, &statement)?;
    Ok(())
}

/// No counter that is believed is near 2^63.
fn as_column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Sums of the columns of the same names.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, QueryableByName)]
pub struct Sums {
    /// Let through by the converter.
    #[diesel(sql_type = sql_types::BigInt)]
    pub admitted: i64,
    /// Served above the guaranteed rate.
    #[diesel(sql_type = sql_types::BigInt)]
    pub burst: i64,
    /// Let through, then refused by HAProxy.
    #[diesel(sql_type = sql_types::BigInt)]
    pub rejected: i64,
    /// Refused by the converter.
    #[diesel(sql_type = sql_types::BigInt)]
    pub refused: i64,
    /// Let through at the guaranteed rate, without a server's answer.
    #[diesel(sql_type = sql_types::BigInt)]
    pub unserved_guaranteed: i64,
    /// The same above the guaranteed rate.
    #[diesel(sql_type = sql_types::BigInt)]
    pub unserved_burst: i64,
}

/// Whose usage is asked for, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Whose.
    pub customer: CustomerId,
    /// Of which service; none: of all.
    pub service: Option<Service>,
    /// Unix seconds. A window counts whole if any of it lies in this.
    pub time_s: Range<i64>,
}

impl Asked {
    /// A condition that the primary key's index answers, and its values.
    fn condition(&self, mark: char) -> (String, Vec<Cell>) {
        let Range { start, end } = self.time_s;
        let mut text = format!(
            "customer_id = {} AND window_start_s > {} AND window_start_s < {end} AND window_start_s + window_length_s > {start}",
            self.customer.get(),
            start.saturating_sub(DAY_S),
        );
        let service = self.service.map(|service| Cell::Text(service.name().to_owned()));
        if service.is_some() {
            text.push_str(&format!(" AND service = {mark}1"));
        }
        (text, service.into_iter().collect())
    }
}

/// The sums of all windows.
pub fn sums(tx: &mut ReadTx<'_>, asked: &Asked) -> Result<Sums, DbError> {
    let connection = tx.connection();
    let (condition, cells) = asked.condition(many_rows::mark(connection));
    let text = format!("SELECT {} FROM usage_records WHERE {condition}", summed());
    Ok(many_rows::bind(text, cells.iter()).get_result(connection)?)
}

#[derive(QueryableByName)]
struct Bucket {
    #[diesel(sql_type = sql_types::BigInt)]
    start_s: i64,
    #[diesel(embed)]
    sums: Sums,
}

/// The sums of each time of `length_s` seconds in which there was anything, by its beginning, unix seconds. A window that is
/// longer than that counts where it begins.
pub fn sums_by_time(
    tx: &mut ReadTx<'_>,
    asked: &Asked,
    length_s: u32,
) -> Result<BTreeMap<i64, Sums>, DbError> {
    let connection = tx.connection();
    let (condition, cells) = asked.condition(many_rows::mark(connection));
    let length_s = length_s.max(1);
    let text = format!(
        "SELECT window_start_s - window_start_s % {length_s} AS start_s, {} FROM usage_records WHERE {condition} GROUP BY 1",
        summed()
    );
    let rows: Vec<Bucket> = many_rows::bind(text, cells.iter()).load(connection)?;
    Ok(rows.into_iter().map(|row| (row.start_s, row.sums)).collect())
}

#[derive(QueryableByName)]
struct Reason {
    #[diesel(sql_type = sql_types::Text)]
    reason: String,
    #[diesel(sql_type = sql_types::BigInt)]
    count: i64,
}

/// Why requests were rejected or refused: how many by [`Counter::word`].
pub fn reasons(tx: &mut ReadTx<'_>, asked: &Asked) -> Result<BTreeMap<String, u64>, DbError> {
    let connection = tx.connection();
    let (condition, cells) = asked.condition(many_rows::mark(connection));
    let text = format!(
        "SELECT reason, CAST(SUM(count) AS BIGINT) AS count FROM usage_reasons WHERE {condition} GROUP BY reason"
    );
    let rows: Vec<Reason> = many_rows::bind(text, cells.iter()).load(connection)?;
    rows.into_iter().map(|row| Ok((row.reason, number("usage_reasons", "count", row.count)?))).collect()
}

/// PostgreSQL sums up `BIGINT` as `NUMERIC`.
pub(in crate::db) fn summed() -> String {
    COUNTED.map(|name| format!("CAST(COALESCE(SUM({name}), 0) AS BIGINT) AS {name}")).join(", ")
}
