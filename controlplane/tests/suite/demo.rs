//! Demo data: made once in an empty database, marked, and something to show everywhere.

use crate::harness::accounts::Raw;
use crate::harness::{Backend, Stack, on_both_databases};
use controlplane::db::Database;
use controlplane::db::request_sums::{self, RequestSums};
use controlplane::db::statistics::{Services, Whose};
use controlplane::db::time_pieces::TimePieces;
use controlplane::db::usage_records::Asked;
use controlplane::domain::requests::Window;
use controlplane::domain::statistics::{self, Period, Span};
use controlplane::domain::usage::figures;
use controlplane::keyring;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const DAY_S: i64 = 86_400;

on_both_databases! {
    a_seeded_database_has_something_in_every_list_and_its_figures_agree,
    a_database_that_holds_anything_else_is_refused_and_stays_as_it_was,
    a_seeding_that_was_cut_off_is_not_taken_for_a_whole_one,
}

fn ids(stack: &Stack) -> Vec<u64> {
    let mut database = stack.open_database();
    let rows = database.read(controlplane::db::services::all_with_customer).unwrap();
    let ids: BTreeSet<u64> = rows.iter().map(|(row, _)| u64::from(row.key.customer.get())).collect();
    ids.into_iter().collect()
}

/// Every figure by the hour, from usage and from the request log, which must say the same.
fn both(database: &mut Database, customer: u64, now_ms: i64) -> [Vec<(i64, [i64; 4])>; 2] {
    let customer = u32::try_from(customer).unwrap().to_string().parse().unwrap();
    let asked = statistics::Asked { customer, service: None, key: None };
    let period = Period::until(now_ms, Span::Month, Window::Hour).unwrap();
    let buckets = database.read(|tx| statistics::usage(tx, &asked, &period)).unwrap();
    let by_key = database.read(|tx| {
        let rest_from_s = request_sums::mark(tx)?.rest_from_s(customer);
        let pieces = TimePieces::of(&period.time_s, period.bucket.length_s(), rest_from_s);
        let asked = request_sums::Asked { whose: Whose { customer, service: None }, key: None };
        request_sums::sums(tx, asked, &pieces, Services::Together)
    });
    let mut logged: BTreeMap<i64, RequestSums> =
        period.starts().map(|start_s| (start_s, RequestSums::default())).collect();
    by_key.unwrap().iter().for_each(|row| logged.get_mut(&row.start_s).unwrap().add(&row.sums));
    let billed = buckets.iter().map(|(start_s, bucket)| {
        assert_eq!(bucket.logged, logged[start_s].logged);
        let figures = bucket.figures;
        (*start_s, [figures.guaranteed, figures.burst, figures.rejected, figures.unserved])
    });
    let outcomes = logged.iter().map(|(start_s, sums)| {
        assert!(sums.logged.client_errors + sums.logged.server_errors <= sums.guaranteed + sums.burst);
        (*start_s, [sums.guaranteed, sums.burst, sums.rejected + sums.refused, sums.unserved])
    });
    [billed.collect(), outcomes.collect()]
}

/// How many requests there are in all, from the records that are billed.
fn all_of(database: &mut Database, customer: u64) -> i64 {
    let customer = u32::try_from(customer).unwrap().to_string().parse().unwrap();
    let asked = Asked { customer, service: None, time_s: 0..i64::MAX };
    let by_day = figures::by_time(database, &asked, 86_400).unwrap();
    by_day.values().map(|of| of.guaranteed + of.burst + of.rejected + of.unserved).sum()
}

fn a_seeded_database_has_something_in_every_list_and_its_figures_agree(backend: Backend) {
    let stack = Stack::on(backend);
    assert_eq!(stack.run("admin demo status --json").json_with(0)["demo"], false);
    stack.run("admin demo token --json").fails(4, "holds no demo data");
    let seeded = stack.run("admin demo seed --seed 7 --json").json_with(0);
    assert_eq!(
        (&seeded["seeded"], &seeded["seed"], &seeded["customers"]),
        (&json!(true), &json!(7), &json!(40))
    );
    let lines = seeded["log_lines"].as_u64().unwrap();
    assert!((2_000..20_000).contains(&lines), "{seeded}");
    let requests = seeded["requests"].as_u64().unwrap();

    let database = &mut stack.open_database();
    let ids = ids(&stack);
    assert_eq!(ids.len(), 40);
    let mut sum = 0;
    let mut kinds = BTreeSet::new();
    for id in &ids {
        let [usage, points] = both(database, *id, seconds(&seeded["begun_at"]) * 1_000);
        assert_eq!(usage, points, "customer {id}: usage and the request log differ");
        sum += all_of(database, *id);
        for (_, figures) in usage {
            kinds.extend(figures.iter().enumerate().filter(|(_, count)| **count > 0).map(|(kind, _)| kind));
        }
    }
    assert_eq!(sum.unsigned_abs(), requests, "what was said to be made is there");
    assert_eq!(kinds.len(), 4, "guaranteed, burst, rejected and unserved, each somewhere");

    // As the jobs would leave it: nothing is left to be moved.
    let raw = Raw::of_stack(&stack, backend);
    let now_s = seconds(&seeded["begun_at"]);
    let old_s = now_s - 49 * 3_600;
    for table in ["usage_records", "request_stats"] {
        let minutes =
            |when: &str| raw.count(&format!("{table} WHERE window_length_s = 60 AND window_start_s {when}"));
        assert_eq!(minutes(&format!("< {old_s}")), 0, "{table}");
        assert!(minutes(&format!("> {}", now_s - 600)) > 0, "{table} reaches to now");
        let hours =
            format!("{table} WHERE window_length_s = 3600 AND window_start_s < {}", now_s - 29 * DAY_S);
        assert!(raw.count(&hours) > 0, "{table} begins a month ago");
    }
    for state in ["enabled", "disabled", "suspended_operator", "cancellation_pending"] {
        assert!(raw.count(&format!("services WHERE state = '{state}'")) > 0, "no service is {state}");
    }
    for status in ["active", "suspended", "closed"] {
        assert!(raw.count(&format!("customers WHERE status = '{status}'")) > 0, "no customer is {status}");
    }
    for what in [
        "customers WHERE wallet_address LIKE '0xde30de30%'",
        "api_keys WHERE revoked_at_ms IS NOT NULL",
        "api_keys WHERE expires_at_s IS NOT NULL AND revoked_at_ms IS NULL",
        "api_keys WHERE name <> '' AND last_used_at_s IS NOT NULL",
        "credit_entries WHERE kind = 'granted'",
        "credit_entries WHERE kind = 'subscription'",
        "allowlist_entries",
        "usage_reasons WHERE reason = 'rate_limited'",
        "usage_reasons WHERE reason = 'address_not_allowed'",
        "usage_reasons WHERE reason = 'revoked'",
        "usage_reasons WHERE reason = 'suspended_operator'",
        "request_logs WHERE status >= 500",
        "request_logs WHERE status = 429",
        "request_logs WHERE class = 'burst'",
        "sessions",
    ] {
        assert!(raw.count(what) > 0, "nothing in {what}");
    }
    every_list_shows_something(&stack);

    // Again: nothing changes.
    let tables = ["customers", "usage_records", "request_stats", "request_logs", "activity", "change_log"];
    let counts = tables.map(|table| raw.count(table));
    let again = stack.run("admin demo seed --json").json_with(0);
    assert_eq!((&again["seeded"], &again["seed"]), (&json!(false), &json!(7)));
    assert_eq!(tables.map(|table| raw.count(table)), counts);
    let status = stack.run("admin demo status --json").json_with(0);
    assert_eq!((&status["demo"], &status["seed"]), (&json!(true), &json!(7)));
}

fn seconds(time: &Value) -> i64 {
    controlplane::clock::rfc3339_from(time.as_str().unwrap()).unwrap() / 1_000
}

/// Over the API with the token that the demo gives, and on the command line.
fn every_list_shows_something(stack: &Stack) {
    let token = stack.run("admin demo token --json").json_with(0);
    let customer = token["customer_id"].as_u64().unwrap();
    let _serve = stack.start("serve --without-edge", &[]);
    let bearer = token["token"].as_str().unwrap();
    let ask = |path: &str| {
        let text = format!(
            "GET {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {bearer}\r\nconnection: close\r\n\r\n"
        );
        let (status, body) = crate::harness::request(stack.api_port, &text).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    for path in ["/api/v1/activity", "/api/v1/services", "/api/v1/services/seal/keys"] {
        assert!(!ask(path)["items"].as_array().unwrap().is_empty(), "{path} has nothing to show");
    }
    for range in ["24h", "7d", "30d"] {
        for what in ["usage", "latency"] {
            let told = ask(&format!("/api/v1/stats/{what}?range={range}"));
            assert!(told["items"].as_array().unwrap().len() > 6, "{what} {range}");
        }
    }
    assert!(ask("/api/v1/stats/summary")["total"]["guaranteed"].as_u64().unwrap() > 0);
    ask("/api/v1/billing/pending");
    assert_eq!(ask("/api/v1/account")["status"], "active");
    for line in [
        format!("admin key list --customer {customer}"),
        format!("admin requests --customer {customer}"),
        format!("admin customer activity --customer {customer}"),
        format!("admin session list --customer {customer}"),
    ] {
        let listed = stack.run(&format!("{line} --json")).json_with(0);
        assert!(!listed["items"].as_array().unwrap().is_empty(), "`{line}` has nothing to show");
    }
    let usage = stack.run(&format!("admin usage --customer {customer} --json")).json_with(0);
    assert!(
        usage["guaranteed"].as_u64().unwrap() > 100_000 && usage["burst"].as_u64().unwrap() > 0,
        "{usage}"
    );
    let log = std::fs::read_to_string(stack.path("serve.log")).unwrap();
    assert!(log.contains("made-up data"), "`serve` warns at its start: {log}");
}

fn a_database_that_holds_anything_else_is_refused_and_stays_as_it_was(backend: Backend) {
    let stack = Stack::on(backend);
    stack.customer(1);
    stack.run("admin demo seed --json").fails(4, "customers, activity");
    let raw = Raw::of_stack(&stack, backend);
    assert_eq!((raw.count("customers"), raw.count("demo"), raw.count("usage_records")), (1, 0, 0));
    raw.run("DELETE FROM activity; DELETE FROM customers; INSERT INTO request_stats VALUES (7, 'seal', 0, 0, 60, 1, 0, 0, 0, 0, 0, 0, 0, 0, '')");
    stack.run("admin demo seed --json").fails(4, "request_stats");
    raw.run("DELETE FROM request_stats; INSERT INTO revocations VALUES (1, 0, 'revoked', 'operator', 0)");
    stack.run("admin demo seed --json").fails(4, "revocations");
}

fn a_seeding_that_was_cut_off_is_not_taken_for_a_whole_one(backend: Backend) {
    let stack = Stack::on(backend);
    let file = stack.path("keyring.toml");
    stack.run("admin demo seed --seed 18446744073709551615 --json").fails(2, "9007199254740991");
    let keyring = {
        let made = stack.run("admin key create --customer 1 --service seal --json");
        assert_eq!(made.code, 3);
        keyring::load(&file).unwrap()
    };
    // Interrupted after some customers, as by Ctrl-C.
    let mut database = stack.open_database();
    let cut_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut progress = |_: &'static str, done: u64, _| assert!(done < 3, "cut off");
        controlplane::domain::demo::seed(&mut database, &keyring, 1, 1_795_000_000_000, &mut progress)
    }));
    assert!(cut_off.is_err());
    stack.run("admin demo seed --json").fails(4, "cut off");
    stack.run("admin demo token --json").fails(4, "holds no demo data");
    let status = stack.run("admin demo status --json").json_with(0);
    assert_eq!((&status["demo"], &status["finished_at"]), (&json!(true), &Value::Null));
}
