//! Who signs in, and everything that does not.

use super::server::Server;
use super::wallet::Wallet;
use crate::harness::{Backend, on_both_databases};
use controlplane::config::AccountsConfig;
use data_encoding::BASE64;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use sui_sdk_types::{MultisigAggregatedSignature, MultisigCommittee, MultisigMember, UserSignature};

on_both_databases! {
    a_wallet_signs_in_and_finds_the_same_account_again,
    the_refresh_token_comes_in_a_cookie_unless_it_is_asked_for_in_the_body,
    a_challenge_is_good_once,
    a_failed_signature_uses_the_challenge_up,
    a_challenge_expires_after_five_minutes,
    a_signature_of_another_wallet_does_not_sign_in,
    a_challenge_of_another_address_does_not_sign_in_and_is_not_used_up,
    a_message_of_another_domain_does_not_sign_in,
    a_message_that_was_changed_does_not_sign_in,
    a_text_that_is_no_challenge_does_not_sign_in,
    what_is_no_signature_is_named,
    a_signature_of_a_scheme_that_is_not_accepted_is_named,
    too_many_failed_signatures_wait_and_nobody_else_does,
    a_stranger_who_asks_for_challenges_locks_nobody_out,
    a_multisig_signs_in_with_its_threshold_and_not_below_it,
    of_200_verifications_of_one_challenge_one_succeeds,
    of_200_verifications_over_two_copies_of_the_server_one_succeeds,
    sources_have_limits,
}

const VERIFY: &str = "/api/v1/auth/verify";

fn a_wallet_signs_in_and_finds_the_same_account_again(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let message = wallet.challenge(&server);
    assert!(message.starts_with("api.example.com wants you to sign in"), "{message}");
    assert!(
        message.contains(&wallet.address()) && message.contains("Expiration Time: 2026-11-21T09:10:00.123Z")
    );
    let body = wallet.verify(&server, &message, &wallet.sign(&message)).with(200);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
    let customer = body["customer_id"].as_u64().unwrap();
    assert!((1..=u64::from(u32::MAX)).contains(&customer));
    let again = wallet.sign_in(&server);
    assert_eq!(again.customer, customer);
    assert_ne!(Wallet::new(2).sign_in(&server).customer, customer);
    let account = server.to("GET", "/api/v1/account").bearer(&again.access).send().with(200);
    let expected = json!({ "customer_id": customer, "wallet_address": wallet.address(), "status": "active",
        "created_at": "2026-11-21T09:05:00.123Z" });
    assert_eq!(account, expected);
    // An address in capitals is the same wallet.
    let body = json!({ "wallet_address": wallet.address().to_uppercase() });
    assert!(
        server.post("/api/v1/auth/challenge", &body).with(200)["message"]
            .as_str()
            .unwrap()
            .contains(&wallet.address())
    );
}

fn the_refresh_token_comes_in_a_cookie_unless_it_is_asked_for_in_the_body(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let message = wallet.challenge(&server);
    let body =
        json!({ "wallet_address": wallet.address(), "message": message, "signature": wallet.sign(&message) });
    let answer = server.post(VERIFY, &body);
    let cookie = answer.header("set-cookie").to_owned();
    assert_eq!(answer.with(200).get("refresh_token"), None);
    for part in [
        "suiftly_refresh=suiftly_refresh_",
        "HttpOnly",
        "Secure",
        "SameSite=Strict",
        "Path=/api/v1/auth",
        "Max-Age=2592000",
    ] {
        assert!(cookie.contains(part), "{cookie} lacks {part}");
    }
    let message = wallet.challenge(&server);
    let answer = wallet.verify(&server, &message, &wallet.sign(&message));
    assert_eq!((answer.header("set-cookie"), answer.status), ("", 200));
    assert!(answer.body["refresh_token"].as_str().unwrap().starts_with("suiftly_refresh_"));
}

fn a_challenge_is_good_once(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let message = wallet.challenge(&server);
    let signature = wallet.sign(&message);
    wallet.verify(&server, &message, &signature).with(200);
    wallet.verify(&server, &message, &signature).is_problem(401, "challenge_used");
}

fn a_failed_signature_uses_the_challenge_up(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let message = wallet.challenge(&server);
    wallet.verify(&server, &message, &wallet.sign("something else")).is_problem(401, "signature_wrong");
    wallet.verify(&server, &message, &wallet.sign(&message)).is_problem(401, "challenge_used");
}

fn a_challenge_expires_after_five_minutes(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let (first, second) = (wallet.challenge(&server), wallet.challenge(&server));
    server.clock.advance(std::time::Duration::from_millis(299_999));
    wallet.verify(&server, &first, &wallet.sign(&first)).with(200);
    server.clock.advance(std::time::Duration::from_millis(1));
    wallet.verify(&server, &second, &wallet.sign(&second)).is_problem(401, "challenge_expired");
}

fn a_signature_of_another_wallet_does_not_sign_in(backend: Backend) {
    let server = Server::on(backend);
    let (wallet, thief) = (Wallet::new(1), Wallet::new(2));
    let message = wallet.challenge(&server);
    wallet.verify(&server, &message, &thief.sign(&message)).is_problem(401, "signature_of_other_wallet");
}

fn a_challenge_of_another_address_does_not_sign_in_and_is_not_used_up(backend: Backend) {
    let server = Server::on(backend);
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let message = wallet.challenge(&server);
    other.verify(&server, &message, &other.sign(&message)).is_problem(401, "other_address");
    wallet.verify(&server, &message, &wallet.sign(&message)).with(200);
}

fn a_message_of_another_domain_does_not_sign_in(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    // What a page that relays our text would show, and what another service gave out.
    let relayed = wallet.challenge(&server).replace("api.example.com", "evil.example.net");
    wallet.verify(&server, &relayed, &wallet.sign(&relayed)).is_problem(401, "other_domain");
    let elsewhere = format!(
        "evil.example.net wants you to sign in with your Sui wallet:\n{}\n\nNonce: {}",
        wallet.address(),
        "a".repeat(64)
    );
    wallet.verify(&server, &elsewhere, &wallet.sign(&elsewhere)).is_problem(401, "other_domain");
}

fn a_message_that_was_changed_does_not_sign_in(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let changes: [(&str, &str); 4] = [
        ("moves no coins", "moves all coins"),
        ("09:10:00.123Z", "09:59:00.123Z"),
        ("Purpose: sign-in", "Purpose: payment"),
        ("\n\n", "\n"),
    ];
    for (from, to) in changes {
        let message = wallet.challenge(&server);
        let changed = message.replacen(from, to, 1);
        assert_ne!(message, changed);
        wallet.verify(&server, &changed, &wallet.sign(&changed)).is_problem(401, "message_changed");
        wallet.verify(&server, &message, &wallet.sign(&message)).is_problem(401, "challenge_used");
    }
    let changed = wallet.challenge(&server).replace(&wallet.address(), &Wallet::new(2).address());
    wallet.verify(&server, &changed, &wallet.sign(&changed)).is_problem(401, "other_address");
}

fn a_text_that_is_no_challenge_does_not_sign_in(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    wallet.verify(&server, "hello", &wallet.sign("hello")).is_problem(400, "message_not_ours");
    let unknown = wallet.challenge(&server);
    let nonce = unknown.lines().find_map(|line| line.strip_prefix("Nonce: ")).unwrap();
    let unknown = unknown.replace(nonce, &"0".repeat(64));
    wallet.verify(&server, &unknown, &wallet.sign(&unknown)).is_problem(401, "challenge_unknown");
}

fn what_is_no_signature_is_named(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let good = BASE64.decode(wallet.sign("x").as_bytes()).unwrap();
    let (short, long) = (&good[..good.len() - 1], [&good[..], &[0]].concat());
    for signature in [
        "no base64 at all",
        "AAAA",
        "AA",
        &BASE64.encode(short),
        &BASE64.encode(&long),
        &wallet.sign("x").replace('=', ""),
    ] {
        let message = wallet.challenge(&server);
        wallet.verify(&server, &message, signature).is_problem(400, "signature_malformed");
        server.advance_s(60);
    }
    // A body of a megabyte does not come that far.
    let message = wallet.challenge(&server);
    let body =
        json!({ "wallet_address": wallet.address(), "message": message, "signature": "A".repeat(1 << 20) });
    server.post(VERIFY, &body).is_problem(413, "too_large");
    let long =
        json!({ "wallet_address": wallet.address(), "message": message, "signature": "A".repeat(5_000) });
    let answer = server.post(VERIFY, &long);
    answer.is_problem(400, "invalid_body");
    assert_eq!(answer.body["errors"][0]["field"], "signature");
    wallet.verify(&server, &message, &wallet.sign(&message)).with(200);
}

fn a_signature_of_a_scheme_that_is_not_accepted_is_named(backend: Backend) {
    let server = Server::on(backend);
    let wallet = Wallet::new(1);
    let mut bytes = BASE64.decode(wallet.sign("x").as_bytes()).unwrap();
    for (flag, code) in [
        (4, "signature_scheme_unknown"),
        (5, "zklogin_not_supported"),
        (6, "passkey_not_supported"),
        (7, "signature_scheme_unknown"),
        (255, "signature_scheme_unknown"),
        (1, "signature_malformed"),
    ] {
        let message = wallet.challenge(&server);
        bytes[0] = flag;
        wallet.verify(&server, &message, &BASE64.encode(&bytes)).is_problem(400, code);
    }
}

fn too_many_failed_signatures_wait_and_nobody_else_does(backend: Backend) {
    let server =
        Server::with(backend, |settings| settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()]);
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let verify = |wallet: &Wallet, message: &str, signature: &str, from: &str| {
        let body = json!({ "wallet_address": wallet.address(), "message": message, "signature": signature });
        server.to("POST", VERIFY).header("x-forwarded-for", from).json(&body).send()
    };
    for _ in 0..10 {
        let message = wallet.challenge(&server);
        verify(&wallet, &message, &wallet.sign("x"), "192.0.2.1").is_problem(401, "signature_wrong");
        server.advance_s(1);
    }
    let message = wallet.challenge(&server);
    let answer = verify(&wallet, &message, &wallet.sign(&message), "192.0.2.1");
    answer.is_problem(429, "too_many_failed_sign_ins");
    // The first of the ten is 50 seconds old by now.
    assert_eq!(answer.header("retry-after"), "50");
    // Another wallet from there, and the same wallet from elsewhere, with the very challenge that had to wait.
    let others = other.challenge(&server);
    verify(&other, &others, &other.sign(&others), "192.0.2.1").with(200);
    verify(&wallet, &message, &wallet.sign(&message), "192.0.2.2").with(200);
    server.advance_s(50);
    let message = wallet.challenge(&server);
    verify(&wallet, &message, &wallet.sign(&message), "192.0.2.1").with(200);
}

fn a_stranger_who_asks_for_challenges_locks_nobody_out(backend: Backend) {
    let server =
        Server::with(backend, |settings| settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()]);
    let wallet = Wallet::new(1);
    let mine = wallet.challenge(&server);
    let from_stranger = |count: usize| -> Vec<String> {
        let ask = |_| {
            server.clock.advance(std::time::Duration::from_millis(1));
            let body = json!({ "wallet_address": wallet.address() });
            let answer = server
                .to("POST", "/api/v1/auth/challenge")
                .header("x-forwarded-for", "203.0.113.66")
                .json(&body)
                .send();
            answer.with(200)["message"].as_str().unwrap().to_owned()
        };
        (0..count).map(ask).collect()
    };
    let theirs = from_stranger(50);
    // Failing without a nonce of mine hurts nobody either.
    for _ in 0..30 {
        let guess = mine.replace("Nonce: ", "Nonce: f");
        wallet.verify(&server, &guess, "AAAA").is_problem(400, "message_not_ours");
    }
    wallet.verify(&server, &theirs[0], &wallet.sign(&theirs[0])).is_problem(401, "challenge_used");
    wallet.verify(&server, &mine, &wallet.sign(&mine)).with(200);
}

fn a_multisig_signs_in_with_its_threshold_and_not_below_it(backend: Backend) {
    let server = Server::on(backend);
    let members: Vec<Wallet> = (1..=3).map(Wallet::new).collect();
    let keys = members.iter().map(|wallet| MultisigMember::new(wallet.public_key(), 1)).collect();
    let committee = MultisigCommittee::new(keys, 2);
    let address = committee.derive_address().to_string();
    let verify = |who: &[usize], bitmap: u16| {
        let asked = server.post("/api/v1/auth/challenge", &json!({ "wallet_address": address })).with(200);
        let message = asked["message"].as_str().unwrap();
        let signatures = who.iter().map(|place| members[*place].member_signature(message)).collect();
        let signature = MultisigAggregatedSignature::new(committee.clone(), signatures, bitmap);
        let signature = UserSignature::Multisig(signature).to_base64();
        server.post(VERIFY, &json!({ "wallet_address": address, "message": message, "signature": signature }))
    };
    verify(&[0, 2], 0b101).with(200);
    verify(&[1], 0b010).is_problem(401, "multisig_below_threshold");
    // A second member that has not signed does not count, nor one that signs for another.
    verify(&[1], 0b011).is_problem(401, "signature_wrong");
    verify(&[1, 1], 0b110).is_problem(401, "signature_wrong");
    verify(&[], 0b111).is_problem(401, "signature_wrong");
}

fn of_200_verifications_over_two_copies_of_the_server_one_succeeds(backend: Backend) {
    let generous = |settings: &mut AccountsConfig| settings.sign_in_per_minute = 1_000_000;
    let one = Server::with(backend, generous);
    let other = one.copy(generous);
    let wallet = Wallet::new(1);
    let message = wallet.challenge(&one);
    let signature = wallet.sign(&message);
    let turn = AtomicUsize::new(0);
    let counts = at_once(200, || {
        let server = if turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { &one } else { &other };
        wallet.verify(server, &message, &signature).status
    });
    assert_eq!(counts, BTreeMap::from([(200, 1), (401, 199)]));
    // What one copy has given out the other takes, and what one has ended is ended.
    let session = wallet.sign_in(&other);
    one.to("GET", "/api/v1/account").bearer(&session.access).send().with(200);
    assert_eq!(one.to("DELETE", "/api/v1/auth/sessions").bearer(&session.access).send().status, 200);
    other.to("GET", "/api/v1/account").bearer(&session.access).send().is_problem(401, "session_ended");
}

fn of_200_verifications_of_one_challenge_one_succeeds(backend: Backend) {
    let server = Server::with(backend, |settings| settings.sign_in_per_minute = 1_000_000);
    let wallet = Wallet::new(1);
    let message = wallet.challenge(&server);
    let signature = wallet.sign(&message);
    let counts = at_once(200, || {
        let answer = wallet.verify(&server, &message, &signature);
        (answer.status, answer.body["code"].as_str().unwrap_or("").to_owned())
    });
    let expected = BTreeMap::from([((200, String::new()), 1), ((401, "challenge_used".to_owned()), 199)]);
    assert_eq!(counts, expected);
}

/// How often each answer came, of so many that are asked at once.
pub(crate) fn at_once<T: Ord + Send>(count: usize, ask: impl Fn() -> T + Sync) -> BTreeMap<T, usize> {
    let barrier = Barrier::new(count);
    let answers = std::thread::scope(|scope| {
        let one = || {
            barrier.wait();
            ask()
        };
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<T>>()
    });
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer).or_insert(0) += 1;
    }
    counts
}

fn sources_have_limits(backend: Backend) {
    let server = Server::on(backend);
    for path in ["challenge", "verify", "refresh", "logout"] {
        let path = format!("/api/v1/auth/{path}");
        for _ in 0..60 {
            server.post(&path, &json!({})).is_problem(400, "invalid_body");
        }
        let answer = server.post(&path, &json!({}));
        answer.is_problem(429, "too_many_requests");
        assert_eq!(answer.header("retry-after"), "1");
    }
    server.advance_s(1);
    server.post("/api/v1/auth/verify", &json!({})).is_problem(400, "invalid_body");
    for _ in 0..60 {
        server.to("GET", "/api/v1/account").bearer("guess").send().is_problem(401, "unauthorized");
    }
    server.to("GET", "/api/v1/account").bearer("guess").send().is_problem(429, "too_many_requests");
    // One that has the form of an API token counts alike; a good one is served all the same.
    let guess = format!("suiftly_api_{}", "0".repeat(64));
    server.to("GET", "/api/v1/account").bearer(&guess).send().is_problem(429, "too_many_requests");
    let body = json!({ "name": "x", "scopes": ["keys:read"] });
    server
        .to("POST", "/api/v1/tokens")
        .bearer(&guess)
        .json(&body)
        .send()
        .is_problem(429, "too_many_requests");
    server.advance_s(3_600);
    let good = Wallet::new(9).sign_in(&server);
    for _ in 0..70 {
        server.to("GET", "/api/v1/account").bearer(&guess).send();
    }
    server.to("GET", "/api/v1/account").bearer(&good.access).send().with(200);
}
