//! The operators' paths of the API, with tokens of their own.

use crate::harness::{Backend, Stack, on_both_databases, request};
use controlplane::domain::operator_tokens;
use serde_json::Value;
use std::io::{Read, Write};

const FINGERPRINT: &str = "4100000112345678";

on_both_databases! {
    without_a_good_token_nothing_happens,
    a_key_is_revoked_and_saved_also_while_no_edge_confirms,
    who_revoked_a_customers_key_stands_in_its_log,
    a_token_is_listed_without_its_text_and_can_be_revoked,
}

fn revoke(stack: &Stack, fingerprint: &str, field: &str) -> (u16, Value) {
    let path = format!("/api/v1/operator/keys/{fingerprint}/revoke");
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 0\r\n{field}\r\n");
    let (status, body) = request(stack.api_port, &head).unwrap();
    (status, serde_json::from_str(body.trim()).unwrap_or(Value::String(body)))
}

fn token(stack: &Stack, name: &str) -> String {
    let answer = stack.run(&format!("admin token create --name {name} --json")).json_with(0);
    answer["token"].as_str().unwrap().to_owned()
}

fn revocations(stack: &Stack) -> i64 {
    stack.open_database().read(controlplane::db::revocations::all).unwrap().len().try_into().unwrap()
}

fn without_a_good_token_nothing_happens(backend: Backend) {
    let stack = Stack::on(backend);
    let _serve = stack.serve();
    let good = token(&stack, "on-call");
    let expired = operator_tokens::create(&mut stack.open_database(), "expired", 0, 1).unwrap();
    let revoked = token(&stack, "revoked");
    stack.run("admin token revoke --name revoked --json").json_with(0);
    let other = format!("{}0", &good[..good.len() - 1]);
    let other = if other == good { format!("{}1", &good[..good.len() - 1]) } else { other };
    for field in [
        String::new(),
        "authorization: Bearer\r\n".to_owned(),
        format!("authorization: Bearer {other}\r\n"),
        format!("authorization: Basic {good}\r\n"),
        format!("authorization: Bearer {}\r\n", &good[1..]),
        format!("authorization: Bearer {}\r\n", expired.expose()),
        format!("authorization: Bearer {revoked}\r\n"),
        format!("authorization: Bearer {good}\r\nauthorization: Bearer {good}\r\n"),
    ] {
        let (status, body) = revoke(&stack, FINGERPRINT, &field);
        assert_eq!((status, &body["code"]), (401, &"unauthorized".into()), "{body}");
    }
    let (status, body) = revoke(&stack, "F100000112345678", &format!("authorization: Bearer {good}\r\n"));
    assert_eq!((status, &body["code"]), (400, &"bad_fingerprint".into()));
    assert_eq!(revocations(&stack), 0);
    assert!(!stack.logs().contains(&good), "a token stands in a log");
}

fn a_key_is_revoked_and_saved_also_while_no_edge_confirms(backend: Backend) {
    let stack = Stack::on(backend);
    let _serve = stack.serve();
    let field = format!("authorization: bearer {}\r\n", token(&stack, "on-call"));
    // No HAProxy runs here, so that the answer comes when the limit has passed.
    let (status, body) = revoke(&stack, FINGERPRINT, &field);
    assert_eq!((status, &body["revoked"], &body["unknown"]), (202, &1.into(), &1.into()), "{body}");
    assert_eq!((&body["applied"], &body["waiting_for"][0]), (&false.into(), &"local".into()));
    assert!(body["detail"].as_str().unwrap().contains("HAProxy"), "{body}");
    assert_eq!(revocations(&stack), 1);
}

fn who_revoked_a_customers_key_stands_in_its_log(backend: Backend) {
    let stack = Stack::on(backend);
    let _serve = stack.serve();
    let customer = stack.customer(1);
    let made =
        stack.run(&format!("admin key create --customer {customer} --service seal --json")).json_with(0);
    let fingerprint = made["fingerprint"].as_str().unwrap();
    let field = format!("authorization: bearer {}\r\n", token(&stack, "on-call"));
    // No edge runs here, so that it is only saved.
    let (status, body) = revoke(&stack, fingerprint, &field);
    assert_eq!((status, &body["revoked"], &body["unknown"]), (202, &1.into(), &0.into()), "{body}");
    let log = stack.run(&format!("admin customer activity --customer {customer} --json")).json_with(0);
    let last = &log["items"][0];
    assert_eq!(
        (&last["action"], &last["detail"]["fingerprint"]),
        (&"key_revoked".into(), &fingerprint.into())
    );
    assert_eq!((&last["actor_kind"], &last["actor"]), (&"operator".into(), &"on-call".into()));
    assert_eq!(last["source"], "127.0.0.1");
    assert_eq!(last["request_id"].as_str().map(str::len), Some(16), "{last}");
}

#[test]
fn with_an_edge_the_answer_says_that_it_is_in_force_and_twice_is_once() {
    let stack = Stack::new();
    let _serve = stack.serve();
    let _haproxy = stack.haproxy();
    let field = format!("authorization: Bearer {}\r\n", token(&stack, "on-call"));
    let (status, body) = revoke(&stack, &FINGERPRINT.to_lowercase(), &field);
    assert_eq!((status, &body["applied"], &body["revoked"]), (200, &true.into(), &1.into()), "{body}");
    assert_eq!(stack.status(stack.workers().current[0])["revocations"]["count"], 1);
    let (status, body) = revoke(&stack, FINGERPRINT, &field);
    assert_eq!((status, &body["already"], &body["revoked"]), (200, &1.into(), &0.into()), "{body}");
    assert!(stack.logs().contains("on-call"), "who did it stands in the log");
}

#[test]
fn an_answer_carries_its_sequence_and_waits_only_if_it_is_asked_to() {
    let stack = Stack::new();
    let _serve = stack.serve();
    let token = token(&stack, "on-call");
    let ask = |query: &str| {
        let head = format!(
            "POST /api/v1/operator/keys/{FINGERPRINT}/revoke{query} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\
             content-length: 0\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", stack.api_port)).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        reply.to_lowercase()
    };
    let start = std::time::Instant::now();
    let reply = ask("?wait=saved");
    assert!(start.elapsed().as_secs() < 5, "it has waited for an edge that is not there");
    assert!(reply.starts_with("http/1.1 202") && reply.contains("\r\nx-suiftly-sequence: 1\r\n"), "{reply}");
    for query in ["?wait=maybe", "?waits=applied"] {
        assert!(ask(query).starts_with("http/1.1 400"), "{query}");
    }
}

fn a_token_is_listed_without_its_text_and_can_be_revoked(backend: Backend) {
    let stack = Stack::on(backend);
    let text = token(&stack, "on-call");
    let listed = stack.run("admin token list --json").json_with(0);
    assert_eq!(
        (&listed["items"][0]["name"], &listed["items"][0]["state"]),
        (&"on-call".into(), &"active".into())
    );
    assert!(!listed.to_string().contains(&text["suiftly_operator_".len()..]));
    stack.run("admin token create --name on-call").fails(4, "already");
    stack.run("admin token create --name white%20space").fails(4, "letters, digits");
    stack.run("admin token revoke --name nobody").fails(3, "admin token list");
    stack.run("admin token revoke --name on-call --json").json_with(0);
    let listed = stack.run("admin token list --json").json_with(0);
    assert_eq!(listed["items"][0]["state"], "revoked");
}
