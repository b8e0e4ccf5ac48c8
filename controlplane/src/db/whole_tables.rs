//! Every table whole, row by row: what a backup holds and a restore puts back. The same on both databases.

use crate::db::connection::AnyConnection;
use crate::db::many_rows::{self, Cell};
use crate::db::{DbError, ReadTx, WriteTx, migrate, number, postgres};
use diesel::prelude::*;
use diesel::{QueryableByName, sql_types};

/// How many rows are read at once.
const PAGE: usize = 5_000;

/// A table as a backup knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [&'static str],
    /// Those of its primary key, in order.
    pub key: &'static [&'static str],
}

/// A row, a cell a column.
pub type Row = Vec<Cell>;

macro_rules! tables {
    ($($name:ident [$($key:ident),+] { $($column:ident),+ $(,)? })+) => {
        &[$(Table {
            name: stringify!($name),
            columns: &[$(stringify!($column)),+],
            key: &[$(stringify!($key)),+],
        }),+]
    };
}

/// Every table but those in `LEFT_OUT` and `stream`, which a restore does not put back: it begins a new one. A table stands behind those that its
/// foreign keys name.
pub const TABLES: &[Table] = tables! {
    customers [customer_id] {
        customer_id, wallet_address, status, created_at_ms, spending_limit_cents, derivations_max,
    }
    service_types [service] { service, title, open }
    prices [item, valid_from_ms] { item, valid_from_ms, micro_usd }
    tiers [tier, valid_from_ms] {
        tier, valid_from_ms, guaranteed_per_s, burst_per_s, burst_priority, allowlist_entries_max,
        subscription_cents, api_keys_included, api_keys_max, seal_keys_included, packages_per_seal_key,
    }
    plans [number] { number, guaranteed_per_s, burst_per_s, burst_priority, retired_at_ms }
    services [customer_id, service] {
        customer_id, service, state, state_before_suspension, state_before_billing, tier, plan, source, created_at_ms,
        updated_at_ms, allowlist, burst, own_guaranteed_per_s, own_burst_per_s, own_burst_priority, paid, next_tier,
        cancelled, pending_until_ms, version,
    }
    credit_entries [customer_id, number] {
        customer_id, number, at_ms, kind, amount_cents, balance_cents, service, tier,
    }
    allowlist_entries [customer_id, service, prefix] { customer_id, service, prefix, created_at_ms }
    derivation_counters [customer_id, key_group] { customer_id, key_group, next }
    api_keys [fingerprint] {
        fingerprint, customer_id, service, key_group, derivation, version, created_at_ms, revoked_at_ms,
        expires_at_s, name, deleted_at_ms, last_used_at_s, by_owner, revision,
    }
    revocations [fingerprint] { fingerprint, in_force_from_s, kind, source, created_at_ms }
    operator_tokens [name] { name, token_sha256, created_at_ms, expires_at_ms, revoked_at_ms }
    edges [edge] { edge, token_sha256, created_at_ms, removed_at_ms, resyncs, seen_at_ms, report }
    key_groups [key_group] {
        key_group, check_value, state, added_at_ms, confirmed_at_ms, retired_at_ms, removed_at_ms,
    }
    change_log [sequence] { sequence, change, created_at_ms }
    ledgers [ledger_id] {
        ledger_id, edge, generation, created_at_ms, counts_from_ms, first_heard_at_ms, heard_at_ms, closed_at_ms,
    }
    usage_cursors [ledger_id, customer_id, service] { ledger_id, customer_id, service, counters, heard_at_ms }
    usage_records [customer_id, service, window_start_s, window_length_s] {
        customer_id, service, window_start_s, window_length_s, admitted, burst, rejected, refused,
        unserved_guaranteed, unserved_burst,
    }
    usage_reasons [customer_id, service, window_start_s, window_length_s, reason] {
        customer_id, service, window_start_s, window_length_s, reason, count,
    }
    usage_sums [customer_id, window_length_s, window_start_s, service] {
        customer_id, window_length_s, window_start_s, service, admitted, burst, rejected, refused,
        unserved_guaranteed, unserved_burst, address_not_allowed, rate_limited, too_many_failures, content_too_large, revoked, expired,
        no_service, disabled, suspended_no_payment, suspended_spending_limit, suspended_operator,
        customer_suspended, client_errors, server_errors,
        received_bytes, sent_bytes,
    }
    stats_marks [source] { source, window_start_s, customer_id }
    usage_set_aside [id] {
        id, edge, ledger_id, customer_id, service, window_start_s, counters, why, created_at_ms, decided_at_ms,
        decision,
    }
    leases [name] { name, holder, until_ms }
    request_stats [window_length_s, window_start_s, customer_id, service, fingerprint] {
        customer_id, service, fingerprint, window_start_s, window_length_s, guaranteed, burst, rejected, refused,
        unserved, client_errors, server_errors, received_bytes, sent_bytes, sketch,
    }
    activity [customer_id, number] {
        customer_id, number, at_ms, actor_kind, actor, source, request_id, action, detail,
    }
    idempotency_keys [customer_id, idempotency_key] {
        customer_id, idempotency_key, request_sha256, kind, made, status, answer, created_at_ms,
    }
    demo [one] { one, seed, begun_at_ms, finished_at_ms }
};

/// Tables that no backup holds, and that are empty after a restore: the request log is kept for days, may be far larger than
/// everything else, and holds callers' addresses, which should not live on in backups; its cursors mean nothing without it. Of
/// sessions a backup knows refresh tokens that were exchanged since, which would look stolen: people sign in again. Of API tokens it
/// does not know which were revoked since, perhaps because they had leaked: people make new ones.
const LEFT_OUT: [&str; 6] =
    ["request_logs", "request_cursors", "sign_in_challenges", "refresh_tokens", "sessions", "api_tokens"];

/// The last migration that was run: which tables and columns there are.
///
/// # Errors
/// [`DbError`].
pub fn schema_version(tx: &mut ReadTx<'_>) -> Result<String, DbError> {
    migrate::version(tx.connection())
}

/// Calls `each` for every row of a table, ordered by its key, a page at a time.
///
/// # Errors
/// [`DbError`], or what `each` answers.
pub fn for_each_row<E: From<DbError>>(
    tx: &mut ReadTx<'_>,
    table: &Table,
    mut each: impl FnMut(&Row) -> Result<(), E>,
) -> Result<(), E> {
    // Who takes the rows may pause, e.g. for a slow disk; PostgreSQL would end an idle transaction.
    postgres::let_this_transaction_pause(tx.connection()).map_err(DbError::Query)?;
    let mut last: Option<Row> = None;
    loop {
        let rows = page_after(tx, table, last.as_ref())?;
        rows.iter().try_for_each(&mut each)?;
        if rows.len() < PAGE {
            return Ok(());
        }
        last = rows.into_iter().next_back();
    }
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = sql_types::Text)]
    line: String,
}

/// The rows after one. The database writes each as JSON, so that one function reads every table; whole numbers are exact
/// on both.
fn page_after(tx: &mut ReadTx<'_>, table: &Table, last: Option<&Row>) -> Result<Vec<Row>, DbError> {
    let connection = tx.connection();
    let mark = many_rows::mark(connection);
    let array = match connection {
        AnyConnection::Sqlite(_) => format!("json_array({})", quoted(table.columns)),
        AnyConnection::Postgres(_) => format!("json_build_array({})::text", quoted(table.columns)),
    };
    let key = quoted(table.key);
    let after: Vec<Cell> = last.map_or_else(Vec::new, |row| key_of(table, row));
    let condition = if after.is_empty() {
        String::new()
    } else {
        let marks: Vec<String> = (1..=after.len()).map(|place| format!("{mark}{place}")).collect();
        format!("WHERE ({key}) > ({})", marks.join(", "))
    };
    let name = table.name;
    let text = format!("SELECT {array} AS line FROM \"{name}\" {condition} ORDER BY {key} LIMIT {PAGE}");
    let lines: Vec<Line> = many_rows::bind(text, after.iter()).load(connection)?;
    let read = |line: &Line| serde_json::from_str(&line.line);
    lines
        .iter()
        .map(|line| read(line).map_err(|error| DbError::unexpected(name, format!("a row is {error}"))))
        .collect()
}

fn key_of(table: &Table, row: &Row) -> Vec<Cell> {
    let cells = table.columns.iter().zip(row);
    let of = |wanted: &&str| cells.clone().find(|(name, _)| *name == wanted).map(|(_, cell)| cell.clone());
    table.key.iter().filter_map(of).collect()
}

/// How many rows a table has.
///
/// # Errors
/// [`DbError`].
pub fn count(tx: &mut ReadTx<'_>, table: &Table) -> Result<u64, DbError> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = sql_types::BigInt)]
        count: i64,
    }
    let text = format!("SELECT count(*) AS count FROM \"{}\"", table.name);
    let found: Count = diesel::sql_query(text).get_result(tx.connection())?;
    number(table.name, "count", found.count)
}

/// Takes every row out of every table.
///
/// # Errors
/// [`DbError`].
pub fn clear(tx: &mut WriteTx<'_>) -> Result<(), DbError> {
    for name in LEFT_OUT.into_iter().chain(TABLES.iter().rev().map(|table| table.name)) {
        diesel::sql_query(format!("DELETE FROM \"{name}\"")).execute(tx.connection())?;
    }
    Ok(())
}

/// Adds rows to a table.
///
/// # Errors
/// [`DbError`], e.g. where a check forbids a value.
pub fn insert(tx: &mut WriteTx<'_>, table: &Table, rows: &[Row]) -> Result<(), DbError> {
    many_rows::insert(tx.connection(), table.name, table.columns, rows)
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::databases::{Backend, TestDatabase, on_both_databases};
    use std::collections::{BTreeMap, BTreeSet};

    on_both_databases! {
        every_table_and_column_of_the_database_is_backed_up,
        pages_of_a_table_are_read_without_a_gap_or_a_row_twice,
    }

    #[derive(QueryableByName)]
    struct Column {
        #[diesel(sql_type = sql_types::Text)]
        table_name: String,
        #[diesel(sql_type = sql_types::Text)]
        column_name: String,
    }

    fn every_table_and_column_of_the_database_is_backed_up(backend: Backend) {
        let place = TestDatabase::new(backend);
        let mut database = place.open();
        let look = match backend {
            Backend::Sqlite => {
                "SELECT m.name AS table_name, c.name AS column_name FROM sqlite_master m \
                 JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
            }
            Backend::Postgres => {
                "SELECT table_name::text, column_name::text FROM information_schema.columns \
                 WHERE table_schema = 'public'"
            }
        };
        let columns: Vec<Column> = diesel::sql_query(look).load(&mut database.connection).unwrap();
        let mut in_database = BTreeMap::<String, BTreeSet<String>>::new();
        for column in columns {
            in_database.entry(column.table_name).or_default().insert(column.column_name);
        }
        in_database.retain(|name, _| {
            name != "stream"
                && !LEFT_OUT.contains(&name.as_str())
                && !name.contains("diesel")
                && !name.starts_with("sqlite_")
        });
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let backed_up: BTreeMap<String, BTreeSet<String>> =
            TABLES.iter().map(|table| (table.name.to_owned(), owned(table.columns))).collect();
        assert_eq!(in_database, backed_up, "name what is missing in `TABLES`");
    }

    fn pages_of_a_table_are_read_without_a_gap_or_a_row_twice(backend: Backend) {
        let place = TestDatabase::new(backend);
        let mut database = place.open();
        let table = TABLES.iter().find(|table| table.name == "tiers").unwrap();
        let row = |tier: &str, from: i64| {
            let tier = Cell::Text(tier.to_owned());
            vec![
                tier,
                Cell::Integer(from),
                Cell::Integer(1),
                Cell::Integer(i64::from(u16::MAX)),
                Cell::Integer(0),
                Cell::Integer(20),
                Cell::Integer(3_900),
                Cell::Integer(2),
                Cell::Integer(10),
                Cell::Integer(1),
                Cell::Integer(5),
            ]
        };
        let count = 2 * PAGE as i64 + 7;
        let rows: Vec<Row> =
            (1..=count).map(|n| row(if n % 2 == 0 { "pro" } else { "starter" }, i64::MAX - n)).collect();
        database.write(|tx| insert(tx, table, &rows)).unwrap();
        let mut found = Vec::new();
        let each = |row: &Row| {
            found.push(row.clone());
            Ok::<_, DbError>(())
        };
        database.read(|tx| for_each_row(tx, table, each)).unwrap();
        assert_eq!(found.len() as i64, count + 3, "and the three of the catalogue");
        let texts = |rows: &[Row]| rows.iter().map(|row| format!("{row:?}")).collect::<BTreeSet<_>>();
        assert!(texts(&rows).is_subset(&texts(&found)));
        let keys: BTreeSet<String> = found.iter().map(|row| format!("{:?}", key_of(table, row))).collect();
        assert_eq!(keys.len(), found.len());
    }
}
