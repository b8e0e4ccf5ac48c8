//! API tokens: what customers' scripts call with.

use super::server::{Answer, Server};
use super::sign_in::at_once;
use super::wallet::{Session, Wallet};
use crate::harness::{Backend, on_both_databases};
use serde_json::{Value, json};
use std::collections::BTreeMap;

on_both_databases! {
    a_token_does_what_its_scopes_say_and_nothing_for_which_the_wallet_is_needed,
    a_token_is_shown_once_and_stored_as_a_digest,
    a_token_expires_and_can_be_revoked,
    a_token_shows_when_it_was_used_last,
    a_token_is_renamed_only_as_it_was_read,
    nobody_sees_anothers_tokens,
    a_token_that_is_wanted_twice_under_one_key_is_made_once,
    of_200_requests_under_one_key_one_makes_a_token,
    there_is_a_most_of_tokens,
    nobody_makes_tokens_without_end,
    what_is_wrong_with_a_request_is_named,
}

fn create(server: &Server, session: &Session, body: &Value) -> Answer {
    server.to("POST", "/api/v1/tokens").bearer(&session.access).json(body).send()
}

fn token(server: &Server, session: &Session, scopes: &[&str]) -> Value {
    create(server, session, &json!({ "name": "script", "scopes": scopes })).with(201)
}

fn text(token: &Value) -> &str {
    token["token"].as_str().unwrap()
}

fn path(token: &Value) -> String {
    format!("/api/v1/tokens/{}", token["id"].as_str().unwrap())
}

fn a_token_does_what_its_scopes_say_and_nothing_for_which_the_wallet_is_needed(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    let (audit, keys) = (token(&server, &session, &["audit:read"]), token(&server, &session, &["keys:read"]));
    let get = |path: &str, token: &Value| server.to("GET", path).bearer(text(token)).send();
    get("/api/v1/account", &keys).with(200);
    get("/api/v1/activity", &audit).with(200);
    let refused = get("/api/v1/activity", &keys);
    refused.is_problem(403, "insufficient_scope");
    assert!(refused.header("www-authenticate").contains("insufficient_scope"));
    for (method, path) in [
        ("GET", "/api/v1/tokens".to_owned()),
        ("DELETE", path(&keys)),
        ("GET", path(&keys)),
        ("GET", "/api/v1/auth/sessions".to_owned()),
        ("DELETE", "/api/v1/auth/sessions".to_owned()),
    ] {
        server.to(method, &path).bearer(text(&audit)).send().is_problem(403, "wallet_session_needed");
    }
    let body = json!({ "name": "stronger", "scopes": ["keys:write"] });
    server
        .to("POST", "/api/v1/tokens")
        .bearer(text(&audit))
        .json(&body)
        .send()
        .is_problem(403, "wallet_session_needed");
}

fn a_token_is_shown_once_and_stored_as_a_digest(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    let answer =
        create(&server, &session, &json!({ "name": "script", "scopes": ["usage:read", "keys:read"] }));
    let location = answer.header("location").to_owned();
    let made = answer.with(201);
    assert!(text(&made).starts_with("suiftly_api_"));
    assert_eq!(made["scopes"], json!(["keys:read", "usage:read"]));
    assert_eq!(made["expires_at"], "2027-02-19T09:05:00.123Z");
    assert_eq!(location, path(&made));
    for path in ["/api/v1/tokens", &location, "/api/v1/activity"] {
        let answer = server.to("GET", path).bearer(&session.access).send();
        assert!(answer.status == 200 && !answer.text.contains("suiftly_api_"), "{}", answer.text);
    }
    let mut database = server.database();
    let whole = controlplane::db::whole_tables::TABLES.iter().flat_map(|table| {
        let mut rows = Vec::new();
        database
            .read(|tx| {
                controlplane::db::whole_tables::for_each_row(tx, table, |row| {
                    rows.push(format!("{row:?}"));
                    Ok::<_, controlplane::db::DbError>(())
                })
            })
            .unwrap();
        rows
    });
    let secret = text(&made).strip_prefix("suiftly_api_").unwrap().to_owned();
    assert!(whole.into_iter().all(|row| !row.contains(&secret)));
}

fn a_token_expires_and_can_be_revoked(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    let body = json!({ "name": "short", "scopes": ["keys:read"], "expires_at": "2026-11-21T09:06:00Z" });
    let (short, long) =
        (create(&server, &session, &body).with(201), token(&server, &session, &["keys:read"]));
    let account = |token: &Value| server.to("GET", "/api/v1/account").bearer(text(token)).send();
    account(&short).with(200);
    server.advance_s(60);
    account(&short).is_problem(401, "unauthorized");
    account(&long).with(200);
    assert_eq!(server.to("DELETE", &path(&long)).bearer(&session.access).send().status, 204);
    for method in ["DELETE", "GET"] {
        server.to(method, &path(&long)).bearer(&session.access).send().is_problem(404, "not_found");
    }
    account(&long).is_problem(401, "unauthorized");
    let states = server.to("GET", "/api/v1/tokens").bearer(&session.access).send().with(200);
    let states: Vec<&Value> = states["items"].as_array().unwrap().iter().map(|item| &item["state"]).collect();
    let mut states: Vec<String> = states.iter().map(|state| state.to_string()).collect();
    states.sort();
    assert_eq!(states, ["\"expired\""]);
    let log = server.to("GET", "/api/v1/activity").bearer(&session.access).send().with(200);
    let actions: Vec<&Value> = log["items"].as_array().unwrap().iter().map(|item| &item["action"]).collect();
    assert_eq!(actions.iter().filter(|action| **action == "token_revoked").count(), 1, "{log}");
    assert_eq!(actions.iter().filter(|action| **action == "token_created").count(), 2, "{log}");
}

fn a_token_shows_when_it_was_used_last(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    let made = token(&server, &session, &["keys:read"]);
    let last =
        || server.to("GET", &path(&made)).bearer(&session.access).send().with(200)["last_used_at"].clone();
    assert_eq!(last(), json!(null));
    for (after_s, expected) in
        [(5, "2026-11-21T09:05:05.123Z"), (59, "2026-11-21T09:05:05.123Z"), (1, "2026-11-21T09:06:05.123Z")]
    {
        server.advance_s(after_s);
        server.to("GET", "/api/v1/account").bearer(text(&made)).send().with(200);
        assert_eq!(last(), expected);
    }
}

fn a_token_is_renamed_only_as_it_was_read(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    let made = token(&server, &session, &["keys:read"]);
    let read = server.to("GET", &path(&made)).bearer(&session.access).send();
    let tag = read.header("etag").to_owned();
    let rename = |name: &str, tag: Option<&str>| {
        let sending = server.to("PATCH", &path(&made)).bearer(&session.access).json(&json!({ "name": name }));
        tag.map_or_else(
            || server.to("PATCH", &path(&made)).bearer(&session.access).json(&json!({ "name": name })),
            |tag| sending.header("if-match", tag),
        )
        .send()
    };
    let changed = rename("first", Some(&tag));
    assert_ne!(changed.header("etag"), tag);
    assert_eq!(changed.with(200)["name"], "first");
    rename("second", Some(&tag)).is_problem(412, "changed_meanwhile");
    assert_eq!(rename("third", None).with(200)["name"], "third");
    assert_eq!(rename("third", Some("*")).with(200)["name"], "third");
}

fn nobody_sees_anothers_tokens(backend: Backend) {
    let server = Server::on(backend);
    let (one, other) = (Wallet::new(1).sign_in(&server), Wallet::new(2).sign_in(&server));
    let made = token(&server, &one, &["keys:read"]);
    let list = server.to("GET", "/api/v1/tokens").bearer(&other.access).send().with(200);
    assert_eq!(list, json!({ "items": [], "next_cursor": null }));
    for method in ["GET", "DELETE"] {
        server.to(method, &path(&made)).bearer(&other.access).send().is_problem(404, "not_found");
    }
    server.to("GET", "/api/v1/account").bearer(text(&made)).send().with(200);
}

fn a_token_that_is_wanted_twice_under_one_key_is_made_once(backend: Backend) {
    let server = Server::on(backend);
    let (session, other) = (Wallet::new(1).sign_in(&server), Wallet::new(2).sign_in(&server));
    let send = |session: &Session, key: &str, name: &str| {
        let body = json!({ "name": name, "scopes": ["keys:read"] });
        server
            .to("POST", "/api/v1/tokens")
            .bearer(&session.access)
            .header("idempotency-key", key)
            .json(&body)
            .send()
    };
    let first = send(&session, "k-1", "a").with(201);
    let again = send(&session, "k-1", "a");
    again.is_problem(409, "already_created");
    assert_eq!(again.body["id"], first["id"]);
    assert!(!again.text.contains(text(&first)));
    send(&session, "k-1", "b").is_problem(409, "idempotency_key_reused");
    // Another's key is another key, and so is this one a day later.
    send(&other, "k-1", "a").with(201);
    server.advance_s(24 * 3_600 - 1);
    let session = Wallet::new(1).sign_in(&server);
    send(&session, "k-1", "a").is_problem(409, "already_created");
    server.advance_s(1);
    send(&session, "k-1", "b").with(201);
    for key in ["", "with blank", &"x".repeat(256)] {
        send(&session, key, "c").is_problem(400, "bad_idempotency_key");
    }
}

fn of_200_requests_under_one_key_one_makes_a_token(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    let counts = at_once(200, || {
        let body = json!({ "name": "a", "scopes": ["keys:read"] });
        let sending =
            server.to("POST", "/api/v1/tokens").bearer(&session.access).header("idempotency-key", "once");
        let answer = sending.json(&body).send();
        (answer.status, answer.body["id"].as_str().unwrap().to_owned())
    });
    let statuses: BTreeMap<u16, usize> =
        counts.iter().map(|((status, _), count)| (*status, *count)).collect();
    let ids: std::collections::BTreeSet<&str> = counts.keys().map(|(_, id)| id.as_str()).collect();
    assert_eq!((statuses, ids.len()), (BTreeMap::from([(201, 1), (409, 199)]), 1));
}

fn there_is_a_most_of_tokens(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    let made: Vec<Value> = (0..50).map(|_| token(&server, &session, &["keys:read"])).collect();
    let body = json!({ "name": "one more", "scopes": ["keys:read"] });
    create(&server, &session, &body).is_problem(409, "too_many_tokens");
    assert_eq!(server.to("DELETE", &path(&made[0])).bearer(&session.access).send().status, 204);
    create(&server, &session, &body).with(201);
}

fn nobody_makes_tokens_without_end(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    let body = json!({ "name": "x", "scopes": ["keys:read"] });
    for _ in 0..100 {
        let made = create(&server, &session, &body).with(201);
        assert_eq!(server.to("DELETE", &path(&made)).bearer(&session.access).send().status, 204);
    }
    let answer = create(&server, &session, &body);
    answer.is_problem(429, "too_many_requests");
    assert_eq!(answer.header("retry-after"), "3600");
    server.advance_s(3_600);
    let session = Wallet::new(1).sign_in(&server);
    create(&server, &session, &body).with(201);
}

fn what_is_wrong_with_a_request_is_named(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    for (body, field) in [
        (json!({ "scopes": ["keys:read"] }), "name"),
        (json!({ "name": "", "scopes": ["keys:read"] }), "name"),
        (json!({ "name": "x".repeat(65), "scopes": ["keys:read"] }), "name"),
        (json!({ "name": "x", "scopes": [] }), "scopes"),
        (json!({ "name": "x", "scopes": ["keys:read", "keys:read"] }), "scopes"),
        (json!({ "name": "x", "scopes": ["keys:read", "all"] }), "scopes[1]"),
        (json!({ "name": "x", "scopes": "keys:read" }), "scopes"),
        (json!({ "name": "x", "scopes": ["keys:read"], "expires_at": "tomorrow" }), "expires_at"),
        (json!({ "name": "x", "scopes": ["keys:read"], "expires_at": "2026-11-21T09:05:00Z" }), "expires_at"),
        (json!({ "name": "x", "scopes": ["keys:read"], "expires_at": "2028-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "name": "x", "scopes": ["keys:read"], "expires": 1 }), "expires"),
    ] {
        let answer = create(&server, &session, &body);
        answer.is_problem(400, "invalid_body");
        assert_eq!(answer.body["errors"][0]["field"], field, "{body}: {}", answer.text);
    }
}
