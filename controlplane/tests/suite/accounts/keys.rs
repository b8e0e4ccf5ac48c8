//! API keys over the API: made, named, listed, replaced, ended.

use super::customer::Customer;
use super::server::Server;
use super::sign_in::at_once;
use crate::harness::accounts::Raw;
use crate::harness::{Backend, on_both_databases};
use apikey::{Fingerprint, KeyText};
use controlplane::db::revocations;
use controlplane::domain::RevocationSource;
use controlplane::domain::key_life::re_enable as re_enable_as_operator;
use controlplane::domain::keys::set_derivations_max;
use controlplane::domain::requests::{Batch, store};
use controlplane::domain::revocations::{RevocableFingerprint, revoke};
use controlplane::domain::services::{Move, make_move};
use edgeformat::{Revocation, RevocationKind};
use serde_json::{Value, json};
use std::collections::BTreeSet;

on_both_databases! {
    a_key_is_shown_once_and_is_one_that_the_edge_knows,
    there_are_at_most_ten_keys_and_five_are_made_in_an_hour,
    a_key_beyond_those_that_are_included_must_be_affordable,
    what_an_operator_revoked_its_owner_cannot_give_back,
    of_64_requests_at_once_ten_make_keys_with_ten_derivations,
    who_has_used_all_derivations_gets_more_from_an_operator_and_none_is_given_twice,
    a_revoked_key_keeps_its_place_and_a_deleted_one_does_not,
    a_key_is_renamed_and_its_expiry_changed,
    a_rotated_key_dies_when_its_owner_says,
    all_keys_of_a_service_are_revoked_in_one_call,
    a_key_that_is_wanted_twice_under_one_key_is_made_once_and_answered_again,
    a_key_shows_when_it_was_used_last,
    nobody_sees_or_changes_anothers_keys,
    a_token_needs_the_scope_for_keys,
    what_is_wrong_with_a_request_is_named,
    a_suspended_account_can_take_keys_away_and_make_none,
    every_change_of_a_key_stands_in_the_activity_log,
}

fn customer(server: &Server) -> Customer<'_> {
    let customer = Customer::with_credit(server, 1, 10_000);
    customer.subscribe("seal", "pro").with(201);
    customer
}

fn path(key: &Value) -> String {
    format!("/services/seal/keys/{}", key["id"].as_str().unwrap())
}

/// What the edges are told of a key.
fn revocation(server: &Server, key: &Value) -> Option<Revocation> {
    let fingerprint: Fingerprint = key["fingerprint"].as_str().unwrap().parse().unwrap();
    let mut database = server.database();
    database.read(|tx| revocations::among(tx, &[fingerprint])).unwrap().get(&fingerprint).copied()
}

fn a_key_is_shown_once_and_is_one_that_the_edge_knows(backend: Backend) {
    let server = Server::on(backend);
    let customer = customer(&server);
    let answer = customer.post("/services/seal/keys", &json!({"name": "backend"}));
    assert_eq!(answer.header("location"), format!("/api/v1{}", path(&answer.body)));
    let made = answer.with(201);
    let text = made["api_key"].as_str().unwrap();
    let decoded = apikey::decode(text.as_bytes()).unwrap();
    assert_eq!(decoded.fingerprint().to_string(), made["fingerprint"]);
    assert_eq!((&made["id"], &made["derivation"]), (&made["fingerprint"], &json!(1)));
    assert_eq!((&made["name"], &made["state"]), (&json!("backend"), &json!("active")));
    assert_eq!(made["created_at"], "2026-11-21T09:05:00.123Z");
    // It verifies with the keyring's secret.
    let mac = controlplane::keyring::mac_of(&server.keyring(), decoded.group()).unwrap();
    let again: KeyText = apikey::issue(
        apikey::Version::V1,
        apikey::Service::Seal,
        decoded.group(),
        apikey::Derivation::new(1).unwrap(),
        customer.id,
        &mac,
    );
    assert_eq!(again.as_str(), text);
    // Its text is nowhere else: not in lists, not in the log, not in the database.
    for path in ["/services/seal/keys".to_owned(), path(&made), "/activity".to_owned()] {
        let shown = customer.get(&path);
        assert!(!shown.text.contains(text), "{path} shows the key");
        assert!(!shown.text.contains(&text[12..]), "{path} shows what authenticates the key");
    }
    let listed = customer.keys("seal");
    assert_eq!(listed.len(), 1);
    let masked = listed[0]["masked"].as_str().unwrap();
    assert!(masked.ends_with('…') && text.starts_with(masked.trim_end_matches('…')), "{masked} {text}");
    assert_eq!(masked.chars().count(), 10);
    customer.post("/services/grpc/keys", &json!({})).is_problem(404, "no_service");
}

fn a_key_beyond_those_that_are_included_must_be_affordable(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::with_credit(&server, 1, 200);
    customer.subscribe("seal", "starter").with(201);
    let first = customer.key("seal").with(201);
    let declined = customer.key("seal");
    declined.is_problem(402, "insufficient_balance");
    assert_eq!(
        declined.body["details"],
        json!({"current_balance_cents": 0, "estimated_cost_cents": 500, "required_deposit_cents": 500})
    );
    // One that takes the place of another costs no more than that one.
    customer.to("POST", &format!("{}/rotate", path(&first))).send().with(201);
    customer.credit(500);
    customer.key("seal").with(201);
    assert_eq!(customer.balance(), 500, "nothing is charged yet");
    // What an operator granted costs nothing, and nor do its keys.
    let granted = Customer::new(&server, 2);
    let seal = edgeformat::PolicyKey { customer: granted.id, service: apikey::Service::Seal };
    make_move(&mut server.database(), seal, Move::Enable(None), server.clock.now_ms()).unwrap();
    (0..3).for_each(|_| drop(granted.key("seal").with(201)));
}

fn what_an_operator_revoked_its_owner_cannot_give_back(backend: Backend) {
    let server = Server::on(backend);
    let customer = customer(&server);
    for owner_first in [false, true] {
        let key = customer.key("seal").with(201);
        if owner_first {
            customer.to("POST", &format!("{}/revoke", path(&key))).send().with(200);
        }
        let fingerprint: Fingerprint = key["fingerprint"].as_str().unwrap().parse().unwrap();
        let chunk = [RevocableFingerprint::try_from(fingerprint).unwrap()];
        revoke(&mut server.database(), &chunk, RevocationSource::Operator, server.clock.now_ms()).unwrap();
        let re_enable = || customer.to("POST", &format!("{}/re-enable", path(&key))).send();
        re_enable().is_problem(409, "revoked_by_operator");
        assert!(revocation(&server, &key).is_some());
        // An operator can, and then it is the owner's again.
        re_enable_as_operator(&mut server.database(), fingerprint, server.clock.now_ms()).unwrap();
        assert_eq!(revocation(&server, &key), None);
        customer.to("POST", &format!("{}/revoke", path(&key))).send().with(200);
        re_enable().with(200);
    }
}

fn there_are_at_most_ten_keys_and_five_are_made_in_an_hour(backend: Backend) {
    let server = Server::on(backend);
    let mut customer = customer(&server);
    for made in 0..10 {
        if made == 5 {
            let refused = customer.key("seal");
            refused.is_problem(429, "rate_limit_exceeded");
            assert_eq!(
                (refused.header("retry-after"), &refused.body["retry_after"]),
                ("3600", &json!(3_600))
            );
            customer.wait_s(3_599);
            assert_eq!(customer.key("seal").body["retry_after"], 1);
            customer.wait_s(1);
        }
        customer.key("seal").with(201);
    }
    customer.wait_s(3_600);
    let refused = customer.key("seal");
    refused.is_problem(409, "too_many_keys");
    assert_eq!(refused.body["details"], json!({"api_keys_max": 10}));
    assert_eq!(customer.get("/services/seal").with(200)["api_keys"], 10);
    // Another service has places of its own.
    customer.subscribe("grpc", "starter").with(201);
    assert_eq!(customer.key("grpc").with(201)["derivation"], 11);
}

fn of_64_requests_at_once_ten_make_keys_with_ten_derivations(backend: Backend) {
    let server = Server::on(backend);
    let customer = customer(&server);
    // The hour's limit would stop them after five.
    let keyring = server.keyring();
    let now_ms = server.clock.now_ms();
    let key = edgeformat::PolicyKey { customer: customer.id, service: apikey::Service::Seal };
    let made = at_once(64, || {
        let new = controlplane::domain::keys::NewKey::by_operator(key, apikey::Version::V1);
        let mut database = server.database();
        controlplane::domain::keys::create(&mut database, &keyring, &new, now_ms).is_ok()
    });
    assert_eq!((made[&true], made[&false]), (10, 54));
    let derivations: BTreeSet<u64> =
        customer.keys("seal").iter().map(|key| key["derivation"].as_u64().unwrap()).collect();
    assert_eq!(derivations, (1..=10).collect());
    // Over the API five are made, whoever comes first.
    customer.subscribe("grpc", "starter").with(201);
    let answers = at_once(64, || customer.key("grpc").status);
    assert_eq!((answers[&201], answers[&429]), (5, 59));
}

fn who_has_used_all_derivations_gets_more_from_an_operator_and_none_is_given_twice(backend: Backend) {
    let server = Server::on(backend);
    let customer = customer(&server);
    assert_eq!(customer.key("seal").with(201)["derivation"], 1);
    let raw = Raw::of(&server.place);
    raw.run("UPDATE derivation_counters SET next = 1000");
    assert_eq!(customer.key("seal").with(201)["derivation"], 1_000);
    customer.key("seal").is_problem(409, "derivations_exhausted");
    let give = |most| set_derivations_max(&mut server.database(), customer.id, most);
    assert!(give(999).is_err() && give(1_024).is_err());
    give(1_002).unwrap();
    assert_eq!(customer.key("seal").with(201)["derivation"], 1_001);
    // One whose key was stolen before it was made is left out.
    let stolen = Fingerprint::of(
        apikey::Version::V1,
        apikey::Group::new(1).unwrap(),
        apikey::Derivation::new(1_002).unwrap(),
        customer.id,
    );
    let chunk = [RevocableFingerprint::try_from(stolen).unwrap()];
    let now_ms = server.clock.now_ms();
    revoke(&mut server.database(), &chunk, RevocationSource::Operator, now_ms).unwrap();
    customer.key("seal").is_problem(409, "derivations_exhausted");
    give(1_023).unwrap();
    assert_eq!(customer.key("seal").with(201)["derivation"], 1_003);
}

fn a_revoked_key_keeps_its_place_and_a_deleted_one_does_not(backend: Backend) {
    let server = Server::on(backend);
    let mut customer = customer(&server);
    let keys: Vec<Value> = (0..5).map(|_| customer.key("seal").with(201)).collect();
    customer.wait_s(3_600);
    (0..5).for_each(|_| drop(customer.key("seal").with(201)));
    customer.wait_s(3_600);
    let revoked = customer.to("POST", &format!("{}/revoke", path(&keys[0]))).send().with(200);
    assert_eq!((&revoked["state"], &revoked["applied"]), (&json!("revoked"), &json!(true)));
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(revocation(&server, &keys[0]).unwrap().kind, RevocationKind::Revoked);
    customer.key("seal").is_problem(409, "too_many_keys");
    let deleted = customer.to("DELETE", &path(&keys[0])).send().with(200);
    assert_eq!(deleted["state"], "deleted");
    assert_eq!(customer.key("seal").with(201)["derivation"], 11, "a derivation is not given again");
    // Deleted is for ever.
    for (method, what) in
        [("POST", "/re-enable"), ("POST", "/rotate"), ("POST", "/revoke"), ("GET", ""), ("DELETE", "")]
    {
        customer.to(method, &format!("{}{what}", path(&keys[0]))).send().is_problem(404, "not_found");
    }
    assert_eq!(revocation(&server, &keys[0]).unwrap().in_force_from_s, 0);
    // Revoked is not.
    customer.to("POST", &format!("{}/revoke", path(&keys[1]))).send().with(200);
    let back = customer.to("POST", &format!("{}/re-enable", path(&keys[1]))).send().with(200);
    assert_eq!((&back["state"], &back["revoked_at"]), (&json!("active"), &json!(null)));
    assert_eq!(revocation(&server, &keys[1]), None);
    assert_eq!(customer.keys("seal").len(), 10);
}

fn a_key_is_renamed_and_its_expiry_changed(backend: Backend) {
    let server = Server::on(backend);
    let mut customer = customer(&server);
    let expires = "2026-11-22T00:00:00Z";
    let made = customer.post("/services/seal/keys", &json!({"name": "a", "expires_at": expires})).with(201);
    let told = revocation(&server, &made).unwrap();
    assert_eq!((told.kind, told.in_force_from_s), (RevocationKind::Expired, 1_795_305_600));
    assert_eq!(made["expires_at"], "2026-11-22T00:00:00.000Z");
    let tag = customer.get(&path(&made)).header("etag").to_owned();
    let renamed = customer.patch(&path(&made), &json!({"name": "b"})).with(200);
    assert_eq!((&renamed["name"], &renamed["expires_at"]), (&json!("b"), &made["expires_at"]));
    let late = customer.to("PATCH", &path(&made)).header("if-match", &tag).json(&json!({"name": "c"})).send();
    late.is_problem(412, "changed_meanwhile");
    let never = customer.patch(&path(&made), &json!({"expires_at": null})).with(200);
    assert_eq!((&never["name"], &never["expires_at"]), (&json!("b"), &json!(null)));
    assert_eq!(revocation(&server, &made), None);
    let later = json!({"expires_at": "2026-11-21T10:00:00.500Z"});
    assert_eq!(customer.patch(&path(&made), &later).with(200)["expires_at"], "2026-11-21T10:00:01.000Z");
    customer
        .patch(&path(&made), &json!({"expires_at": "2026-11-20T10:00:00Z"}))
        .is_problem(400, "invalid_body");
    customer.wait_s(3_600);
    assert_eq!(customer.get(&path(&made)).with(200)["state"], "expired");
    // An expired key can be given more time.
    customer.patch(&path(&made), &json!({"expires_at": "2026-12-24T00:00:00Z"})).with(200);
    assert_eq!(customer.get(&path(&made)).with(200)["state"], "active");
}

fn a_rotated_key_dies_when_its_owner_says(backend: Backend) {
    let server = Server::on(backend);
    let mut customer = customer(&server);
    let old = customer.post("/services/seal/keys", &json!({"name": "backend"})).with(201);
    let rotate = |key: &Value, body: &Value| customer.post(&format!("{}/rotate", path(key)), body);
    let both = json!({"overlap_s": 1, "old_expires_at": "2026-11-22T00:00:00Z"});
    rotate(&old, &both).is_problem(400, "invalid_body");
    let new = rotate(&old, &json!({"old_expires_at": "2026-11-22T00:00:00Z"})).with(201);
    assert_eq!(
        (&new["name"], &new["state"], &new["derivation"]),
        (&json!("backend"), &json!("active"), &json!(2))
    );
    assert_eq!(new["replaced"]["id"], old["id"]);
    assert_eq!(new["replaced"]["expires_at"], "2026-11-22T00:00:00.000Z");
    assert_ne!(new["api_key"], old["api_key"]);
    assert_eq!(revocation(&server, &old).unwrap().in_force_from_s, 1_795_305_600);
    assert_eq!(revocation(&server, &new), None);
    // At once, and without a word a day.
    let newer = rotate(&new, &json!({"overlap_s": 0})).with(201);
    assert_eq!(newer["replaced"]["state"], "expired");
    let newest = customer.to("POST", &format!("{}/rotate", path(&newer))).send().with(201);
    assert_eq!(newest["replaced"]["expires_at"], "2026-11-22T09:05:00.000Z");
    rotate(&new, &json!({})).is_problem(409, "key_not_active");
    // It counts as a key that is made, and takes a place.
    rotate(&newest, &json!({})).with(201);
    rotate(&newest, &json!({})).is_problem(429, "rate_limit_exceeded");
    customer.wait_s(86_400);
    let states: Vec<Value> = customer.keys("seal").iter().map(|key| key["state"].clone()).collect();
    assert_eq!(states, ["expired", "expired", "expired", "expired", "active"]);
}

fn all_keys_of_a_service_are_revoked_in_one_call(backend: Backend) {
    let server = Server::on(backend);
    let customer = customer(&server);
    customer.subscribe("grpc", "starter").with(201);
    let keys: Vec<Value> = (0..3).map(|_| customer.key("seal").with(201)).collect();
    let other = customer.key("grpc").with(201);
    customer.to("POST", &format!("{}/revoke", path(&keys[0]))).send().with(200);
    let done = customer.to("POST", "/services/seal/keys/revoke-all").send().with(200);
    assert_eq!(done, json!({"revoked": 2, "already": 1, "applied": true}));
    assert!(keys.iter().all(|key| revocation(&server, key).is_some_and(|told| told.in_force_from_s == 0)));
    assert_eq!(revocation(&server, &other), None);
    let again = customer.to("POST", "/services/seal/keys/revoke-all").send().with(200);
    assert_eq!(again["revoked"], 0);
}

fn a_key_that_is_wanted_twice_under_one_key_is_made_once_and_answered_again(backend: Backend) {
    let server = Server::on(backend);
    let customer = customer(&server);
    let send = |path: &str, name: &str| {
        let body = json!({ "name": name });
        customer.to("POST", path).header("idempotency-key", "k1").json(&body).send()
    };
    let first = send("/services/seal/keys", "a").with(201);
    assert_eq!(send("/services/seal/keys", "a").with(201), first, "the answer was lost, not the key");
    send("/services/seal/keys", "b").is_problem(409, "idempotency_key_reused");
    assert_eq!(customer.keys("seal").len(), 1);
    let counted = at_once(20, || {
        let body = json!({"name": "c"});
        customer.to("POST", "/services/seal/keys").header("idempotency-key", "k2").json(&body).send().text
    });
    assert_eq!(counted.len(), 1, "{counted:?}");
    assert_eq!(customer.keys("seal").len(), 2);
    let rotate =
        || customer.to("POST", &format!("{}/rotate", path(&first))).header("idempotency-key", "k3").send();
    let rotated = rotate().with(201);
    assert_eq!(rotate().with(201), rotated);
    assert_eq!(customer.keys("seal").len(), 3);
    // Of one that is refused by now only the id is told.
    customer.to("DELETE", &path(&first)).send().with(200);
    let gone = send("/services/seal/keys", "a");
    gone.is_problem(409, "already_created");
    assert_eq!(gone.body["id"], first["id"]);
}

fn a_key_shows_when_it_was_used_last(backend: Backend) {
    let server = Server::on(backend);
    let customer = customer(&server);
    let (used, unused) = (customer.key("seal").with(201), customer.key("seal").with(201));
    let fingerprint = u64::from_str_radix(used["id"].as_str().unwrap(), 16).unwrap();
    let minute_s = server.clock.now_ms() / 60_000 * 60;
    for (number, (start_s, guaranteed, refused)) in
        [(minute_s - 60, 5, 0), (minute_s, 1, 0), (minute_s - 120, 1, 0), (minute_s + 60, 0, 3)]
            .iter()
            .enumerate()
    {
        let batch: Batch = serde_json::from_value(json!({
            "instance": "0123456789abcdef", "number": number + 1, "lines": [],
            "statistics": [{
                "window_start_s": start_s,
                "owner": {"customer": customer.id.get(), "service": "seal", "fingerprint": fingerprint},
                "counts": {
                    "guaranteed": guaranteed, "burst": 0, "rejected": 0, "refused": refused, "unserved": 0,
                    "client_errors": 0, "server_errors": 0, "received_bytes": 1, "sent_bytes": 1, "times": "3:1",
                },
            }],
        }))
        .unwrap();
        store(&mut server.database(), "local", &batch).unwrap();
    }
    let expected = controlplane::clock::rfc3339_ms(minute_s * 1_000);
    assert_eq!(customer.get(&path(&used)).with(200)["last_used_at"], expected);
    assert_eq!(customer.get(&path(&unused)).with(200)["last_used_at"], json!(null));
}

fn nobody_sees_or_changes_anothers_keys(backend: Backend) {
    let server = Server::on(backend);
    let one = customer(&server);
    let other = Customer::with_credit(&server, 2, 10_000);
    other.subscribe("seal", "starter").with(201);
    let key = one.key("seal").with(201);
    for (method, what) in
        [("GET", ""), ("DELETE", ""), ("POST", "/revoke"), ("POST", "/re-enable"), ("POST", "/rotate")]
    {
        other.to(method, &format!("{}{what}", path(&key))).send().is_problem(404, "not_found");
    }
    other.patch(&path(&key), &json!({"name": "mine"})).is_problem(404, "not_found");
    assert!(other.keys("seal").is_empty());
    // Nor under another service of its own account.
    let wrong = path(&key).replace("seal", "grpc");
    one.get(&wrong).is_problem(404, "not_found");
    one.get("/services/seal/keys/xyz").is_problem(404, "not_found");
    assert_eq!(one.get(&path(&key)).with(200)["state"], "active");
}

fn a_token_needs_the_scope_for_keys(backend: Backend) {
    let server = Server::on(backend);
    let customer = customer(&server);
    let key = customer.key("seal").with(201);
    let token = |scope: &str| {
        let made = customer.post("/tokens", &json!({"name": scope, "scopes": [scope]})).with(201);
        made["token"].as_str().unwrap().to_owned()
    };
    let (read, write) = (token("keys:read"), token("keys:write"));
    let send = |token: &str, method: &str, path: &str| {
        server.to(method, &format!("/api/v1{path}")).bearer(token).send().status
    };
    assert_eq!(send(&read, "GET", "/services/seal/keys"), 200);
    assert_eq!(send(&write, "GET", "/services/seal/keys"), 403);
    assert_eq!(send(&read, "POST", &format!("{}/revoke", path(&key))), 403);
    assert_eq!(send(&write, "POST", &format!("{}/revoke", path(&key))), 200);
    assert_eq!(send(&read, "DELETE", &path(&key)), 403);
    assert_eq!(send(&write, "DELETE", &path(&key)), 200);
}

fn what_is_wrong_with_a_request_is_named(backend: Backend) {
    let server = Server::on(backend);
    let customer = customer(&server);
    for (body, field) in [
        (json!({"name": "x".repeat(65)}), "name"),
        (json!({"name": " x"}), "name"),
        (json!({"name": "a\u{7}"}), "name"),
        (json!({"name": 5}), "name"),
        (json!({"expires_at": "tomorrow"}), "expires_at"),
        (json!({"expires_at": "2026-11-21T09:04:59Z"}), "expires_at"),
        (json!({"expires_at": "2037-11-21T09:04:59Z"}), "expires_at"),
        (json!({"is_imported": true}), "is_imported"),
        (json!({"master_key_group": 2}), "master_key_group"),
        (json!({"nam": "x"}), "nam"),
    ] {
        let refused = customer.post("/services/seal/keys", &body);
        refused.is_problem(400, "invalid_body");
        assert_eq!(refused.body["errors"][0]["field"], field, "{body}");
    }
    assert!(customer.keys("seal").is_empty());
    // Neither a body nor anything in it is needed.
    customer.to("POST", "/services/seal/keys").send().with(201);
    customer.post("/services/seal/keys", &json!({"is_imported": false, "master_key_group": 1})).with(201);
}

fn a_suspended_account_can_take_keys_away_and_make_none(backend: Backend) {
    let server = Server::on(backend);
    let customer = customer(&server);
    let keys = [(); 2].map(|()| customer.key("seal").with(201));
    controlplane::domain::customer_status::suspend(
        &mut server.database(),
        customer.id,
        server.clock.now_ms(),
    )
    .unwrap();
    customer.key("seal").is_problem(403, "customer_suspended");
    customer.to("POST", &format!("{}/rotate", path(&keys[0]))).send().is_problem(403, "customer_suspended");
    customer.to("POST", &format!("{}/revoke", path(&keys[0]))).send().with(200);
    customer.to("DELETE", &path(&keys[0])).send().with(200);
    customer.to("POST", "/services/seal/keys/revoke-all").send().with(200);
    customer
        .to("POST", &format!("{}/re-enable", path(&keys[1])))
        .send()
        .is_problem(403, "customer_suspended");
}

fn every_change_of_a_key_stands_in_the_activity_log(backend: Backend) {
    let server = Server::on(backend);
    let customer = customer(&server);
    let key = customer.key("seal").with(201);
    customer.patch(&path(&key), &json!({"name": "b"})).with(200);
    customer.patch(&path(&key), &json!({"name": "b"})).with(200);
    customer.patch(&path(&key), &json!({"expires_at": "2026-12-24T00:00:00Z"})).with(200);
    customer.to("POST", &format!("{}/revoke", path(&key))).send().with(200);
    customer.to("POST", &format!("{}/revoke", path(&key))).send().with(200);
    customer.to("POST", &format!("{}/re-enable", path(&key))).send().with(200);
    let new = customer.to("POST", &format!("{}/rotate", path(&key))).send().with(201);
    customer.to("DELETE", &path(&new)).send().with(200);
    let log = customer.get("/activity").with(200);
    let items = log["items"].as_array().unwrap();
    let actions: Vec<&str> = items.iter().rev().map(|item| item["action"].as_str().unwrap()).collect();
    let of_keys: Vec<&str> = actions.into_iter().filter(|action| action.starts_with("key_")).collect();
    let expected = [
        "key_created",
        "key_renamed",
        "key_expiry_changed",
        "key_revoked",
        "key_re_enabled",
        "key_rotated",
        "key_revoked",
        "key_deleted",
    ];
    assert_eq!(of_keys, expected);
    assert!(
        items
            .iter()
            .filter(|item| item["action"] != "credit_changed")
            .all(|item| item["actor_kind"] == "wallet" || item["actor_kind"] == "system")
    );
    let revoked = items.iter().find(|item| item["action"] == "key_revoked").unwrap();
    assert_eq!(revoked["detail"]["source"], "owner");
}
