//! Usage by hour and day, as statistics read it: added up from the minutes of `usage_records` and `usage_reasons` soon after they
//! are over, however long those keep their minutes. A reason is a column here, and so is what the request log has counted, so that a
//! month is a few rows in one place (`db/statistics.rs` reads them). Bills are not made from this.

use crate::db::connection::AnyConnection;
use crate::db::given_rows::{CUSTOMER_OF_SLOT, Column, GivenRows, service_of_slot};
use crate::db::stats_marks::{self, Mark, Source};
use crate::db::usage_records::{COUNTED, DAY_S, given_count, given_counts};
use crate::db::{DbError, ReadTx, WriteTx};
use diesel::prelude::*;
use edgeformat::PolicyKey;
use edgeformat::ledger::{Counter, Counters};
use std::collections::BTreeMap;

/// The windows that minutes are added up into, in seconds.
pub const LENGTHS_S: [i64; 2] = [3_600, DAY_S];

/// What the request log alone knows, columns of the same names.
pub(in crate::db) const LOGGED: [&str; 4] =
    ["client_errors", "server_errors", "received_bytes", "sent_bytes"];

/// Why a request with a good key can be refused; the words of these are columns. A further one needs a column of its word (a
/// migration, `schema.rs`) and a longer tuple in `db/statistics.rs`.
pub(in crate::db) const REASONS: [Counter; 12] = {
    let [a, b, c, d] = Counter::REJECTED;
    let [e, f, g, h, i, j, k, l] = Counter::REFUSED;
    [a, b, c, d, e, f, g, h, i, j, k, l]
};

/// Adds up the next minutes that begin before `before_s` (unix seconds), about `rows` rows; answers how many, 0 where all is done.
pub fn add_up(tx: &mut WriteTx<'_>, before_s: i64, rows: u32) -> Result<u64, DbError> {
    let mut added = 0;
    while added == 0 {
        let Some(chunk) = stats_marks::next_chunk(tx, Source::Usage, before_s, rows)? else { break };
        let words = REASONS.map(Counter::word);
        let (none, by_reason) = (COUNTED.map(|_| "0").join(", "), REASONS.map(sum_of_reason).join(", "));
        for length_s in LENGTHS_S {
            let key =
                format!("customer_id, {length_s}, window_start_s - window_start_s % {length_s}, service");
            let (counted, condition) = (COUNTED.join(", "), chunk.condition());
            let usage = format!("SELECT {key}, {counted} FROM usage_records WHERE {condition}");
            added = add_rows(tx, &COUNTED, &usage)?;
            let refused = format!(
                "SELECT {key}, {none}, {by_reason} FROM usage_reasons WHERE {condition} GROUP BY 1, 2, 3, 4"
            );
            add_rows(tx, &[COUNTED.as_slice(), words.as_slice()].concat(), &refused)?;
        }
        stats_marks::set(tx, Source::Usage, chunk.mark)?;
    }
    Ok(added as u64)
}

fn add_rows(tx: &mut WriteTx<'_>, columns: &[&str], select: &str) -> Result<usize, DbError> {
    let text = format!("{} {select} {}", insert_into(columns), add_on_conflict(columns));
    Ok(diesel::sql_query(text).execute(tx.connection())?)
}

/// Adds what came late for a minute that is added up already.
pub(in crate::db) fn add(
    connection: &mut AnyConnection,
    window_start_s: i64,
    counted: &[(PolicyKey, Counters)],
) -> Result<(), DbError> {
    for length_s in LENGTHS_S {
        let mut given = given_counts(counted);
        given.extend(
            REASONS.map(|reason| (reason.word(), given_count(counted, |counters| counters.get(reason)))),
        );
        let columns: Vec<&str> = given.iter().skip(1).map(|(name, _)| *name).collect();
        let start_s = window_start_s - window_start_s.rem_euclid(length_s);
        let statement = format!(
            "{} SELECT {CUSTOMER_OF_SLOT}, {length_s}, {start_s}, {}, {} FROM given WHERE true {}",
            insert_into(&columns),
            service_of_slot(),
            columns.join(", "),
            add_on_conflict(&columns)
        );
        GivenRows::new(given).execute(connection, &statement)?;
    }
    Ok(())
}

fn insert_into(columns: &[&str]) -> String {
    format!(
        "INSERT INTO usage_sums (customer_id, window_length_s, window_start_s, service, {})",
        columns.join(", ")
    )
}

/// What makes an `INSERT` of a sum add to the row that is there.
fn add_on_conflict(columns: &[&str]) -> String {
    let more: Vec<String> =
        columns.iter().map(|name| format!("{name} = usage_sums.{name} + excluded.{name}")).collect();
    format!(
        "ON CONFLICT (customer_id, window_length_s, window_start_s, service) DO UPDATE SET {}",
        more.join(", ")
    )
}

/// What the request log has counted of a window.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Logged {
    /// Served with a status of 400 to 499.
    pub client_errors: i64,
    /// Served with a status of 500 to 599.
    pub server_errors: i64,
    /// Bytes from the caller.
    pub received_bytes: i64,
    /// Bytes to the caller.
    pub sent_bytes: i64,
}

impl Logged {
    /// Adds what others add up to.
    pub const fn add(&mut self, more: &Self) {
        self.client_errors += more.client_errors;
        self.server_errors += more.server_errors;
        self.received_bytes += more.received_bytes;
        self.sent_bytes += more.sent_bytes;
    }
}

/// A row: the customer, the length of the window in seconds, when it begins (unix seconds), the word of the service.
pub(in crate::db) type Key = (u32, i64, i64, String);

/// Adds what the request log has counted of hours and days.
pub(in crate::db) fn add_logged(
    connection: &mut AnyConnection,
    more: &BTreeMap<Key, Logged>,
) -> Result<(), DbError> {
    let integers = |of: &dyn Fn(&Key, &Logged) -> i64| {
        Column::Integers(more.iter().map(|(key, logged)| of(key, logged)).collect())
    };
    let given = GivenRows::new(vec![
        ("customer_id", integers(&|key, _| key.0.into())),
        ("window_length_s", integers(&|key, _| key.1)),
        ("window_start_s", integers(&|key, _| key.2)),
        ("service", Column::Texts(more.keys().map(|key| key.3.clone()).collect())),
        ("client_errors", integers(&|_, logged| logged.client_errors)),
        ("server_errors", integers(&|_, logged| logged.server_errors)),
        ("received_bytes", integers(&|_, logged| logged.received_bytes)),
        ("sent_bytes", integers(&|_, logged| logged.sent_bytes)),
    ]);
    let (logged, none) = (LOGGED.join(", "), COUNTED.map(|_| "0").join(", "));
    let statement = format!(
        "{} SELECT customer_id, window_length_s, window_start_s, service, {none}, {logged} FROM given WHERE true {}",
        insert_into(&[COUNTED.as_slice(), &LOGGED].concat()),
        add_on_conflict(&LOGGED)
    );
    given.execute(connection, &statement)?;
    Ok(())
}

/// Forgets sums of windows of `length_s` seconds that begin before `before_s` (unix seconds), at most `rows` of them; answers how many.
pub fn forget(tx: &mut WriteTx<'_>, length_s: i64, before_s: i64, rows: u32) -> Result<u64, DbError> {
    let key = "customer_id, window_length_s, window_start_s, service";
    let text = format!(
        "DELETE FROM usage_sums WHERE ({key}) IN (SELECT {key} FROM usage_sums WHERE window_length_s = {length_s} AND \
         window_start_s < {before_s} LIMIT {rows})"
    );
    Ok(diesel::sql_query(text).execute(tx.connection())? as u64)
}

/// Where the mark of usage stands.
pub fn mark(tx: &mut ReadTx<'_>) -> Result<Mark, DbError> {
    stats_marks::read(tx, Source::Usage)
}

/// How many of a row of `usage_reasons` are of a reason.
pub(in crate::db) fn sum_of_reason(reason: Counter) -> String {
    sum_of(&format!("CASE WHEN reason = '{}' THEN count ELSE 0 END", reason.word()))
}

/// PostgreSQL sums up `BIGINT` as `NUMERIC`.
pub(in crate::db) fn sum_of(name: &str) -> String {
    format!("CAST(SUM({name}) AS BIGINT)")
}
