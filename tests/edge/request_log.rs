//! The request log: what HAProxy says of a request stands in the database soon after, without a key; and whatever becomes of it,
//! requests go on.

use harness::http::wait_for;
use harness::{Connection, Stack};
use serde_json::Value;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

fn requests_of(stack: &Stack, customer: u32) -> Vec<Value> {
    stack.admin(&format!("requests --customer {customer} --limit 1000"))["items"].as_array().unwrap().clone()
}

/// The row of the request whose answer carried this id.
fn row(stack: &Stack, customer: u32, id: &str) -> Value {
    wait_for("the request's row", SOON, || {
        requests_of(stack, customer).into_iter().find(|row| row["request_id"] == id)
    })
}

fn metric(stack: &Stack, name: &str) -> u64 {
    let mut connection = Connection::open(stack.api.number()).unwrap();
    let answer = connection.send("GET", "/metrics", &[], b"").unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn each_request_has_its_row_within_10_s_and_no_column_holds_a_key() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, fingerprint) = stack.key(customer, "seal");
    let line = format!("Authorization: Bearer {key}");
    let good = stack.send("POST", &format!("/{key}?key={key}"), &[&line], b"12345");
    assert_eq!(good.status, 200);
    stack.admin(&format!("service suspend --customer {customer} --service seal"));
    let refused = stack.get(&[&line]);
    assert_eq!(refused.status, 403);

    let seen = row(&stack, customer, good.field("x-request-id").unwrap());
    assert_eq!(seen["fingerprint"], fingerprint.as_str());
    assert_eq!((&seen["class"], &seen["reason"]), (&"guaranteed".into(), &Value::Null));
    assert_eq!(
        (&seen["service"], &seen["status"], &seen["client"]),
        (&"seal".into(), &200.into(), &"127.0.0.1".into())
    );
    assert!(
        seen["received_bytes"].as_u64().unwrap() > 5 && seen["sent_bytes"].as_u64().unwrap() > 100,
        "{seen}"
    );
    assert!(seen["response_ms"].as_i64().unwrap() >= 0 && seen["server"] == "seal1", "{seen}");
    let seen = row(&stack, customer, refused.field("x-request-id").unwrap());
    assert_eq!((&seen["class"], &seen["reason"]), (&Value::Null, &"suspended_operator".into()));
    assert_eq!((&seen["status"], &seen["fingerprint"]), (&403.into(), &Value::Null));

    assert!(metric(&stack, "suiftly_request_log_lines_total") >= 2);
    assert_eq!(metric(&stack, "suiftly_request_log_admitted_total"), 1);
    for why in ["unreadable", "queue_full", "refused", "socket_full"] {
        assert_eq!(
            metric(&stack, &format!("suiftly_request_log_dropped_total{{why=\"{why}\"}}")),
            0,
            "{why}"
        );
    }
    // The file as it is on the disk, whatever the column.
    for file in ["suiftly.db", "suiftly.db-wal"] {
        let bytes = std::fs::read(stack.state().join(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).to_uppercase();
        assert!(!text.contains(&key), "{file} holds a key");
    }
}

#[test]
fn requests_go_on_as_fast_while_nobody_takes_the_lines_and_are_taken_again_after() {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let line = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    let mut connection = Connection::open(stack.edge.number()).unwrap();
    let mut slowest_of_300 = || {
        (0..300)
            .map(|_| {
                let begun = Instant::now();
                assert!(matches!(connection.get(&[&line]).unwrap().status, 200 | 429));
                begun.elapsed()
            })
            .max()
            .unwrap()
    };
    let before = slowest_of_300();
    stack.kill_child("serve");
    let while_down = slowest_of_300();
    println!("the slowest of 300: {before:?} with the collector, {while_down:?} without");
    assert!(while_down < Duration::from_secs(1), "{while_down:?}");
    stack.start_child("serve");
    stack.wait_until_healthy();
    let id = stack.get(&[&line]).field("x-request-id").unwrap().to_owned();
    row(&stack, customer, &id);
    let log = std::fs::read_to_string(stack.log_path("haproxy")).unwrap();
    assert!(
        log.lines().filter(|line| line.contains("sendmsg")).count() <= 2,
        "HAProxy goes on about its log"
    );
}

#[test]
fn a_flood_of_lines_is_counted_and_slows_no_request() {
    let stack = Stack::start_with(&[("SUIFTLY_REQUEST_LOG_PER_S", "100")]);
    let customer = stack.customer(1, "seal", "enterprise");
    let line = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    let to = format!("127.0.0.1:{}", stack.api.number());
    let sent = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let begun = Instant::now();
            let mut sent = 0;
            while begun.elapsed() < Duration::from_secs(2) {
                socket.send_to(b"{\"id\":\"no line of ours\"}", &to).unwrap();
                sent += 1;
            }
            sent
        });
        let mut connection = Connection::open(stack.edge.number()).unwrap();
        let mut slowest = Duration::ZERO;
        while !flood.is_finished() {
            let begun = Instant::now();
            assert_eq!(connection.get(&[&line]).unwrap().status / 100, 2);
            slowest = slowest.max(begun.elapsed());
            std::thread::sleep(Duration::from_millis(5));
        }
        println!("the slowest request during the flood: {slowest:?}");
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
        flood.join().unwrap()
    });
    wait_for("every line to be counted", SOON, || {
        let dropped = |why| metric(&stack, &format!("suiftly_request_log_dropped_total{{why=\"{why}\"}}"));
        // Lines of the requests that were lost in the same buffer are among them.
        (dropped("unreadable") + dropped("socket_full") >= sent).then_some(())
    });
}

#[test]
fn switched_off_nothing_is_sent_and_nothing_is_kept() {
    let stack = Stack::start_with(&[("SUIFTLY_REQUEST_LOG", "none")]);
    let customer = stack.customer(1, "seal", "pro");
    let line = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    assert_eq!(stack.get(&[&line]).status, 200);
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(requests_of(&stack, customer), [Value::Null; 0]);
    assert_eq!(metric(&stack, "suiftly_request_log_lines_total"), 0);
}

#[test]
fn the_lines_of_an_edge_on_another_machine_come_to_the_control_plane() {
    let control = Stack::control_plane(&[]);
    let edge = Stack::edge_of(&control, "fra1");
    let customer = control.customer(1, "seal", "pro");
    let line = format!("X-API-Key: {}", control.key(customer, "seal").0);
    let answer = edge.get(&[&line]);
    assert_eq!(answer.status, 200);
    let seen = row(&control, customer, answer.field("x-request-id").unwrap());
    assert_eq!(seen["class"], "guaranteed");
    assert!(metric(&edge, "suiftly_request_log_stored_total") >= 1);
}
