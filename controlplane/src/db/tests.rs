//! What both databases must do alike: every table, every check, transactions, and connections that break.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod checks;

use crate::changes::record::record;
use crate::config::DatabaseConfig;
use crate::databases::{Backend, TestDatabase, on_both_databases};
use crate::db::connection::AnyConnection;
use crate::db::{ChangeNotices, Database, DbError, WriteTx, schema, stream};
use checks::what_a_check_forbids_is_refused;
use diesel::prelude::*;
use diesel::sql_types;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

on_both_databases! {
    every_table_takes_a_full_row_and_gives_it_back,
    what_a_check_forbids_is_refused,
    a_reader_sees_one_moment_while_others_write,
    a_writer_sees_what_it_has_recorded_and_others_do_not,
    a_transaction_that_failed_leaves_nothing_and_the_connection_works,
}

const BIG: i64 = i64::MAX;

/// Writes a row of all columns of a table, and expects the same back.
macro_rules! round_trip {
    ($connection:expr, $table:ident { $($column:ident: $value:expr),+ $(,)? }) => {{
        use schema::$table::dsl;
        let values = ($(dsl::$column.eq($value.to_owned()),)+);
        diesel::insert_into(dsl::$table).values(values).execute($connection).unwrap();
        let row = ($($value.to_owned(),)+);
        let found = rows_like(&row, dsl::$table.select(($(dsl::$column,)+)).load($connection));
        assert!(found.contains(&row), "{}: {row:?} came back as {found:?}", stringify!($table));
        stringify!($table).to_owned()
    }};
}

/// The same for a table with more than 12 columns, whose rows Rust cannot compare whole: column by column.
macro_rules! wide_round_trip {
    ($connection:expr, $table:ident { $($column:ident: $value:expr),+ $(,)? }) => {{
        use schema::$table::dsl;
        let values = ($(dsl::$column.eq($value.to_owned()),)+);
        diesel::insert_into(dsl::$table).values(values).execute($connection).unwrap();
        $({
            let value = $value.to_owned();
            let found = rows_like(&value, dsl::$table.select(dsl::$column).load($connection));
            assert_eq!(found, [value], "{}.{}", stringify!($table), stringify!($column));
        })+
        stringify!($table).to_owned()
    }};
}

/// Gives the loaded rows the type of the written one.
fn rows_like<T>(_written: &T, loaded: QueryResult<Vec<T>>) -> Vec<T> {
    loaded.unwrap()
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
}

fn tables(connection: &mut AnyConnection) -> BTreeSet<String> {
    let look = match connection {
        AnyConnection::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table'",
        AnyConnection::Postgres(_) => {
            "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public'"
        }
    };
    let names: Vec<Name> = diesel::sql_query(look).load(connection).unwrap();
    names
        .into_iter()
        .map(|row| row.name)
        .filter(|name| !name.contains("diesel") && !name.starts_with("sqlite_"))
        .collect()
}

fn every_table_takes_a_full_row_and_gives_it_back(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let c = &mut database.connection;
    diesel::delete(schema::stream::dsl::stream).execute(c).unwrap();
    let wallet = format!("0x{}", "ab".repeat(32));
    let customer = i64::from(u32::MAX);
    let written = BTreeSet::from([
        round_trip!(c, stream { stream_id: i64::MIN, sequence: BIG }),
        round_trip!(
            c,
            customers {
                customer_id: customer,
                wallet_address: wallet.as_str(),
                status: "closed",
                created_at_ms: BIG,
                spending_limit_cents: 100_000_000_i64,
                derivations_max: 1_023_i64
            }
        ),
        round_trip!(
            c,
            service_types { service: "s".repeat(32).as_str(), title: "t".repeat(64).as_str(), open: 0_i64 }
        ),
        round_trip!(c, prices { item: "api_key_month", valid_from_ms: BIG, micro_usd: 1_000_000_000_i64 }),
        round_trip!(
            c,
            tiers {
                tier: "pro",
                valid_from_ms: BIG,
                guaranteed_per_s: 1_048_575_i64,
                burst_per_s: 1_048_575_i64,
                burst_priority: 255_i64,
                allowlist_entries_max: 1_000_i64,
                subscription_cents: 100_000_000_i64,
                api_keys_included: 1_000_i64,
                api_keys_max: 1_000_i64,
                seal_keys_included: 1_000_i64,
                packages_per_seal_key: 1_000_i64
            }
        ),
        round_trip!(
            c,
            plans {
                number: 1_023_i64,
                guaranteed_per_s: 1_048_575_i64,
                burst_per_s: 1_048_575_i64,
                burst_priority: 255_i64,
                retired_at_ms: Some(BIG)
            }
        ),
        wide_round_trip!(
            c,
            services {
                customer_id: customer,
                service: "graphql",
                state: "suspended_operator",
                state_before_suspension: Some("suspended_no_payment".to_owned()),
                state_before_billing: Some("cancellation_pending".to_owned()),
                tier: "enterprise",
                plan: 1_023_i64,
                source: "ä 'quoted' \u{1f511}",
                created_at_ms: i64::MIN,
                updated_at_ms: BIG,
                allowlist: 1_i64,
                burst: 0_i64,
                own_guaranteed_per_s: Some(1_048_575_i64),
                own_burst_per_s: Some(0_i64),
                own_burst_priority: Some(255_i64),
                paid: 1_i64,
                next_tier: Some("starter".to_owned()),
                cancelled: 1_i64,
                pending_until_ms: Some(BIG),
                version: BIG,
            }
        ),
        round_trip!(
            c,
            credit_entries {
                customer_id: customer,
                number: BIG,
                at_ms: BIG,
                kind: "upgrade",
                amount_cents: -100_000_000_i64,
                balance_cents: BIG,
                service: Some("seal".to_owned()),
                tier: Some("pro".to_owned())
            }
        ),
        round_trip!(
            c,
            allowlist_entries {
                customer_id: customer,
                service: "graphql",
                prefix: "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128",
                created_at_ms: BIG
            }
        ),
        round_trip!(c, derivation_counters { customer_id: customer, key_group: 31_i64, next: 1_024_i64 }),
        wide_round_trip!(
            c,
            api_keys {
                fingerprint: i64::MIN,
                customer_id: customer,
                service: "seal",
                key_group: 31_i64,
                derivation: 1_023_i64,
                version: 1_i64,
                created_at_ms: BIG,
                revoked_at_ms: Some(BIG),
                expires_at_s: Some(BIG),
                name: "\u{1f511}".repeat(64).as_str(),
                deleted_at_ms: Some(BIG),
                last_used_at_s: Some(BIG),
                by_owner: 1_i64,
                revision: BIG,
            }
        ),
        round_trip!(
            c,
            revocations {
                fingerprint: -1_i64,
                in_force_from_s: BIG,
                kind: "expired",
                source: "operator",
                created_at_ms: BIG
            }
        ),
        round_trip!(
            c,
            operator_tokens {
                name: "on-call",
                token_sha256: "ab".repeat(32).as_str(),
                created_at_ms: BIG,
                expires_at_ms: BIG,
                revoked_at_ms: Some(BIG)
            }
        ),
        round_trip!(
            c,
            edges {
                edge: "fra1",
                token_sha256: Some("cd".repeat(32)),
                created_at_ms: BIG,
                removed_at_ms: Some(BIG),
                resyncs: BIG,
                seen_at_ms: Some(BIG),
                report: Some("x".repeat(65_536)),
            }
        ),
        round_trip!(
            c,
            key_groups {
                key_group: 31_i64,
                check_value: "0a1b2c3d",
                state: "removed",
                added_at_ms: BIG,
                confirmed_at_ms: Some(BIG),
                retired_at_ms: Some(BIG),
                removed_at_ms: Some(BIG)
            }
        ),
        wide_round_trip!(
            c,
            request_logs {
                time_ms: BIG,
                edge: "fra1",
                seq: BIG,
                request_id: "1795251900-4294967295-4294967295",
                client: "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                customer_id: Some(customer),
                service: Some("graphql".to_owned()),
                fingerprint: Some(i64::MIN),
                class: Some("guaranteed".to_owned()),
                reason: Some("suspended_spending_limit".to_owned()),
                status: -1_i64,
                received_bytes: BIG,
                sent_bytes: BIG,
                queue_ms: -1_i64,
                connect_ms: -1_i64,
                response_ms: -1_i64,
                total_ms: BIG,
                server: "<NOSRV>",
                ending: "CD--",
            }
        ),
        wide_round_trip!(
            c,
            request_stats {
                customer_id: customer,
                service: "",
                fingerprint: i64::MIN,
                window_start_s: BIG,
                window_length_s: 86_400_i64,
                guaranteed: BIG,
                burst: BIG,
                rejected: BIG,
                refused: BIG,
                unserved: BIG,
                client_errors: BIG,
                server_errors: BIG,
                received_bytes: BIG,
                sent_bytes: BIG,
                sketch: "0:1 255:2",
            }
        ),
        round_trip!(
            c,
            request_cursors { edge: "fra1", instance: "0123456789abcdef", number: BIG, next_seq: BIG }
        ),
        round_trip!(c, change_log { sequence: BIG, change: "x".repeat(80).as_str(), created_at_ms: BIG }),
        round_trip!(
            c,
            ledgers {
                ledger_id: i64::MIN,
                edge: "fra1",
                generation: BIG,
                created_at_ms: BIG,
                counts_from_ms: BIG,
                first_heard_at_ms: BIG,
                heard_at_ms: BIG,
                closed_at_ms: Some(BIG)
            }
        ),
        round_trip!(
            c,
            usage_cursors {
                ledger_id: i64::MIN,
                customer_id: customer,
                service: "graphql",
                counters: "9".repeat(400).as_str(),
                heard_at_ms: BIG
            }
        ),
        round_trip!(
            c,
            usage_records {
                customer_id: customer,
                service: "graphql",
                window_start_s: 86_400_i64 * 1_000_000_000,
                window_length_s: 86_400_i64,
                admitted: BIG,
                burst: BIG,
                rejected: BIG,
                refused: BIG,
                unserved_guaranteed: BIG,
                unserved_burst: BIG
            }
        ),
        round_trip!(
            c,
            usage_reasons {
                customer_id: customer,
                service: "graphql",
                window_start_s: BIG,
                window_length_s: 60_i64,
                reason: "suspended_spending_limit",
                count: BIG
            }
        ),
        wide_round_trip!(
            c,
            usage_sums {
                customer_id: customer,
                window_length_s: 86_400_i64,
                window_start_s: BIG,
                service: "graphql",
                admitted: BIG,
                burst: BIG,
                rejected: BIG,
                refused: BIG,
                unserved_guaranteed: BIG,
                unserved_burst: BIG,
                address_not_allowed: BIG,
                rate_limited: BIG,
                too_many_failures: BIG,
                content_too_large: BIG,
                revoked: BIG,
                expired: BIG,
                no_service: BIG,
                disabled: BIG,
                suspended_no_payment: BIG,
                suspended_spending_limit: BIG,
                suspended_operator: BIG,
                customer_suspended: BIG,
                client_errors: BIG,
                server_errors: BIG,
                received_bytes: BIG,
                sent_bytes: BIG
            }
        ),
        round_trip!(c, stats_marks { source: "requests", window_start_s: BIG, customer_id: customer }),
        round_trip!(
            c,
            usage_set_aside {
                id: BIG,
                edge: "fra1",
                ledger_id: i64::MIN,
                customer_id: customer,
                service: "graphql",
                window_start_s: BIG,
                counters: "5,0,3",
                why: "unknown_customer",
                created_at_ms: BIG,
                decided_at_ms: Some(BIG),
                decision: Some("discarded".to_owned())
            }
        ),
        round_trip!(c, leases { name: "jobs", holder: "0123456789abcdef", until_ms: BIG }),
        round_trip!(
            c,
            sign_in_challenges {
                nonce_sha256: "ab".repeat(32).as_str(),
                message_sha256: "cd".repeat(32).as_str(),
                wallet_address: wallet.as_str(),
                source: "2001:db8:ffff:ffff::/64",
                created_at_ms: BIG,
                expires_at_ms: BIG,
                ended_at_ms: Some(BIG),
                outcome: Some("failed".to_owned()),
                failed_source: Some("192.0.2.255".to_owned())
            }
        ),
        round_trip!(
            c,
            sessions {
                session_id: "ab".repeat(16).as_str(),
                customer_id: customer,
                source: "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                user_agent: "x".repeat(256).as_str(),
                created_at_ms: BIG,
                refreshed_at_ms: BIG,
                expires_at_ms: BIG,
                ended_at_ms: Some(BIG),
                end_reason: Some("refresh_token_reused".to_owned())
            }
        ),
        round_trip!(
            c,
            refresh_tokens {
                token_sha256: "ab".repeat(32).as_str(),
                session_id: "ab".repeat(16).as_str(),
                created_at_ms: BIG,
                expires_at_ms: BIG,
                replaced_at_ms: Some(BIG)
            }
        ),
        round_trip!(
            c,
            api_tokens {
                token_id: "ab".repeat(16).as_str(),
                customer_id: customer,
                name: "ä 'quoted' \u{1f511}",
                token_sha256: "ab".repeat(32).as_str(),
                scopes: "keys:read keys:write",
                created_at_ms: BIG,
                expires_at_ms: BIG,
                last_used_at_ms: Some(BIG),
                revoked_at_ms: Some(BIG),
                version: BIG
            }
        ),
        round_trip!(
            c,
            activity {
                customer_id: customer,
                number: BIG,
                at_ms: BIG,
                actor_kind: "command",
                actor: "root",
                source: Some("2001:db8::1".to_owned()),
                request_id: Some("0123456789abcdef".to_owned()),
                action: "key_created",
                detail: "{}"
            }
        ),
        round_trip!(
            c,
            idempotency_keys {
                customer_id: customer,
                idempotency_key: "k".repeat(255).as_str(),
                request_sha256: "ab".repeat(32).as_str(),
                kind: "api_token",
                made: "ab".repeat(16).as_str(),
                status: 201_i64,
                answer: "{}",
                created_at_ms: BIG
            }
        ),
        round_trip!(c, demo { one: 1_i64, seed: i64::MIN, begun_at_ms: BIG, finished_at_ms: Some(BIG) }),
    ]);
    assert_eq!(tables(c), written, "a table is missing in this test");
}

fn record_one(tx: &mut WriteTx<'_>, number: u32) -> Result<u64, DbError> {
    record(tx, &format!("+r:41000001{number:08X}:0:revoked").parse().unwrap(), 0)
}

fn a_reader_sees_one_moment_while_others_write(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut reader = place.open();
    let mut writer = Database::open_again(&place.config).unwrap();
    reader
        .read(|tx| {
            // The first statement fixes the moment; the position is remembered, so the tables are asked.
            assert_eq!(crate::db::change_log::after(tx, 0, 10)?.len(), 0);
            for number in 1..=3 {
                writer.write(|tx| record_one(tx, number))?;
            }
            assert_eq!(crate::db::change_log::after(tx, 0, 10)?.len(), 0, "the log moved");
            assert_eq!(stream::position(tx)?.sequence, 0, "the counter moved");
            Ok::<_, DbError>(())
        })
        .unwrap();
    assert_eq!(reader.read(stream::position).unwrap().sequence, 3);
}

fn a_writer_sees_what_it_has_recorded_and_others_do_not(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut writer = place.open();
    let mut reader = Database::open_again(&place.config).unwrap();
    writer
        .write(|tx| {
            assert_eq!((record_one(tx, 1)?, record_one(tx, 2)?), (1, 2));
            assert_eq!(stream::position(tx)?.sequence, 2);
            assert_eq!(reader.read(stream::position)?.sequence, 0);
            Ok::<_, DbError>(())
        })
        .unwrap();
    assert_eq!(reader.read(stream::position).unwrap().sequence, 2);
}

fn a_transaction_that_failed_leaves_nothing_and_the_connection_works(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let failed = database.write(|tx| {
        record_one(tx, 1)?;
        crate::db::change_log::insert(tx, 1, &"+r:4100000100000001:0:revoked".parse().unwrap(), 0)
    });
    assert!(matches!(failed, Err(DbError::Query(_))), "a number was given twice: {failed:?}");
    assert_eq!(database.write(|tx| record_one(tx, 1)).unwrap(), 1);
}

#[test]
fn a_connection_that_the_server_has_cut_is_made_anew() {
    let place = TestDatabase::new(Backend::Postgres);
    let mut database = place.open();
    for round in 1..=2 {
        place.cut_every_session();
        assert_eq!(database.write(|tx| record_one(tx, round)).unwrap(), u64::from(round));
        place.cut_every_session();
        assert_eq!(database.read(stream::position).unwrap().sequence, u64::from(round));
    }
    // In the middle of a transaction it is an error, and nothing has happened.
    let cut = database.write(|tx| {
        record_one(tx, 3)?;
        place.cut_every_session();
        record_one(tx, 4)
    });
    assert!(cut.is_err());
    assert_eq!(database.write(|tx| record_one(tx, 3)).unwrap(), 3);
}

#[test]
fn a_commit_with_changes_is_told_and_nothing_else_is() {
    let place = TestDatabase::new(Backend::Postgres);
    let DatabaseConfig::Postgres(url) = &place.config else { panic!("{}", place.config) };
    let mut database = place.open();
    let mut notices = ChangeNotices::listen(url).unwrap();
    let told_within = |notices: &mut ChangeNotices, limit: Duration| {
        let start = Instant::now();
        while start.elapsed() < limit {
            if notices.take().unwrap() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    };
    database.read(stream::position).unwrap();
    database.write(|tx| stream::position(tx)).unwrap();
    let given_up: Result<(), DbError> = database.write(|tx| {
        record_one(tx, 1)?;
        assert!(!told_within(&mut notices, Duration::from_millis(100)), "told before the commit");
        Err(DbError::unexpected("test", "given up"))
    });
    assert!(given_up.is_err());
    assert!(!told_within(&mut notices, Duration::from_millis(300)));
    database.write(|tx| record_one(tx, 1)).unwrap();
    assert!(told_within(&mut notices, Duration::from_millis(500)));
}

#[test]
fn a_server_that_cannot_be_had_is_named_without_the_password() {
    let open = |url: &str| {
        let variables = [("DATABASE_URL".to_owned(), url.to_owned())].into();
        let config = crate::config::Config::from_variables(&variables).unwrap().database;
        let error = Database::open(&config).err().unwrap();
        format!("{} / {error:?}", crate::app::chain_of(&error))
    };
    let place = TestDatabase::new(Backend::Postgres);
    let elsewhere = open("postgres://u:geheim@/d?host=/nonexistent");
    assert!(elsewhere.contains("postgres://u@/d?host=/nonexistent cannot be opened"), "{elsewhere}");
    assert!(elsewhere.contains("No such file or directory"), "{elsewhere}");
    let no_database =
        open(&place.url.replace("suiftly_test@", "suiftly_test:geheim@").replace("/test_", "/other_"));
    assert!(no_database.contains("does not exist"), "{no_database}");
    let no_role = open(&place.url.replace("suiftly_test@", "geheim:geheim@"));
    assert!(no_role.contains("role \"***\" does not exist"), "{no_role}");
    let unknown_parameter = open("postgres://u:geheim@h/d?gate=7");
    for text in [elsewhere, no_database, unknown_parameter] {
        assert!(!text.contains("geheim"), "{text}");
    }
}
