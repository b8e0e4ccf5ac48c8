//! Usage from outside: the path that edges tell it on, the commands that show it, the metrics, and a backup of it.

use crate::harness::{Backend, Stack, on_both_databases, request};
use controlplane::edge::control_plane::ControlPlane;
use edgeformat::ledger::LedgerReading;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

on_both_databases! {
    an_edge_tells_usage_with_its_token_and_only_its_own,
    a_person_sees_what_a_customer_has_used_and_decides_what_nobody_believes,
    a_backup_holds_usage,
}

fn post(stack: &Stack, token: &str, body: &str) -> (u16, String) {
    let head = format!(
        "POST /api/v1/edge/usage HTTP/1.1\r\nhost: t\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, body) = request(stack.api_port, &head).unwrap();
    let code = serde_json::from_str::<Value>(body.trim()).ok();
    (status, code.and_then(|body| body["code"].as_str().map(str::to_owned)).unwrap_or_default())
}

fn token(stack: &Stack, edge: &str) -> String {
    let answer = stack.run(&format!("admin edge add --name {edge} --json")).json_with(0);
    answer["token"].as_str().unwrap().to_owned()
}

fn reading(ledger: u64, slots: Vec<(u32, u8, Vec<u64>)>) -> LedgerReading {
    let now_ms = controlplane::clock::Clock::system().now_ms();
    LedgerReading {
        ledger: format!("{ledger:016x}"),
        generation: 1,
        created_at_ms: now_ms.cast_unsigned(),
        read_at_ms: now_ms,
        closed: false,
        slots,
    }
}

fn customer_with_service(stack: &Stack) -> u32 {
    let customer = stack.customer(1);
    let line =
        format!("admin service enable --customer {customer} --service seal --tier pro --no-wait --json");
    stack.run(&line).json_with(0);
    u32::try_from(customer).unwrap()
}

fn usage(stack: &Stack, customer: u32, rest: &str) -> Value {
    stack.run(&format!("admin usage --customer {customer} {rest} --json")).json_with(0)
}

fn an_edge_tells_usage_with_its_token_and_only_its_own(backend: Backend) {
    let stack = Stack::on(backend);
    let _serve = stack.start("serve --without-edge", &[]);
    let customer = customer_with_service(&stack);
    let (fra, nyc) = (token(&stack, "fra1"), token(&stack, "nyc1"));
    let text = |reading: &LedgerReading| serde_json::to_string(reading).unwrap();
    let first = text(&reading(1, vec![(customer, 1, vec![5])]));
    assert_eq!(post(&stack, &fra, &first).0, 204);
    assert_eq!(post(&stack, &fra, &first).0, 204);
    assert_eq!(post(&stack, &nyc, &first), (403, "not_your_ledger".to_owned()));
    let wrong = format!("{}0", &fra[..fra.len() - 1]);
    let wrong = if wrong == fra { format!("{}1", &fra[..fra.len() - 1]) } else { wrong };
    assert_eq!(post(&stack, &wrong, &first), (401, "unauthorized".to_owned()));
    for malformed in ["", "{}", "[]", &first.replace("slots", "slot"), &first.replace("[5]", "[-5]")] {
        assert_eq!(post(&stack, &fra, malformed), (400, "bad_report".to_owned()), "{malformed}");
    }
    let many = text(&reading(1, vec![(customer, 1, vec![6]); 20_001]));
    assert_eq!(post(&stack, &fra, &many), (413, "too_large".to_owned()));
    let long = format!("{}{first}", " ".repeat((8 << 20) + 1 - first.len()));
    assert_eq!(post(&stack, &fra, &long), (413, "too_large".to_owned()));
    assert_eq!(usage(&stack, customer, "")["guaranteed"], 5);

    let file = stack.path("token");
    std::fs::write(&file, &fra).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let url = format!("http://127.0.0.1:{}", stack.api_port);
    let control_plane = ControlPlane::new(&url, &file, None).unwrap();
    control_plane.usage(&reading(1, vec![(customer, 1, vec![7])])).unwrap();
    assert_eq!(usage(&stack, customer, "")["guaranteed"], 7);
    std::fs::write(&file, &nyc).unwrap();
    let other = ControlPlane::new(&url, &file, None).unwrap();
    assert!(other.usage(&reading(1, vec![])).unwrap_err().is_for_ever());
    assert!(!other.usage(&reading(2, vec![(0, 1, vec![])])).unwrap_err().is_for_ever());
    for (name, expected) in [
        ("suiftly_usage_readings_total", 3),
        ("suiftly_usage_slots_total", 2),
        ("suiftly_usage_foreign_ledger_total", 2),
        ("suiftly_usage_set_aside_total", 0),
    ] {
        assert_eq!(stack.metric(name), expected, "{name}");
    }
    let (_, metrics) = stack.get("/metrics").unwrap();
    assert!(metrics.contains("suiftly_usage_heard_seconds{edge=\"fra1\"} "), "{metrics}");
    assert!(stack.logs().contains("ledger of another one"), "{}", stack.logs());
}

fn a_person_sees_what_a_customer_has_used_and_decides_what_nobody_believes(backend: Backend) {
    let stack = Stack::on(backend);
    let _serve = stack.start("serve --without-edge", &[]);
    let customer = customer_with_service(&stack);
    let fra = token(&stack, "fra1");
    let counters = vec![100, 30, 5, 4, 2, 5, 0, 1, 40, 0, 10];
    let told =
        reading(1, vec![(customer, 1, counters), (customer, 2, vec![3, 0, 4]), (customer, 3, vec![1 << 40])]);
    assert_eq!(post(&stack, &fra, &serde_json::to_string(&told).unwrap()).0, 204);
    let seal = json!({
        "guaranteed": 57, "burst": 26, "rejected": 58, "unserved": 9,
        "rejected_by": {"address_not_allowed": 2, "rate_limited": 5, "content_too_large": 1, "revoked": 40, "no_service": 10}
    });
    for time in ["", "--since 24h", "--since 2026-01-01T00:00:00Z --until 2126-01-01T00:00:00Z"] {
        assert_eq!(usage(&stack, customer, &format!("--service seal {time}")), seal, "{time}");
    }
    let none = json!({"guaranteed": 0, "burst": 0, "rejected": 0, "unserved": 0, "rejected_by": {}});
    assert_eq!(usage(&stack, customer, "--service seal --until 7d"), none);
    let grpc = usage(&stack, customer, "--service grpc");
    assert_eq!((&grpc["guaranteed"], &grpc["unserved"]), (&json!(0), &json!(4)), "never less than nothing");
    assert_eq!(usage(&stack, customer, "")["guaranteed"], 56);
    let text = stack.run(&format!("admin usage --customer {customer}")).stdout;
    assert!(text.contains("rate_limited") && text.lines().all(|line| line.len() <= 100), "{text}");
    let nobody = if customer == 7 { 8 } else { 7 };
    stack.run(&format!("admin usage --customer {nobody} --json")).fails(3, "admin customer create");
    stack.run(&format!("admin usage --customer {customer} --since yesterday --json")).fails(2, "24h");

    let listed = stack.run("admin usage-set-aside list --json").json_with(0);
    let item = &listed["items"][0];
    assert_eq!(
        (&listed["total"], &item["why"], &item["edge"]),
        (&json!(1), &json!("too_much"), &json!("fra1"))
    );
    assert_eq!((&item["service"], &item["counters"]), (&json!("graphql"), &json!({"admitted": 1_u64 << 40})));
    let text = stack.run("admin usage-set-aside list").stdout;
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    for _ in 0..2 {
        let accepted = stack.run("admin usage-set-aside accept --id 1 --json").json_with(0);
        assert_eq!(accepted, json!({"id": 1, "decision": "accepted"}));
    }
    assert_eq!(usage(&stack, customer, "--service graphql")["guaranteed"], 1_u64 << 40);
    stack.run("admin usage-set-aside discard --id 1 --json").fails(4, "accepted already");
    stack.run("admin usage-set-aside discard --id 2 --json").fails(3, "usage-set-aside list");
    assert_eq!(stack.run("admin usage-set-aside list --json").json_with(0)["items"], json!([]));
}

fn a_backup_holds_usage(backend: Backend) {
    let from = Stack::on(backend);
    let serve = from.start("serve --without-edge", &[]);
    let customer = customer_with_service(&from);
    let fra = token(&from, "fra1");
    let told = reading(1, vec![(customer, 1, vec![50, 0, 0, 0, 0, 3]), (customer, 2, vec![1 << 40])]);
    assert_eq!(post(&from, &fra, &serde_json::to_string(&told).unwrap()).0, 204);
    let before = usage(&from, customer, "");
    let file = from.path("b");
    from.run(&format!("backup {} --json", file.display())).json_with(0);
    drop(serve);
    let to = Stack::new();
    std::fs::copy(from.path("keyring.toml"), to.path("keyring.toml")).unwrap();
    to.run(&format!("restore {} --json", file.display())).json_with(0);
    assert_eq!(usage(&to, customer, ""), before);
    assert_eq!(to.run("admin usage-set-aside list --json").json_with(0)["total"], 1);
    // The cursors came back as well: what was taken is not taken again.
    let _serve = to.start("serve --without-edge", &[]);
    assert_eq!(post(&to, &fra, &serde_json::to_string(&told).unwrap()).0, 204);
    assert_eq!(usage(&to, customer, ""), before);
}
