//! A request with a key enters HAProxy, the module decides, the caller gets through; and what the upstream, the caller
//! and the log see of it.

use harness::{Connection, Stack};

#[test]
fn a_good_key_gets_through_in_every_form_that_is_one() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    for line in [
        format!("Authorization: Bearer {key}"),
        format!("authorization: bearer {}", key.to_lowercase()),
        format!("Authorization: BEARER   {key}"),
        format!("X-API-Key: {key}"),
        format!("x-api-key: {}", key.to_lowercase()),
    ] {
        assert_eq!(stack.get(&[&line]).status, 200, "{line}");
    }
}

#[test]
fn the_upstream_learns_who_calls_and_never_the_key_nor_what_a_client_claims() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, fingerprint) = stack.key(customer, "seal");
    let answer = stack.send(
        "POST",
        "/v1/fetch_key?x=1",
        &[
            &format!("X-API-Key: {key}"),
            "X-Suiftly-Customer: 1",
            "X-Suiftly-Service: grpc",
            "x-suiftly-key: FFFFFFFFFFFFFFFF",
            "X-Suiftly-Anything: else",
            "X-Request-Id: mine",
        ],
        b"hello",
    );
    assert_eq!(answer.status, 200);
    let seen = answer.json();
    assert_eq!(seen["customer"].as_str().map(str::to_owned), Some(customer.to_string()), "{seen}");
    assert_eq!(seen["service"], "seal");
    assert_eq!(seen["key"], fingerprint.as_str());
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["received_bytes"], 5);
    assert_eq!(
        seen["request_id"].as_str(),
        answer.field("x-request-id"),
        "one id at the server and at the caller"
    );
    assert_ne!(seen["request_id"], "mine");
    assert!(!String::from_utf8_lossy(&answer.body).contains(&key));
}

#[test]
fn a_key_of_each_service_reaches_that_service() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    for service in ["seal", "grpc", "graphql"] {
        stack.admin(&format!("service enable --customer {customer} --service {service} --tier pro"));
        let (key, _) = stack.key(customer, service);
        let answer = stack.get(&[&format!("Authorization: Bearer {key}")]);
        assert_eq!((answer.status, answer.json()["service"].as_str()), (200, Some(service)));
    }
}

#[test]
fn the_log_names_everything_about_a_request_but_the_key() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, fingerprint) = stack.key(customer, "seal");
    let mut connection = Connection::open(stack.edge.number()).unwrap();
    let answer = connection
        .send("GET", &format!("/{key}?key={key}"), &[&format!("Authorization: Bearer {key}")], b"")
        .unwrap();
    assert_eq!(answer.status, 200);
    let id = answer.field("x-request-id").unwrap().to_owned();
    connection.get(&[]).unwrap();
    connection.send(&key, "/", &[], b"").unwrap();
    connection.send("GET", "/quote\"back\\slash", &["Authorization: Bearer x"], b"").unwrap();

    let log = harness::http::wait_for("four log lines", std::time::Duration::from_secs(5), || {
        let log = std::fs::read_to_string(stack.log_path("haproxy")).unwrap();
        (log.lines().filter(|line| line.starts_with("{\"id\"")).count() >= 4).then_some(log)
    });
    assert!(!log.contains(&key) && !log.contains(&key.to_lowercase()), "the log holds a key");
    let lines: Vec<serde_json::Value> = log
        .lines()
        .filter(|line| line.starts_with("{\"id\""))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let good =
        lines.iter().find(|line| line["id"] == id.as_str()).expect("the request's id stands in the log");
    assert_eq!(good["customer"], customer.to_string());
    assert_eq!(good["service"], "seal");
    assert_eq!(good["key"], fingerprint.as_str());
    assert_eq!(good["class"], "guaranteed");
    assert_eq!(good["status"], 200);
    assert_eq!(good["server"], "seal1");
    for number in ["received_bytes", "sent_bytes", "queue_ms", "connect_ms", "response_ms", "total_ms"] {
        assert!(good[number].is_number(), "{number} in {good}");
    }
    assert!(lines.iter().any(|line| line["reason"] == "missing_key" && line["status"] == 401));
    assert!(lines.iter().any(|line| line["reason"] == "malformed"));
}
