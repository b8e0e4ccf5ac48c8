//! What is used and not invoiced yet, what it costs, and how the databases find all of this: by an index.

use super::server::{NOW_MS, Server};
use super::statistics::Scene;
use super::wallet::Wallet;
use crate::harness::accounts::Raw;
use crate::harness::{Backend, TestDatabase, on_both_databases};
use apikey::{CustomerId, Service};
use controlplane::config::DatabaseConfig;
use controlplane::db::pending_usage::select_by_price;
use controlplane::db::request_sums::{self, select_sums};
use controlplane::db::statistics::{Services, Whose, selects};
use controlplane::db::time_pieces::{Piece, TimePieces};
use controlplane::domain::catalogue::{PriceItem, PriceRow};
use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_types};
use edgeformat::ledger::Counter;
use serde_json::json;

on_both_databases! {
    usage_of_this_month_costs_what_it_cost_when_it_was_used,
    the_same_is_told_for_30_s_to_its_owner_only,
    every_query_is_answered_by_an_index,
}

const MONTH_S: i64 = 1_793_491_200;
const NOW_S: i64 = NOW_MS / 1_000;

fn usage_of_this_month_costs_what_it_cost_when_it_was_used(backend: Backend) {
    let scene = Scene::new(backend);
    let empty = scene.get("/api/v1/billing/pending").with(200);
    assert_eq!((&empty["items"], &empty["total_cents"]), (&json!([]), &json!(0)));
    assert_eq!(empty["since"], "2026-11-01T00:00:00.000Z");
    // Twice as dear from noon of the 10th on, and free from midnight on.
    let dear_s = MONTH_S + 9 * 86_400 + 12 * 3_600;
    let free_s = NOW_S - NOW_S % 86_400;
    Raw::of(&scene.server.place).run(&format!(
        "INSERT INTO prices VALUES ('request', {}, 200), ('request', {}, 0), ('api_key_month', {}, 7)",
        dear_s * 1_000,
        free_s * 1_000,
        dear_s * 1_000
    ));
    let admitted = |count| [(Counter::Admitted, count)];
    scene.used(Service::Seal, MONTH_S - 1, &admitted(1_000_000));
    scene.used(
        Service::Seal,
        MONTH_S,
        &[
            (Counter::Admitted, 1_000),
            (Counter::Burst, 300),
            (Counter::RateLimited, 100),
            (Counter::UnservedGuaranteed, 20),
            (Counter::UnservedBurst, 3),
            (Counter::Expired, 50),
        ],
    );
    scene.used(Service::Seal, dear_s - 1, &admitted(1));
    scene.used(Service::Seal, dear_s, &admitted(10));
    scene.used(Service::Grpc, dear_s, &admitted(7));
    scene.used(Service::Grpc, NOW_S, &admitted(5_000));
    scene.server.advance_s(30);
    let expected = json!([
        { "service": "grpc", "guaranteed": 7, "burst": 0, "billable_requests": 7, "price_micro_usd": 200,
          "price_from": "2026-11-10T12:00:00.000Z", "amount_micro_usd": 1_400 },
        { "service": "grpc", "guaranteed": 5_000, "burst": 0, "billable_requests": 5_000, "price_micro_usd": 0,
          "price_from": "2026-11-21T00:00:00.000Z", "amount_micro_usd": 0 },
        { "service": "seal", "guaranteed": 581, "burst": 297, "billable_requests": 878, "price_micro_usd": 100,
          "price_from": "1970-01-01T00:00:00.000Z", "amount_micro_usd": 87_800 },
        { "service": "seal", "guaranteed": 10, "burst": 0, "billable_requests": 10, "price_micro_usd": 200,
          "price_from": "2026-11-10T12:00:00.000Z", "amount_micro_usd": 2_000 },
    ]);
    let pending = scene.get("/api/v1/billing/pending").with(200);
    assert_eq!(pending["items"], expected);
    assert_eq!((&pending["total_micro_usd"], &pending["total_cents"]), (&json!(91_200), &json!(9)));
    // Minutes have become hours: the same.
    let mut jobs = controlplane::jobs::all(
        &controlplane::config::UsageConfig::default(),
        std::time::Duration::from_secs(604_800),
    );
    for job in &mut jobs {
        while (job.run)(&mut scene.server.database(), scene.server.clock.now_ms()).unwrap().more {}
    }
    assert!(Raw::of(&scene.server.place).count("usage_records WHERE window_length_s = 3600") >= 4);
    scene.server.advance_s(30);
    assert_eq!(scene.get("/api/v1/billing/pending").with(200)["items"], expected);
    // In December nothing of November is pending: it is what an invoice will have.
    scene.server.advance_s(20 * 86_400);
    let december = scene.get("/api/v1/billing/pending").with(200);
    assert_eq!((&december["since"], &december["items"]), (&json!("2026-12-01T00:00:00.000Z"), &json!([])));
}

fn the_same_is_told_for_30_s_to_its_owner_only(backend: Backend) {
    let scene = Scene::new(backend);
    let pending = || scene.get("/api/v1/billing/pending");
    scene.used(Service::Seal, NOW_S, &[(Counter::Admitted, 100)]);
    let first = pending();
    assert_eq!(first.header("cache-control"), "no-store");
    let first = first.with(200);
    assert_eq!(
        (&first["as_of"], &first["total_micro_usd"]),
        (&json!("2026-11-21T09:05:00.123Z"), &json!(10_000))
    );
    scene.used(Service::Seal, NOW_S, &[(Counter::Admitted, 100)]);
    scene.server.advance_s(29);
    assert_eq!(pending().with(200), first);
    let other = Wallet::new(2).sign_in(&scene.server);
    let of_other = scene.server.to("GET", "/api/v1/billing/pending").bearer(&other.access).send().with(200);
    assert_eq!(of_other["items"], json!([]));
    // Another copy of the server has its own.
    let copy: Server = scene.server.copy(|_| {});
    let of_copy = copy.to("GET", "/api/v1/billing/pending").bearer(&scene.session.access).send().with(200);
    assert_eq!(of_copy["total_micro_usd"], 20_000);
    scene.server.advance_s(1);
    assert_eq!(pending().with(200)["total_micro_usd"], 20_000);
}

#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = sql_types::Text)]
    detail: String,
}

/// How the database runs a query.
fn plan(place: &TestDatabase, query: &str) -> String {
    let lines: Vec<String> = match &place.config {
        DatabaseConfig::Sqlite(file) => {
            let mut connection = SqliteConnection::establish(&file.display().to_string()).unwrap();
            let query = diesel::sql_query(format!("EXPLAIN QUERY PLAN {query}"));
            query.load::<Line>(&mut connection).unwrap().into_iter().map(|line| line.detail).collect()
        }
        DatabaseConfig::Postgres(_) => {
            #[derive(diesel::QueryableByName)]
            struct Plan {
                #[diesel(sql_type = sql_types::Text, column_name = "QUERY PLAN")]
                line: String,
            }
            let query = diesel::sql_query(format!("EXPLAIN {query}"));
            query.load::<Plan>(&mut place.psql()).unwrap().into_iter().map(|plan| plan.line).collect()
        }
    };
    lines.join("\n")
}

fn every_query_is_answered_by_an_index(backend: Backend) {
    let place = TestDatabase::new(backend);
    drop(place.open());
    // So many rows that reading all would be the wrong thing to do: 1,000 customers with 20 days and 20 minutes each.
    let rows: Vec<String> = (1..=1_000)
        .flat_map(|customer| (0..20).map(move |place| (customer, place)))
        .map(|(customer, place)| (customer, NOW_S / 86_400 * 86_400 - place * 86_400))
        .flat_map(|(customer, start_s)| [(customer, start_s, 86_400), (customer, start_s + 60, 60)])
        .map(|(customer, start_s, length_s)| format!("({customer}, {start_s}, {length_s})"))
        .collect();
    let raw = Raw::of(&place);
    raw.run("CREATE TABLE filling (customer BIGINT, start_s BIGINT, length_s BIGINT)");
    for rows in rows.chunks(5_000) {
        raw.run(&format!("INSERT INTO filling VALUES {}", rows.join(", ")));
    }
    raw.run(
        "INSERT INTO usage_records SELECT customer, 'seal', start_s - start_s % length_s, length_s, 1, 0, 0, 0, 0, 0 FROM filling; \
         INSERT INTO usage_reasons SELECT customer, 'seal', start_s - start_s % length_s, length_s, 'expired', 1 FROM filling; \
         INSERT INTO usage_sums SELECT customer, length_s, start_s, 'seal', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM filling WHERE length_s > 60; \
         INSERT INTO request_stats SELECT customer, 'seal', 7, start_s - start_s % length_s, length_s, 1, 0, 0, 0, 0, 0, 0, 1, 1, '5:1' \
         FROM filling;",
    );
    if backend == Backend::Postgres {
        // As autovacuum does by itself; nobody does it on SQLite.
        raw.run("ANALYZE");
    }
    let whose = Whose { customer: CustomerId::new(500).unwrap(), service: None };
    let requests = request_sums::Asked { whose, key: None };
    let (month, rest) = (Piece::Sums(86_400, NOW_S - 30 * 86_400..NOW_S), Piece::Minutes(NOW_S - 300..NOW_S));
    let price = |valid_from_ms| PriceRow { item: PriceItem::Request, valid_from_ms, micro_usd: 1 };
    let prices = [price(0), price(9)];
    let mut queries = vec![(
        select_by_price(whose.customer, &(MONTH_S..NOW_S), &prices),
        "usage_records",
        ["sqlite_autoindex_usage_records_1", "usage_records_pkey"],
    )];
    for piece in [&month, &rest] {
        let bucket_s = piece.length_s();
        let pieces = TimePieces { pieces: vec![piece.clone()], bucket_s };
        for part in selects(whose, &pieces, &pieces, Services::Together) {
            let query = part.to_string();
            let (table, indexes) = if query.contains("usage_reasons") {
                ("usage_reasons", ["sqlite_autoindex_usage_reasons_1", "usage_reasons_pkey"])
            } else if query.contains("usage_records") {
                ("usage_records", ["sqlite_autoindex_usage_records_1", "usage_records_pkey"])
            } else if query.contains("request_stats") {
                ("request_stats", ["request_stats_by_customer"; 2])
            } else {
                ("usage_sums", ["PRIMARY KEY", "usage_sums_pkey"])
            };
            queries.push((query, table, indexes));
        }
        let query = select_sums(requests, piece, bucket_s, Services::Together).to_string();
        queries.push((query, "request_stats", ["request_stats_by_customer"; 2]));
    }
    assert_eq!(queries.len(), 1 + 2 + 8);
    for (query, table, index) in queries {
        let plan = plan(&place, &query);
        let index = index[usize::from(backend == Backend::Postgres)];
        match backend {
            Backend::Sqlite => {
                let found = plan.lines().any(|line| {
                    line.starts_with(&format!("SEARCH {table} USING"))
                        && line.contains(&format!("{index} (customer_id=?"))
                        && line.contains("window_start_s>? AND window_start_s<?")
                });
                assert!(found && !plan.contains("SCAN"), "{query}\n{plan}");
            }
            Backend::Postgres => {
                assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{query}\n{plan}");
                let by = plan.lines().find(|line| line.contains("Index Cond")).unwrap_or_default();
                assert!(
                    by.contains("customer_id = 500") && by.contains("window_start_s >="),
                    "{query}\n{plan}"
                );
                // Behind a service that is only compared, the index would be read for all time.
                assert_eq!(query.contains("service = '"), by.contains("service = '"), "{query}\n{plan}");
            }
        }
    }
}
