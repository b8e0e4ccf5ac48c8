//! `suiftly edge …`: an operator sees what each edge has, and can have it made anew.

use harness::Stack;
use serde_json::Value;
use std::time::Duration;

fn local(answer: &Value) -> &Value {
    assert_eq!(answer["edges"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(answer["edges"][0]["edge"], "local");
    &answer["edges"][0]
}

#[test]
fn status_shows_every_worker_and_what_it_has() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (_, fingerprint) = stack.key(customer, "seal");
    let revoked = stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
    let answer = stack.json("edge status");
    let edge = local(&answer);
    assert_eq!((&edge["in_step"], &edge["lag_seconds"]), (&true.into(), &0.into()), "{edge}");
    assert_eq!((&edge["sequence"], &edge["database_sequence"]), (&revoked["sequence"], &revoked["sequence"]));
    assert_eq!(edge["last_error"], Value::Null);
    let worker = &edge["workers"][0];
    let module = stack.runtime_json("suiftly status");
    assert_eq!(edge["stream"], module["stream"]);
    for name in ["sequence", "policies", "revocations", "ready"] {
        assert_eq!(worker[name], module[name], "{name}");
    }
    assert!(stack.worker_pids().contains(&u32::try_from(worker["pid"].as_u64().unwrap()).unwrap()));
    assert!(worker["haproxy"].as_str().unwrap().contains('.'), "{worker}");
    let (code, text, _) = stack.run(&["edge", "status"]);
    assert_eq!(code, 0);
    assert!(text.contains("in step with the database") && text.contains("judges requests"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn an_edge_that_is_down_is_not_in_step_and_says_since_when_and_why() {
    let mut stack = Stack::start();
    stack.stop_child("haproxy");
    std::thread::sleep(Duration::from_millis(2500));
    let (code, text, _) = stack.run(&["edge", "status", "--json"]);
    assert_eq!(code, 5);
    let answer: Value = serde_json::from_str(&text).unwrap();
    let edge = local(&answer);
    assert_eq!(edge["in_step"], false);
    assert!(edge["lag_seconds"].as_u64().unwrap() >= 1, "{edge}");
    assert!(edge["last_error"].as_str().unwrap().contains("is HAProxy running"), "{edge}");
    let (code, text, _) = stack.run(&["edge", "diff", "--json"]);
    assert_eq!(code, 5);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["differences"].as_array().unwrap().len(), 1, "{answer}");
}

#[test]
fn diff_finds_nothing_where_nothing_differs() {
    let stack = Stack::start();
    stack.customer(1, "seal", "pro");
    assert_eq!(stack.json("edge diff"), serde_json::json!({"differences": []}));
}

#[test]
fn resync_writes_every_file_and_loads_every_worker_anew() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, fingerprint) = stack.key(customer, "seal");
    stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
    let (other, _) = stack.key(customer, "seal");
    let journal = stack.state().join("maps/changes.journal");
    assert!(std::fs::read_to_string(&journal).unwrap().contains(&fingerprint));
    let answer = stack.json("edge resync");
    assert_eq!(answer["applied"], true, "{answer}");
    assert!(!std::fs::read_to_string(&journal).unwrap().contains(&fingerprint));
    let revocations = std::fs::read_to_string(stack.state().join("maps/revocations.map")).unwrap();
    assert!(revocations.contains(&fingerprint));
    assert_eq!(stack.get(&[&format!("X-API-Key: {key}")]).code(), "revoked");
    assert_eq!(stack.status_with(&other), 200);
    assert!(
        std::fs::read_to_string(stack.log_path("serve"))
            .unwrap()
            .contains("loading the tables of a worker whole")
    );
}

#[test]
fn show_says_what_every_worker_knows_of_a_customer() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    assert_eq!(stack.status_with(&key), 200);
    let answer = stack.json(&format!("edge show {customer}"));
    assert_eq!(answer["customer_id"], customer);
    let seal = &answer["workers"][0]["services"]["seal"];
    assert_eq!((&seal["state"], &seal["admitted"]), (&"enabled".into(), &1.into()), "{answer}");
}

#[test]
fn without_serve_the_commands_say_so() {
    let mut stack = Stack::start();
    stack.stop_child("serve");
    for command in ["status", "diff", "resync"] {
        let (code, _, stderr) = stack.run(&["edge", command]);
        assert_eq!(code, 1, "{command}");
        assert!(stderr.contains("`suiftly serve` does not answer"), "{stderr}");
    }
}
