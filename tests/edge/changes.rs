//! A change that a command has confirmed is in force, durable, and the same everywhere.

use harness::{Connection, Stack};
use std::time::Duration;

#[test]
fn a_revoked_key_is_refused_by_the_first_request_after_the_commands_return() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let mut connection = Connection::open(stack.edge.number()).unwrap();
    for _ in 0..10 {
        let (key, fingerprint) = stack.key(customer, "seal");
        let line = format!("X-API-Key: {key}");
        assert_eq!(connection.get(&[&line]).unwrap().status, 200);
        let revoked = stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
        assert_eq!((&revoked["revoked"], &revoked["applied"]), (&1.into(), &true.into()), "{revoked}");
        assert_eq!(connection.get(&[&line]).unwrap().code(), "revoked");
        assert_eq!(connection.get(&[&line.to_lowercase()]).unwrap().code(), "revoked", "a respelling");
    }
}

#[test]
fn a_revocation_reaches_connections_that_an_old_worker_still_serves() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, fingerprint) = stack.key(customer, "seal");
    let line = format!("X-API-Key: {key}");
    let mut old = Connection::open(stack.edge.number()).unwrap();
    assert_eq!(old.get(&[&line]).unwrap().status, 200);
    stack.reload();
    // The old worker still holds this idle connection and will answer one more request on it.
    stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
    assert_eq!(old.get(&[&line]).unwrap().code(), "revoked");
    assert_eq!(stack.get(&[&line]).code(), "revoked");
}

#[test]
fn changes_survive_a_restart_of_haproxy_without_the_control_plane() {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (good, _) = stack.key(customer, "seal");
    let (bad, fingerprint) = stack.key(customer, "seal");
    stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
    stack.stop_child("serve");
    stack.kill_worker();
    stack.start_child("haproxy");
    let answer = harness::http::wait_for("an answer", Duration::from_secs(5), || {
        Connection::open(stack.edge.number()).ok()?.get(&[&format!("X-API-Key: {bad}")]).ok()
    });
    assert_eq!(answer.code(), "revoked");
    harness::http::wait_for("the upstream's check", Duration::from_secs(5), || {
        (stack.status_with(&good) == 200).then_some(())
    });
}

#[test]
fn with_the_control_plane_down_a_command_saves_says_so_and_the_next_start_applies_it() {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, fingerprint) = stack.key(customer, "seal");
    stack.stop_child("serve");
    let (code, stdout, _) = stack.run(&["admin", "key", "revoke", "--fingerprint", &fingerprint, "--json"]);
    assert_eq!(code, 5);
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&answer["revoked"], &answer["applied"]), (&1.into(), &false.into()), "{answer}");
    assert_eq!(stack.status_with(&key), 200, "nobody told the edge yet");
    stack.start_child("serve");
    stack.wait_until_ready();
    assert_eq!(stack.get(&[&format!("X-API-Key: {key}")]).code(), "revoked");
}

#[test]
fn with_haproxy_down_a_command_saves_and_its_next_start_knows() {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, fingerprint) = stack.key(customer, "seal");
    stack.stop_child("haproxy");
    let arguments = ["admin", "key", "revoke", "--fingerprint", &fingerprint, "--wait-limit", "1", "--json"];
    assert_eq!(stack.run(&arguments).0, 5, "no running worker has confirmed");
    stack.start_child("haproxy");
    stack.wait_until_ready();
    assert_eq!(stack.get(&[&format!("X-API-Key: {key}")]).code(), "revoked");
}

#[test]
fn tables_that_differ_are_found_and_repaired() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, _) = stack.key(customer, "seal");
    let before = stack.runtime_json("suiftly status");
    // Somebody meddles on the socket: an empty load of the same stream and sequence.
    let (stream, sequence) = (before["stream"].as_str().unwrap(), &before["sequence"]);
    stack.runtime(&format!("suiftly apply begin 1 {stream} {sequence} 0 0"));
    let answer = stack.runtime_json("suiftly apply commit 1 0 0000000000000000 0000000000000000");
    assert_eq!(answer["policies"], 0, "{answer}");
    harness::http::wait_for("the repair", Duration::from_secs(8), || {
        (stack.status_with(&key) == 200).then_some(())
    });
    let after = stack.runtime_json("suiftly status");
    assert_eq!((&after["policies"], &after["revocations"]), (&before["policies"], &before["revocations"]));
}

#[test]
fn a_file_of_revocations_is_taken_whole_with_its_counts() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let keys: Vec<(String, String)> = (0..3).map(|_| stack.key(customer, "seal")).collect();
    stack.admin(&format!("key revoke --fingerprint {}", keys[0].1));
    let mut file = String::from("# a list\n");
    for (_, fingerprint) in &keys {
        file.push_str(&format!("{fingerprint}\n"));
    }
    for stranger in 1..=3000_u64 {
        file.push_str(&format!("{:016X}\n", 0x4100_0001_0000_0000 + stranger));
    }
    let path = stack.state().join("list.txt");
    std::fs::write(&path, &file).unwrap();
    let answer = stack.admin(&format!("key revoke --file {}", path.display()));
    assert_eq!(
        (&answer["revoked"], &answer["already"], &answer["unknown"]),
        (&3002.into(), &1.into(), &3000.into())
    );
    for (key, _) in &keys {
        assert_eq!(stack.get(&[&format!("X-API-Key: {key}")]).code(), "revoked");
    }
    assert_eq!(stack.runtime_json("suiftly status")["revocations"]["count"], 3003);
    std::fs::write(&path, format!("{file}nonsense\n")).unwrap();
    let path = path.to_str().unwrap();
    let (code, _, stderr) = stack.run(&["admin", "key", "revoke", "--file", path]);
    assert_eq!(code, 2);
    assert!(stderr.contains("3005") && stderr.contains("list.txt"), "{stderr}");
}

#[test]
fn show_counts_what_a_customer_was_granted_and_refused() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, _) = stack.key(customer, "seal");
    for _ in 0..7 {
        assert_eq!(stack.status_with(&key), 200);
    }
    stack.admin(&format!("service suspend --customer {customer} --service seal"));
    for _ in 0..3 {
        assert_eq!(stack.status_with(&key), 403);
    }
    let seal = &stack.runtime_json(&format!("suiftly show {customer}"))["services"]["seal"];
    assert_eq!((&seal["admitted"], &seal["refused"]), (&7.into(), &3.into()));
    assert_eq!(seal["state"], "suspended_operator");
}

/// The edge was told ahead: it needs nobody when the time comes.
#[test]
fn a_key_expires_at_its_second_with_the_control_plane_down_and_a_rotated_one_after_its_overlap() {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let ((first, first_print), (second, second_print)) =
        (stack.key(customer, "seal"), stack.key(customer, "seal"));
    stack.admin(&format!("key expire --fingerprint {first_print} --at 3s"));
    let rotated = stack.admin(&format!("key rotate --fingerprint {second_print} --overlap 3s"));
    let new = rotated["api_key"].as_str().unwrap().to_owned();
    stack.kill_child("serve");
    let all = |stack: &Stack| [&first, &second, &new].map(|key| stack.status_with(key));
    assert_eq!(all(&stack), [200, 200, 200]);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(all(&stack), [401, 401, 200]);
    assert_eq!(stack.get(&[&format!("X-API-Key: {first}")]).code(), "expired");
    // Also after a reload without a control plane, from the files.
    stack.reload();
    assert_eq!(all(&stack), [401, 401, 200]);
    stack.start_child("serve");
    stack.wait_until_ready();
    stack.admin(&format!("key revoke --fingerprint {}", rotated["fingerprint"].as_str().unwrap()));
    stack.admin(&format!("key re-enable --fingerprint {}", rotated["fingerprint"].as_str().unwrap()));
    assert_eq!(all(&stack), [401, 401, 200]);
}
