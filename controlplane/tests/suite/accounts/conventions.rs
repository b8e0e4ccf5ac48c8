//! What holds for every path.

use super::server::Server;
use super::wallet::Wallet;
use crate::harness::{Backend, on_both_databases};
use serde_json::json;

on_both_databases! {
    every_answer_has_an_id_and_the_fields_that_protect,
    a_caller_sees_and_meets_its_limit,
    a_database_that_is_gone_is_said_and_comes_back,
}

#[test]
fn a_path_or_method_that_there_is_not_is_said_so() {
    let server = Server::on(Backend::Sqlite);
    server.to("GET", "/api/v1/nothing").send().is_problem(404, "not_found");
    let answer = server.to("PUT", "/api/v1/tokens").send();
    answer.is_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "GET, HEAD, POST");
    let head = server.to("HEAD", "/api/v1/openapi.json").send();
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let answer = server.to("GET", "/api/v1/auth/verify").send();
    answer.is_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "POST");
}

fn every_answer_has_an_id_and_the_fields_that_protect(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    let good = server.to("GET", "/api/v1/account").bearer(&session.access).send();
    let bad = server.to("GET", "/api/v1/account").send();
    assert_eq!(bad.header("www-authenticate"), "Bearer");
    for answer in [&good, &bad] {
        assert_eq!(answer.header("x-request-id").len(), 16);
        for (field, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(field), value);
        }
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
    }
    assert_ne!(good.header("x-request-id"), bad.header("x-request-id"));
    // What changed the account says with which request.
    let body = json!({ "name": "x", "scopes": ["keys:read"] });
    let made = server.to("POST", "/api/v1/tokens").bearer(&session.access).json(&body).send();
    let log = server.to("GET", "/api/v1/activity?limit=1").bearer(&session.access).send().with(200);
    let entry = &log["items"][0];
    assert_eq!(entry["request_id"], made.header("x-request-id"));
    assert_eq!((&entry["actor_kind"], &entry["source"]), (&json!("wallet"), &json!("127.0.0.1")));
}

fn a_caller_sees_and_meets_its_limit(backend: Backend) {
    let server = Server::with(backend, |settings| settings.requests_per_minute = 3);
    let (one, other) = (Wallet::new(1).sign_in(&server), Wallet::new(2).sign_in(&server));
    let account = |access: &str| server.to("GET", "/api/v1/account").bearer(access).send();
    for left in (0..3).rev() {
        let answer = account(&one.access);
        assert_eq!(answer.header("ratelimit"), format!("\"requests\";r={left};t=20"));
        assert_eq!((answer.header("ratelimit-policy"), answer.status), ("\"requests\";q=3;w=60", 200));
    }
    let answer = account(&one.access);
    answer.is_problem(429, "too_many_requests");
    assert_eq!((answer.header("retry-after"), answer.header("ratelimit")), ("20", "\"requests\";r=0;t=20"));
    account(&other.access).with(200);
    server.advance_s(20);
    account(&one.access).with(200);
}

#[test]
fn bodies_are_read_strictly() {
    let server = Server::on(Backend::Sqlite);
    let path = "/api/v1/auth/challenge";
    let address = Wallet::new(1).address();
    let send = |media_type: &str, body: &str| {
        server.to("POST", path).header("content-type", media_type).text(body).send()
    };
    let good = format!("{{\"wallet_address\": \"{address}\"}}");
    send("application/json; charset=utf-8", &good).with(200);
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/json-patch+json"] {
        send(media_type, &good).is_problem(415, "unsupported_media_type");
    }
    for (body, field, word) in [
        (
            format!("{{\"wallet_address\": \"{address}\", \"wallet_address\": \"{address}\"}}"),
            "wallet_address",
            "duplicate",
        ),
        (format!("{{\"wallet_address\": \"{address}\", \"nonce\": 1}}"), "nonce", "unknown field"),
        ("{\"wallet_address\": \"0x1\"}".to_owned(), "wallet_address", "64 hex digits"),
        ("{\"wallet_address\": 1}".to_owned(), "wallet_address", "string"),
        ("{}".to_owned(), "wallet_address", "missing field `wallet_address`"),
        ("not json".to_owned(), "", "expected"),
        (format!("{good}{good}"), "", "trailing"),
    ] {
        let answer = send("application/json", &body);
        answer.is_problem(400, "invalid_body");
        let error = &answer.body["errors"][0];
        assert_eq!(error["field"], field, "{body}: {error}");
        assert!(error["detail"].as_str().unwrap().contains(word), "{body}: {error}");
    }
    send("application/json", &format!("{}{good}", " ".repeat(65_536))).is_problem(413, "too_large");
}

#[test]
fn only_listed_origins_may_call_from_a_page() {
    let server = Server::with(Backend::Sqlite, |settings| {
        settings.cors_origins = vec!["https://dashboard.example.com".to_owned()];
    });
    let preflight = |origin: &str| {
        let sending = server.to("OPTIONS", "/api/v1/tokens").header("origin", origin);
        sending
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,idempotency-key")
            .send()
    };
    let allowed = preflight("https://dashboard.example.com");
    assert_eq!(
        (allowed.status, allowed.header("access-control-allow-origin")),
        (200, "https://dashboard.example.com")
    );
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    for origin in ["https://evil.example.net", "https://dashboard.example.com.evil.example.net", "null"] {
        assert_eq!(preflight(origin).header("access-control-allow-origin"), "", "{origin}");
    }
    let answer = server.to("GET", "/api/v1/account").header("origin", "https://dashboard.example.com").send();
    answer.is_problem(401, "unauthorized");
    assert_eq!(answer.header("access-control-allow-origin"), "https://dashboard.example.com");
    let other = server.to("GET", "/api/v1/account").header("origin", "https://evil.example.net").send();
    other.is_problem(401, "unauthorized");
    assert_eq!(other.header("access-control-allow-origin"), "");
}

#[test]
fn the_description_and_its_page_come_from_here_alone() {
    let server = Server::on(Backend::Sqlite);
    let description = server.to("GET", "/api/v1/openapi.json").send().with(200);
    assert!(description["paths"]["/api/v1/auth/verify"]["post"].is_object());
    let redirect = server.to("GET", "/api/docs").send();
    assert_eq!((redirect.status, redirect.header("location")), (308, "/api/docs/"));
    let page = server.to("GET", "/api/docs/").send();
    assert_eq!(page.status, 200);
    for word in ["https://", "http://", "//cdn"] {
        assert!(!page.text.contains(word), "{}", page.text);
    }
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        assert_eq!(server.to("GET", &format!("/api/docs/{file}")).send().status, 200, "{file}");
    }
    let initializer = server.to("GET", "/api/docs/swagger-initializer.js").send();
    assert!(initializer.text.contains("/api/v1/openapi.json"), "{}", initializer.text);
    server.to("GET", "/api/docs/nothing.js").send().is_problem(404, "not_found");
}

fn a_database_that_is_gone_is_said_and_comes_back(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    let account = || server.to("GET", "/api/v1/account").bearer(&session.access).send();
    account().with(200);
    if backend == Backend::Postgres {
        // A server that was restarted has cut every connection of the pool.
        server.place.cut_every_session();
    }
    account().with(200);
}
