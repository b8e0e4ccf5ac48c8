//! Statistics: what a customer is told of its requests, in which buckets and forms, and of nobody else's.

use super::server::{Answer, NOW_MS, Server};
use super::wallet::{Session, Wallet};
use crate::harness::accounts::Raw;
use crate::harness::{Backend, on_both_databases};
use apikey::{CustomerId, Service};
use controlplane::db::usage_records;
use controlplane::domain::requests::{self, Batch, Counts, MinuteRow, Owner, Sketch};
use controlplane::jobs;
use edgeformat::PolicyKey;
use edgeformat::ledger::{Counter, Counters};
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases! {
    each_bucket_of_the_time_is_there_with_what_happened_in_it,
    the_jobs_change_no_figure_and_what_comes_late_is_in_it,
    percentiles_are_those_of_all_answers_together,
    a_key_shows_its_own_requests_and_only_to_its_owner,
    the_summary_has_the_last_24_hours_in_total_and_by_service,
    a_table_says_the_same_as_json,
    what_cannot_be_asked_is_said,
}

const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;
const NOW_S: i64 = NOW_MS / 1_000;
const KEY: u64 = 0x4100_0001_0000_0000;

pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) session: Session,
    /// A script's, good for longer than a session's.
    token: String,
    number: i64,
}

impl Scene {
    pub(crate) fn new(backend: Backend) -> Self {
        let server = Server::on(backend);
        let session = Wallet::new(1).sign_in(&server);
        let body = json!({ "name": "script", "scopes": ["usage:read", "billing:read"] });
        let made = server.to("POST", "/api/v1/tokens").bearer(&session.access).json(&body).send();
        let token = made.with(201)["token"].as_str().unwrap().to_owned();
        Self { server, session, token, number: 0 }
    }

    pub(crate) fn customer(&self) -> CustomerId {
        customer_of(&self.session)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.server.to("GET", path).bearer(&self.token).send()
    }

    fn items(&self, path: &str) -> Vec<Value> {
        self.get(path).with(200)["items"].as_array().unwrap().clone()
    }

    /// What an edge's ledger told in the minute of a second.
    pub(crate) fn used(&self, service: Service, second: i64, counts: &[(Counter, u64)]) {
        let mut counters = Counters::default();
        counts.iter().for_each(|(counter, count)| counters.0[counter.number()] = *count);
        let key = PolicyKey { customer: self.customer(), service };
        let minute_s = second - second.rem_euclid(MINUTE_S);
        let mut database = self.server.database();
        database.write(|tx| usage_records::add(tx, minute_s, &[(key, counters)])).unwrap();
    }

    /// What an edge's request log told of the minute of a second.
    fn logged(&mut self, service: &str, key: u64, second: i64, counts: Counts) {
        self.number += 1;
        let batch = Batch {
            instance: "0123456789abcdef".to_owned(),
            number: self.number,
            lines: Vec::new(),
            statistics: vec![MinuteRow {
                window_start_s: second - second.rem_euclid(MINUTE_S),
                owner: Owner {
                    customer: self.customer().get(),
                    service: service.to_owned(),
                    fingerprint: key,
                },
                counts,
            }],
        };
        requests::store(&mut self.server.database(), "fra1", &batch).unwrap();
    }

    fn run_jobs(&self) {
        let keep = controlplane::config::UsageConfig::default();
        for mut job in jobs::all(&keep, Duration::from_secs(604_800)) {
            while (job.run)(&mut self.server.database(), self.server.clock.now_ms()).unwrap().more {}
        }
    }

    fn issue(&self, customer: CustomerId, derivation: u64) -> u64 {
        let fingerprint = KEY + (derivation << 32) + u64::from(customer.get());
        Raw::of(&self.server.place).run(&format!(
            "INSERT INTO api_keys (fingerprint, customer_id, service, key_group, derivation, version, created_at_ms) \
             VALUES ({fingerprint}, {}, 'seal', 1, {derivation}, 1, 0)",
            customer.get()
        ));
        fingerprint
    }
}

fn customer_of(session: &Session) -> CustomerId {
    CustomerId::new(u32::try_from(session.customer).unwrap()).unwrap()
}

/// So many answers of so many milliseconds each.
fn answered(count: i64, ms: u64) -> Counts {
    let mut times = Sketch::default();
    (0..count).for_each(|_| times.add(ms));
    Counts {
        guaranteed: count,
        sent_bytes: count * 100,
        received_bytes: count * 10,
        times,
        ..Counts::default()
    }
}

fn sum(items: &[Value], field: &str) -> i64 {
    items.iter().map(|item| item[field].as_i64().unwrap()).sum()
}

fn each_bucket_of_the_time_is_there_with_what_happened_in_it(backend: Backend) {
    let mut scene = Scene::new(backend);
    for (ago_s, count) in [(0, 1), (HOUR_S, 10), (23 * HOUR_S, 100), (3 * DAY_S, 1_000), (29 * DAY_S, 10_000)]
    {
        let counts =
            [(Counter::Admitted, count + 3), (Counter::RateLimited, 2), (Counter::UnservedGuaranteed, 1)];
        scene.used(Service::Seal, NOW_S - ago_s, &counts);
        scene.used(Service::Grpc, NOW_S - ago_s, &[(Counter::Admitted, count), (Counter::Burst, count)]);
        let counts = Counts { client_errors: 4, server_errors: 5, ..answered(count.cast_signed(), 7) };
        scene.logged("seal", KEY, NOW_S - ago_s, counts);
    }
    // Just outside.
    scene.used(Service::Seal, NOW_S - 30 * DAY_S, &[(Counter::Admitted, 100_000)]);
    for (query, count, guaranteed, buckets) in [
        ("", 24, 111, 3),
        ("?range=24h&bucket=minute", 1_440, 111, 3),
        ("?range=24h&bucket=day", 1, 11, 1),
        ("?range=7d", 7, 1_111, 3),
        ("?range=7d&bucket=hour", 168, 1_111, 4),
        ("?range=30d", 30, 11_111, 4),
        ("?range=30d&bucket=hour", 720, 11_111, 5),
    ] {
        for jobs in ["before", "after"] {
            let path = format!("/api/v1/stats/usage{query}");
            let answer = scene.get(&path).with(200);
            let items = answer["items"].as_array().unwrap();
            let name = format!("{query} {jobs} the jobs");
            assert_eq!(items.len(), count, "{name}");
            assert_eq!(answer["from"], items[0]["start"], "{name}");
            assert_eq!(answer["to"], "2026-11-21T09:05:00.123Z", "{name}");
            let partial: Vec<usize> = (0..count).filter(|place| items[*place]["partial"] == true).collect();
            assert_eq!(partial, [count - 1], "{name}");
            assert_eq!((sum(items, "guaranteed"), sum(items, "burst")), (guaranteed, guaranteed), "{name}");
            let busy: Vec<&Value> = items.iter().filter(|item| item["guaranteed"] != 0).collect();
            assert_eq!(busy.len(), buckets, "{name}");
            for item in &busy {
                let reasons = item["rejected_by"]["rate_limited"].as_i64().unwrap();
                assert_eq!(item["rejected"], reasons, "{name}");
                assert_eq!(item["unserved"].as_i64().unwrap() * 2, reasons, "{name}");
                assert_eq!(
                    item["server_errors"].as_i64().unwrap() * 4,
                    item["client_errors"].as_i64().unwrap() * 5
                );
                assert_eq!(
                    item["sent_bytes"].as_i64().unwrap(),
                    item["guaranteed"].as_i64().unwrap() * 100,
                    "{name}"
                );
            }
            let idle = items.iter().find(|item| item["guaranteed"] == 0);
            assert!(idle.is_none_or(|idle| idle["rejected_by"] == json!({}) && idle["sent_bytes"] == 0));
            let grpc =
                scene.items(&format!("{path}{}service=grpc", if query.is_empty() { "?" } else { "&" }));
            assert_eq!((sum(&grpc, "guaranteed"), sum(&grpc, "burst")), (0, guaranteed), "{name}");
            assert_eq!(sum(&grpc, "sent_bytes"), 0, "{name}");
            if jobs == "before" && query == "?range=30d&bucket=hour" {
                scene.run_jobs();
            }
        }
    }
    // Everything once more, read from sums alone.
    assert_eq!(sum(&scene.items("/api/v1/stats/usage?range=30d"), "guaranteed"), 11_111);
    assert_eq!(sum(&scene.items("/api/v1/stats/usage?bucket=minute"), "guaranteed"), 111);
    // Nobody else sees any of it.
    let other = Wallet::new(2).sign_in(&scene.server);
    for path in ["usage?range=30d", "latency?range=30d"] {
        let path = format!("/api/v1/stats/{path}");
        let answer = scene.server.to("GET", &path).bearer(&other.access).send().with(200);
        let items = answer["items"].as_array().unwrap();
        assert!(items.iter().all(|item| item["guaranteed"] != 1 && item["count"].as_u64().unwrap_or(0) == 0));
        assert_eq!(items.iter().filter(|item| item["sent_bytes"].as_i64().unwrap_or(0) > 0).count(), 0);
    }
}

fn the_jobs_change_no_figure_and_what_comes_late_is_in_it(backend: Backend) {
    let mut scene = Scene::new(backend);
    let mut random = controlplane::random::any_u32().unwrap();
    eprintln!("seed {random}");
    let mut below = |most: u32| {
        // xorshift
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        i64::from(random % most)
    };
    let (mut used, mut logged) = (0, 0);
    for step in 0..60 {
        scene.server.advance_s(u64::try_from(below(5_400)).unwrap());
        let now_s = scene.server.clock.now_ms() / 1_000;
        // Mostly now, now and then hours late.
        let late_s = if below(3) == 0 { below(40 * 3_600) } else { 0 };
        let (more_used, more_logged) = (below(50) + 1, below(50) + 1);
        let counts = [(Counter::Admitted, more_used.cast_unsigned() + 1), (Counter::RateLimited, 1)];
        scene.used(Service::Seal, now_s - late_s, &counts);
        scene.logged("seal", KEY, now_s - late_s, answered(more_logged, 3));
        (used, logged) = (used + more_used, logged + more_logged);
        if below(2) == 0 {
            scene.run_jobs();
        }
        for bucket in ["hour", "day"] {
            let items = scene.items(&format!("/api/v1/stats/usage?range=30d&bucket={bucket}"));
            assert_eq!(sum(&items, "guaranteed"), used, "step {step}, by {bucket}");
            assert_eq!(sum(&items, "rejected"), step + 1, "step {step}, by {bucket}");
            let reasons = items.iter().filter_map(|item| item["rejected_by"]["rate_limited"].as_i64());
            assert_eq!(reasons.sum::<i64>(), step + 1, "step {step}, by {bucket}");
            assert_eq!(sum(&items, "sent_bytes"), logged * 100, "step {step}, by {bucket}");
            let items = scene.items(&format!("/api/v1/stats/latency?range=30d&bucket={bucket}"));
            assert_eq!(sum(&items, "count"), logged, "step {step}, by {bucket}");
        }
    }
    // A time in which only days are left.
    scene.server.advance_s(95 * 86_400);
    scene.run_jobs();
    scene.run_jobs();
    let raw = Raw::of(&scene.server.place);
    for table in ["usage_sums", "request_stats"] {
        assert_eq!(raw.count(&format!("{table} WHERE window_length_s < 86400")), 0, "{table}");
        assert!(raw.count(&format!("{table} WHERE window_length_s = 86400")) >= 2, "{table}");
    }
}

fn percentiles_are_those_of_all_answers_together(backend: Backend) {
    let mut scene = Scene::new(backend);
    // 90 fast ones in one minute, 10 slow ones in another: the mean of both minutes' percentiles would be far off.
    scene.logged("seal", KEY, NOW_S - HOUR_S, answered(90, 10));
    scene.logged("seal", KEY + 1, NOW_S - HOUR_S - 120, answered(10, 200));
    scene.logged("grpc", KEY, NOW_S - HOUR_S, answered(1, 5));
    for _ in 0..2 {
        let items = scene.items("/api/v1/stats/latency?service=seal&range=30d");
        let today = items.last().unwrap();
        assert_eq!(
            (&today["count"], &today["p50_ms"], &today["p95_ms"], &today["p99_ms"]),
            (&json!(100), &json!(10), &json!(200), &json!(200))
        );
        let empty = &items[0];
        assert_eq!(
            (&empty["count"], &empty["p50_ms"], &empty["p99_ms"]),
            (&json!(0), &Value::Null, &Value::Null)
        );
        let hours = scene.items("/api/v1/stats/latency");
        assert_eq!((hours.len(), sum(&hours, "count")), (24, 101));
        let minutes = scene.items("/api/v1/stats/latency?bucket=minute&service=seal");
        let busy: Vec<&Value> = minutes.iter().filter(|item| item["count"] != 0).collect();
        assert_eq!((minutes.len(), busy.len()), (1_440, 2));
        assert_eq!((&busy[0]["p50_ms"], &busy[1]["p99_ms"]), (&json!(200), &json!(10)));
        scene.run_jobs();
    }
}

fn a_key_shows_its_own_requests_and_only_to_its_owner(backend: Backend) {
    let mut scene = Scene::new(backend);
    let other = Wallet::new(2).sign_in(&scene.server);
    let (one, two) = (scene.issue(scene.customer(), 1), scene.issue(scene.customer(), 2));
    let anothers = scene.issue(customer_of(&other), 1);
    scene.logged(
        "seal",
        one,
        NOW_S - HOUR_S,
        Counts { burst: 2, rejected: 1, unserved: 4, ..answered(5, 10) },
    );
    scene.logged("seal", two, NOW_S - HOUR_S, answered(50, 20));
    scene.used(Service::Seal, NOW_S, &[(Counter::Admitted, 1_000)]);
    for _ in 0..2 {
        let usage = scene.get(&format!("/api/v1/stats/usage?key={one:016X}")).with(200);
        assert_eq!(usage["key"], format!("{one:016X}"));
        let items = usage["items"].as_array().unwrap();
        let of = |field| sum(items, field);
        assert_eq!((of("guaranteed"), of("burst"), of("rejected"), of("unserved")), (5, 2, 1, 4));
        assert_eq!((of("sent_bytes"), &items[0]["rejected_by"]), (500, &Value::Null));
        let items = scene.items(&format!("/api/v1/stats/latency?key={two:016x}"));
        assert_eq!(sum(&items, "count"), 50, "lower case is the same");
        let summary = scene.get(&format!("/api/v1/stats/summary?key={two:016X}")).with(200);
        assert_eq!((&summary["total"]["guaranteed"], &summary["total"]["p99_ms"]), (&json!(50), &json!(20)));
        scene.run_jobs();
    }
    for path in ["usage", "latency", "summary"] {
        for key in [anothers, KEY + (9 << 32), u64::MAX] {
            let refused = scene.get(&format!("/api/v1/stats/{path}?key={key:016X}"));
            refused.is_problem(404, "not_found");
        }
    }
}

fn the_summary_has_the_last_24_hours_in_total_and_by_service(backend: Backend) {
    let mut scene = Scene::new(backend);
    let empty = scene.get("/api/v1/stats/summary").with(200);
    assert_eq!(empty["from"], "2026-11-20T09:05:00.000Z");
    assert_eq!(empty["to"], "2026-11-21T09:05:00.123Z");
    assert_eq!((&empty["services"], &empty["total"]["p50_ms"]), (&json!([]), &Value::Null));
    for (ago_s, count) in
        [(0, 1), (3 * HOUR_S, 10), (DAY_S, 100), (DAY_S + MINUTE_S, 1_000), (DAY_S + HOUR_S, 10_000)]
    {
        let refused = [(Counter::Admitted, count + 1), (Counter::RateLimited, 1), (Counter::Expired, 2)];
        scene.used(Service::Seal, NOW_S - ago_s, &refused);
        scene.used(Service::Graphql, NOW_S - ago_s, &[(Counter::Admitted, count), (Counter::Burst, count)]);
        scene.logged("seal", KEY, NOW_S - ago_s, answered(count.cast_signed(), count));
    }
    scene.logged("", 0, NOW_S, Counts { refused: 1, sent_bytes: 1, ..Counts::default() });
    for _ in 0..2 {
        let summary = scene.get("/api/v1/stats/summary").with(200);
        let total = &summary["total"];
        assert_eq!(
            (&total["guaranteed"], &total["burst"], &total["rejected"]),
            (&json!(111), &json!(111), &json!(9))
        );
        assert_eq!(total["rejected_by"], json!({ "rate_limited": 3, "expired": 6 }));
        assert_eq!((&total["sent_bytes"], &total["p50_ms"]), (&json!(11_101), &json!(100)));
        let services = summary["services"].as_array().unwrap();
        let names: Vec<&str> = services.iter().map(|part| part["service"].as_str().unwrap()).collect();
        assert_eq!(names, ["graphql", "seal"]);
        assert_eq!((&services[0]["burst"], &services[1]["sent_bytes"]), (&json!(111), &json!(11_100)));
        let seal = scene.get("/api/v1/stats/summary?service=seal").with(200);
        assert_eq!(seal["total"], {
            let mut part = services[1].clone();
            part.as_object_mut().unwrap().remove("service");
            part
        });
        scene.run_jobs();
    }
}

fn a_table_says_the_same_as_json(backend: Backend) {
    let mut scene = Scene::new(backend);
    scene.used(
        Service::Seal,
        NOW_S,
        &[(Counter::Admitted, 12), (Counter::RateLimited, 2), (Counter::Expired, 1)],
    );
    scene.logged("seal", KEY, NOW_S, answered(10, 7));
    let table = scene.get("/api/v1/stats/usage?format=csv");
    assert_eq!((table.status, table.header("content-type")), (200, "text/csv; charset=utf-8"));
    assert_eq!(table.header("content-disposition"), "attachment; filename=\"suiftly-usage-24h-hour.csv\"");
    let lines: Vec<&str> = table.text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 25);
    assert_eq!(
        lines[0],
        "start,partial,guaranteed,burst,rejected,rejected_by,unserved,client_errors,server_errors,received_bytes,sent_bytes"
    );
    assert_eq!(lines[24], "2026-11-21T09:00:00.000Z,true,10,0,3,expired:1 rate_limited:2,0,0,0,100,1000");
    let by_field = |path: &str| {
        scene.server.to("GET", path).bearer(&scene.session.access).header("accept", "text/csv").send()
    };
    let latency = by_field("/api/v1/stats/latency?range=7d");
    assert!(
        latency.header("vary").split(", ").any(|name| name.eq_ignore_ascii_case("accept")),
        "{latency:?}"
    );
    let lines: Vec<&str> = latency.text.split_terminator("\r\n").collect();
    assert_eq!((lines.len(), lines[0]), (8, "start,partial,count,p50_ms,p95_ms,p99_ms"));
    assert_eq!(lines[1], "2026-11-15T00:00:00.000Z,false,0,,,");
    assert_eq!(lines[7], "2026-11-21T00:00:00.000Z,true,10,7,7,7");
    let summary = by_field("/api/v1/stats/summary");
    let lines: Vec<&str> = summary.text.split_terminator("\r\n").collect();
    assert!(
        lines.len() == 3 && lines[1].contains(",total,10,0,3,") && lines[2].contains(",seal,10,0,3,"),
        "{lines:?}"
    );
    // What is said in the query counts for more.
    by_field("/api/v1/stats/usage?format=json").with(200)["items"].as_array().unwrap();
}

fn what_cannot_be_asked_is_said(backend: Backend) {
    let scene = Scene::new(backend);
    for (query, field) in [
        ("range=7d&bucket=minute", "bucket"),
        ("range=30d&bucket=minute", "bucket"),
        ("range=1d", "24h"),
        ("bucket=week", "minute"),
        ("service=signer", "seal"),
        ("key=123", "key"),
        ("key=41000001123456789", "key"),
        ("format=xml", "json"),
        ("since=1", "since"),
        ("range=7d&range=30d", "range"),
    ] {
        for path in ["usage", "latency"] {
            let answer = scene.get(&format!("/api/v1/stats/{path}?{query}"));
            answer.is_problem(400, "bad_query");
            assert!(answer.body["errors"].to_string().contains(field), "{query}: {}", answer.text);
        }
    }
    scene.get("/api/v1/stats/summary?range=7d").is_problem(400, "bad_query");
    // Who may: a session, or a token with the scope.
    scene.server.to("GET", "/api/v1/stats/summary").send().is_problem(401, "unauthorized");
    let token = |scope: &str| {
        let body = json!({ "name": "script", "scopes": [scope] });
        let made = scene.server.to("POST", "/api/v1/tokens").bearer(&scene.session.access).json(&body).send();
        made.with(201)["token"].as_str().unwrap().to_owned()
    };
    let (usage, billing) = (token("usage:read"), token("billing:read"));
    let with = |path: &str, token: &str| scene.server.to("GET", path).bearer(token).send();
    for path in ["stats/summary", "stats/usage", "stats/latency", "billing/pending"] {
        let path = format!("/api/v1/{path}");
        let (good, bad) = if path.contains("stats") { (&usage, &billing) } else { (&billing, &usage) };
        with(&path, good).with(200);
        with(&path, bad).is_problem(403, "insufficient_scope");
    }
}
