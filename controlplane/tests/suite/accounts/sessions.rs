//! Sessions: access tokens, refresh tokens, and what ends them.

use super::server::Server;
use super::sign_in::at_once;
use super::wallet::{Session, Wallet};
use crate::harness::{Backend, on_both_databases};
use serde_json::json;
use std::collections::BTreeMap;

on_both_databases! {
    an_access_token_is_good_for_15_minutes,
    a_refresh_token_is_exchanged_in_the_body_and_in_the_cookie,
    a_refresh_token_that_comes_twice_ends_its_session_and_no_other,
    a_refresh_token_expires_after_30_days_and_each_exchange_begins_them_anew,
    what_is_no_refresh_token_is_named,
    of_200_exchanges_of_one_token_one_succeeds_and_the_session_ends,
    logout_ends_the_session_at_once,
    the_cookie_is_taken_only_from_our_own_and_listed_pages,
    sessions_are_listed_and_ended_one_by_one_and_all_together,
    a_suspended_customer_reads_and_takes_access_away_but_changes_nothing_else,
    a_closed_customer_is_refused_everywhere,
    who_closes_the_account_ends_its_keys_sessions_and_tokens,
}

const REFRESH: &str = "/api/v1/auth/refresh";

fn account(server: &Server, access: &str) -> super::server::Answer {
    server.to("GET", "/api/v1/account").bearer(access).send()
}

fn refresh(server: &Server, token: &str) -> super::server::Answer {
    server.post(REFRESH, &json!({ "refresh_token": token }))
}

fn set_status(server: &Server, customer: u64, status: &str) {
    use diesel::prelude::*;
    let statement = format!("UPDATE customers SET status = '{status}' WHERE customer_id = {customer}");
    let done = match &server.place.config {
        controlplane::config::DatabaseConfig::Sqlite(file) => {
            let mut connection = diesel::SqliteConnection::establish(&file.display().to_string()).unwrap();
            diesel::sql_query(statement).execute(&mut connection)
        }
        controlplane::config::DatabaseConfig::Postgres(_) => {
            diesel::sql_query(statement).execute(&mut server.place.psql())
        }
    };
    assert_eq!(done.unwrap(), 1);
}

fn an_access_token_is_good_for_15_minutes(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    server.advance_s(899);
    account(&server, &session.access).with(200);
    server.advance_s(1);
    account(&server, &session.access).is_problem(401, "access_token_expired");
    // A refresh token is no access token, and the other way round.
    account(&server, &session.refresh).is_problem(401, "unauthorized");
    refresh(&server, &session.access).is_problem(400, "invalid_body");
    let as_cookie = format!("suiftly_refresh={}", session.access);
    server.to("POST", REFRESH).header("cookie", &as_cookie).send().is_problem(401, "refresh_token_unknown");
    server.to("GET", "/api/v1/account").send().is_problem(401, "unauthorized");
}

fn a_refresh_token_is_exchanged_in_the_body_and_in_the_cookie(backend: Backend) {
    let server = Server::on(backend);
    let first = Wallet::new(1).sign_in(&server);
    let second = Session::of(&refresh(&server, &first.refresh).with(200));
    assert_eq!(second.customer, first.customer);
    assert_ne!(second.refresh, first.refresh);
    account(&server, &second.access).with(200);
    // An access token that is out lives on with its session.
    account(&server, &first.access).with(200);
    let answer =
        server.to("POST", REFRESH).header("cookie", &format!("suiftly_refresh={}", second.refresh)).send();
    let cookie = answer.header("set-cookie").to_owned();
    assert_eq!(answer.with(200).get("refresh_token"), None);
    let third = cookie.strip_prefix("suiftly_refresh=").unwrap().split(';').next().unwrap();
    refresh(&server, third).with(200);
}

fn a_refresh_token_that_comes_twice_ends_its_session_and_no_other(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let (stolen, other) = (wallet.sign_in(&server), wallet.sign_in(&server));
    let thief = Session::of(&refresh(&server, &stolen.refresh).with(200));
    let reused = refresh(&server, &stolen.refresh);
    reused.is_problem(401, "refresh_token_reused");
    for access in [&stolen.access, &thief.access] {
        account(&server, access).is_problem(401, "session_ended");
    }
    refresh(&server, &thief.refresh).is_problem(401, "session_ended");
    account(&server, &other.access).with(200);
    let log = server.to("GET", "/api/v1/activity").bearer(&other.access).send().with(200);
    let entry = &log["items"][0];
    // Whence the copy came stands there, too.
    assert_eq!((&entry["actor_kind"], &entry["source"]), (&json!("wallet"), &json!("127.0.0.1")), "{entry}");
    assert_eq!(entry["request_id"], reused.header("x-request-id"));
    assert_eq!(
        (&entry["action"], &entry["detail"]["reason"]),
        (&json!("session_ended"), &json!("refresh_token_reused")),
        "{log}"
    );
}

fn a_refresh_token_expires_after_30_days_and_each_exchange_begins_them_anew(backend: Backend) {
    const DAY_S: u64 = 86_400;
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    server.advance_s(29 * DAY_S);
    let session = Session::of(&refresh(&server, &session.refresh).with(200));
    server.advance_s(29 * DAY_S);
    let session = Session::of(&refresh(&server, &session.refresh).with(200));
    server.advance_s(30 * DAY_S);
    refresh(&server, &session.refresh).is_problem(401, "refresh_token_expired");
}

fn what_is_no_refresh_token_is_named(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    server.to("POST", REFRESH).send().is_problem(401, "refresh_token_missing");
    for token in ["x", &session.refresh[1..], &format!("{}0", &session.refresh[..session.refresh.len() - 1])]
    {
        if token != session.refresh {
            refresh(&server, token).is_problem(401, "refresh_token_unknown");
        }
    }
    server
        .post(REFRESH, &json!({ "refresh_token": session.refresh, "more": 1 }))
        .is_problem(400, "invalid_body");
    refresh(&server, &session.refresh).with(200);
}

fn of_200_exchanges_of_one_token_one_succeeds_and_the_session_ends(backend: Backend) {
    let server = Server::with(backend, |settings| settings.sign_in_per_minute = 1_000_000);
    let session = Wallet::new(1).sign_in(&server);
    let counts = at_once(200, || {
        let answer = refresh(&server, &session.refresh);
        (answer.status, answer.body["code"].as_str().unwrap_or("").to_owned())
    });
    // The second one ends the session; all further ones find it ended.
    let expected = BTreeMap::from([
        ((200, String::new()), 1),
        ((401, "refresh_token_reused".to_owned()), 1),
        ((401, "session_ended".to_owned()), 198),
    ]);
    assert_eq!(counts, expected);
    account(&server, &session.access).is_problem(401, "session_ended");
}

fn logout_ends_the_session_at_once(backend: Backend) {
    let server = Server::on(backend);
    let session = Wallet::new(1).sign_in(&server);
    let answer = server
        .to("POST", "/api/v1/auth/logout")
        .header("cookie", &format!("suiftly_refresh={}", session.refresh))
        .send();
    assert_eq!(answer.status, 204);
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("suiftly_refresh=;") && cookie.contains("Max-Age=0"), "{cookie}");
    account(&server, &session.access).is_problem(401, "session_ended");
    refresh(&server, &session.refresh).is_problem(401, "session_ended");
    assert_eq!(server.post("/api/v1/auth/logout", &json!({ "refresh_token": session.refresh })).status, 204);
    server.to("POST", "/api/v1/auth/logout").send().is_problem(401, "refresh_token_missing");
}

fn the_cookie_is_taken_only_from_our_own_and_listed_pages(backend: Backend) {
    let server = Server::with(backend, |settings| {
        settings.cors_origins = vec!["https://dashboard.example.com".to_owned()];
    });
    let mut token = Wallet::new(1).sign_in(&server).refresh;
    let send = |path: &str, token: &str, origin: &str| {
        let cookie = format!("suiftly_refresh={token}");
        server.to("POST", path).header("cookie", &cookie).header("origin", origin).send()
    };
    for origin in ["https://evil.example.com", "null", "http://api.example.com"] {
        send(REFRESH, &token, origin).is_problem(403, "origin_not_allowed");
        send("/api/v1/auth/logout", &token, origin).is_problem(403, "origin_not_allowed");
    }
    for origin in ["https://api.example.com", "https://dashboard.example.com"] {
        let answer = send(REFRESH, &token, origin);
        assert_eq!(answer.status, 200, "{origin}: {}", answer.text);
        let cookie = answer.header("set-cookie").strip_prefix("suiftly_refresh=").unwrap();
        token = cookie.split(';').next().unwrap().to_owned();
    }
    // What a page cannot send for its user needs no such look.
    let body = json!({ "refresh_token": token });
    let foreign = server.to("POST", REFRESH).header("origin", "https://evil.example.com").json(&body).send();
    foreign.with(200);
}

fn sessions_are_listed_and_ended_one_by_one_and_all_together(backend: Backend) {
    let server = Server::on(backend);
    let (wallet, stranger) = (Wallet::new(1), Wallet::new(2).sign_in(&server));
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(wallet.sign_in(&server));
        server.advance_s(1);
    }
    let list = |access: &str, query: &str| {
        let path = format!("/api/v1/auth/sessions{query}");
        server.to("GET", &path).bearer(access).send()
    };
    let first = list(&sessions[0].access, "?limit=3").with(200);
    assert_eq!(first["items"].as_array().unwrap().len(), 3);
    let rest =
        list(&sessions[0].access, &format!("?limit=3&cursor={}", first["next_cursor"].as_str().unwrap()))
            .with(200);
    let last = &rest["items"][0];
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &json!(null)));
    assert_eq!((&last["current"], &last["source"]), (&json!(true), &json!("127.0.0.1")), "{last}");
    let ids: Vec<&str> =
        first["items"].as_array().unwrap().iter().map(|item| item["session_id"].as_str().unwrap()).collect();
    let end = |access: &str, id: &str| {
        server.to("DELETE", &format!("/api/v1/auth/sessions/{id}")).bearer(access).send()
    };
    // Nobody ends another's.
    end(&stranger.access, ids[0]).is_problem(404, "not_found");
    assert_eq!(end(&sessions[0].access, ids[0]).status, 204);
    account(&server, &sessions[3].access).is_problem(401, "session_ended");
    end(&sessions[0].access, ids[0]).is_problem(404, "not_found");
    let all = |query: &str| {
        server.to("DELETE", &format!("/api/v1/auth/sessions{query}")).bearer(&sessions[0].access).send()
    };
    all("?keep=1").is_problem(400, "bad_query");
    assert_eq!(all("?keep_current=true").with(200), json!({ "ended": 2 }));
    account(&server, &sessions[0].access).with(200);
    assert_eq!(all("").with(200), json!({ "ended": 1 }));
    account(&server, &sessions[0].access).is_problem(401, "session_ended");
    account(&server, &stranger.access).with(200);
}

fn a_suspended_customer_reads_and_takes_access_away_but_changes_nothing_else(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let session = wallet.sign_in(&server);
    let body = json!({ "name": "x", "scopes": ["keys:read"] });
    let create = || server.to("POST", "/api/v1/tokens").bearer(&session.access).json(&body).send();
    let token = create().with(201);
    set_status(&server, session.customer, "suspended");
    assert_eq!(account(&server, &session.access).with(200)["status"], "suspended");
    create().is_problem(403, "customer_suspended");
    let path = format!("/api/v1/tokens/{}", token["id"].as_str().unwrap());
    server
        .to("PATCH", &path)
        .bearer(&session.access)
        .json(&json!({ "name": "y" }))
        .send()
        .is_problem(403, "customer_suspended");
    assert_eq!(server.to("DELETE", &path).bearer(&session.access).send().status, 204);
    wallet.sign_in(&server);
    set_status(&server, session.customer, "active");
    create().with(201);
}

fn a_closed_customer_is_refused_everywhere(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let session = wallet.sign_in(&server);
    let body = json!({ "name": "x", "scopes": ["audit:read"] });
    let token = server.to("POST", "/api/v1/tokens").bearer(&session.access).json(&body).send().with(201);
    set_status(&server, session.customer, "closed");
    account(&server, &session.access).is_problem(403, "customer_closed");
    server
        .to("GET", "/api/v1/activity")
        .bearer(token["token"].as_str().unwrap())
        .send()
        .is_problem(403, "customer_closed");
    refresh(&server, &session.refresh).is_problem(403, "customer_closed");
    let message = wallet.challenge(&server);
    wallet.verify(&server, &message, &wallet.sign(&message)).is_problem(403, "customer_closed");
}

fn who_closes_the_account_ends_its_keys_sessions_and_tokens(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let (session, other) = (wallet.sign_in(&server), wallet.sign_in(&server));
    let body = json!({ "name": "x", "scopes": ["audit:read"] });
    let token = server.to("POST", "/api/v1/tokens").bearer(&session.access).json(&body).send().with(201);
    let close = |bearer: &str| server.to("DELETE", "/api/v1/account?wait=saved").bearer(bearer).send();
    close(token["token"].as_str().unwrap()).is_problem(403, "wallet_session_needed");
    // Without any edge every edge knows.
    let answer = close(&session.access);
    assert!(!answer.header("x-suiftly-sequence").is_empty());
    let expected = json!({ "status": "closed", "keys_revoked": 0, "sessions_ended": 2, "api_tokens_revoked": 1,
        "applied": answer.status == 200 });
    assert_eq!(answer.body, expected);
    for access in [&session.access, &other.access] {
        account(&server, access).is_problem(401, "session_ended");
    }
    refresh(&server, &other.refresh).is_problem(401, "session_ended");
    let message = wallet.challenge(&server);
    wallet.verify(&server, &message, &wallet.sign(&message)).is_problem(403, "customer_closed");
}
