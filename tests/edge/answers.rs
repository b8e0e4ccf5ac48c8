//! What a caller is told: status, code, fields, CORS; to browsers and to gRPC callers.

use edgeformat::Reason;
use harness::{Answer, Connection, Stack};

fn refused(answer: &Answer, reason: Reason) {
    assert_eq!(answer.status, reason.status(), "{reason}: {answer:?}");
    assert_eq!(answer.code(), reason.code());
    let problem = answer.json();
    assert_eq!(problem["title"], reason.title());
    assert_eq!(problem["status"], reason.status());
    assert_eq!(problem["type"], format!("https://suiftly.io/problems/{}", reason.code()));
    assert_eq!(problem["request_id"].as_str(), answer.field("x-request-id"));
    open_to_browsers(answer);
}

fn open_to_browsers(answer: &Answer) {
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"), "{answer:?}");
    let exposed = answer.field("access-control-expose-headers").unwrap_or_default();
    for name in ["Retry-After", "RateLimit", "RateLimit-Policy", "X-KeyServer-Version", "X-Request-Id"] {
        assert!(exposed.split(", ").any(|exposed| exposed == name), "{name} is not in {exposed:?}");
    }
}

#[test]
fn every_refusal_of_a_key_has_its_status_code_title_and_request_id() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    let with = |key: &str| stack.get(&[&format!("Authorization: Bearer {key}")]);
    assert_eq!(with(&key).status, 200);

    let missing = stack.get(&[]);
    refused(&missing, Reason::MissingKey);
    assert_eq!(
        missing.field("www-authenticate"),
        Some("Bearer"),
        "RFC 6750: no error code without a credential"
    );

    let malformed = with("nonsense");
    refused(&malformed, Reason::Malformed);
    assert_eq!(
        malformed.field("www-authenticate"),
        Some("Bearer error=\"invalid_token\", error_description=\"malformed\"")
    );
    for lines in [
        vec![format!("Authorization: Bearer {key}"), format!("X-API-Key: {key}")],
        vec![format!("Authorization: Bearer {key}"), format!("Authorization: Bearer {key}")],
        vec![format!("X-API-Key: {key}"), format!("X-API-Key: {key}")],
        vec![format!("Authorization: Basic {key}")],
        vec![format!("Authorization: {key}")],
        vec!["Authorization:".to_owned()],
        vec!["X-API-Key:".to_owned()],
        vec![format!("Authorization: Bearer {key} {key}")],
        vec![format!("Authorization: Bearer {key},")],
        vec![format!("Authorization: Bearer {}", key.repeat(300))],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        refused(&stack.get(&lines), Reason::Malformed);
    }

    refused(&with(&format!("X{}", &key[1..])), Reason::UnknownService);
    refused(&with(&format!("R{}", &key[1..])), Reason::BadMac);
    // Byte 0 of the payload: version 2 and 3, version 0 (not accepted), another group.
    let group2 = harness::keys::mint_independently(&stack.secret_hex(), 2, "seal", 1, customer, 1);
    refused(&with(&group2), Reason::UnknownGroup);
    let version0 = harness::keys::mint_independently(&stack.secret_hex(), 1, "seal", 1, customer, 0);
    refused(&with(&version0), Reason::UnsupportedVersion);

    let (revoked, fingerprint) = stack.key(customer, "seal");
    stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
    refused(&with(&revoked), Reason::Revoked);

    let (no_service, _) = stack.key(customer, "graphql");
    refused(&with(&no_service), Reason::NoService);
    for (command, reason) in [("disable", Reason::Disabled), ("suspend", Reason::SuspendedOperator)] {
        stack.admin(&format!("service enable --customer {customer} --service seal"));
        stack.admin(&format!("service {command} --customer {customer} --service seal"));
        let answer = with(&key);
        refused(&answer, reason);
        assert_eq!(answer.field("www-authenticate"), None);
    }
}

#[test]
fn over_the_limit_says_when_to_come_back() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "starter");
    let (key, _) = stack.key(customer, "seal");
    let line = format!("X-API-Key: {key}");
    let mut connection = Connection::open(stack.edge.number()).unwrap();
    let answers: Vec<Answer> = (0..30).map(|_| connection.get(&[&line]).unwrap()).collect();
    let limited = answers.iter().find(|answer| answer.status == 429).expect("30 at once are more than 12/s");
    refused(limited, Reason::RateLimited);
    assert_eq!(limited.field("retry-after"), Some("1"));
    assert_eq!(limited.field("ratelimit-policy"), Some("\"guaranteed\";q=12;w=1, \"burst\";q=0;w=1"));
    assert_eq!(limited.field("ratelimit"), Some("\"guaranteed\";r=0;t=1, \"burst\";r=0;t=1"));
    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((12..=14).contains(&admitted), "{admitted} of 30 at once were admitted at 12/s");
}

#[test]
fn a_browser_may_ask_first_without_a_key_and_is_counted_nowhere() {
    let stack = Stack::start();
    let asks = ["Origin: https://app.example.com", "Access-Control-Request-Method: POST"];
    let names = "Access-Control-Request-Headers: authorization, content-type, x-anything";
    let answer = stack.send("OPTIONS", "/v1/service", &[asks[0], asks[1], names], b"");
    assert_eq!(answer.status, 204);
    open_to_browsers(&answer);
    assert_eq!(answer.field("access-control-allow-methods"), Some("GET, POST, PUT, DELETE"));
    assert_eq!(answer.field("access-control-allow-headers"), Some("authorization, content-type, x-anything"));
    assert_eq!(answer.field("access-control-max-age"), Some("86400"));
    let answer = stack.send("OPTIONS", "/", &asks, b"");
    assert_eq!((answer.status, answer.field("access-control-allow-headers")), (204, None));
    // An OPTIONS request that asks nothing is a request like any other.
    refused(&stack.send("OPTIONS", "/", &[asks[0]], b""), Reason::MissingKey);
    let status = stack.runtime_json("suiftly status");
    assert_eq!(status["refused"], serde_json::json!({"missing_key": 1}), "preflights were counted");
}

#[test]
fn every_answer_is_open_to_browsers_and_a_servers_own_word_stays() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    open_to_browsers(&stack.get(&[&format!("X-API-Key: {key}")]));
}

#[test]
fn a_grpc_caller_is_refused_in_its_own_protocol() {
    let stack = Stack::start();
    let customer = stack.customer(1, "grpc", "starter");
    let (key, fingerprint) = stack.key(customer, "grpc");
    let call = |key: &str| {
        stack.send(
            "POST",
            "/svc/Method",
            &["content-type: application/grpc", &format!("authorization: Bearer {key}")],
            b"",
        )
    };
    let refused = |answer: Answer, reason: Reason| {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.field("grpc-status"), Some(reason.grpc_status().to_string().as_str()));
        assert_eq!(answer.field("grpc-message"), Some(reason.code()));
        assert!(answer.body.is_empty());
    };
    refused(call("x"), Reason::Malformed);
    let (other, _) = stack.key(customer, "seal");
    refused(call(&other), Reason::NoService);
    let statuses: Vec<Answer> = (0..30).map(|_| call(&key)).collect();
    let limited = statuses.into_iter().find(|answer| answer.field("grpc-status") == Some("8"));
    refused(limited.expect("30 at once are more than 12/s"), Reason::RateLimited);
    stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
    refused(call(&key), Reason::Revoked);
}

#[test]
fn the_health_page_needs_no_key_and_follows_the_upstream() {
    let mut stack = Stack::start();
    assert_eq!(stack.send("GET", "/_suiftly/health", &[], b"").status, 200);
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    stack.stop_child("upstream");
    harness::http::wait_for("health without any server", std::time::Duration::from_secs(10), || {
        (stack.send("GET", "/_suiftly/health", &[], b"").status == 503).then_some(())
    });
    // HAProxy's own answer, in our words.
    let answer = stack.get(&[&format!("X-API-Key: {key}")]);
    assert_eq!((answer.status, answer.code().as_str()), (503, "no_backend"));
    assert_eq!(answer.json()["request_id"].as_str(), answer.field("x-request-id"));
    assert_eq!(answer.field("retry-after"), Some("1"));
    open_to_browsers(&answer);
}

#[test]
fn a_service_without_a_backend_is_refused_as_such() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    let map = format!("{}/maps/services.map", stack.state().display());
    stack.runtime(&format!("set map {map} 1 nowhere"));
    refused(&stack.get(&[&format!("X-API-Key: {key}")]), Reason::NoBackend);
    stack.runtime(&format!("set map {map} 1 graphql"));
    let moved = stack.get(&[&format!("X-API-Key: {key}")]);
    assert_eq!((moved.status, moved.json()["service"].as_str()), (200, Some("graphql")));
}

#[test]
fn bodies_and_headers_have_bounds() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    let line = format!("X-API-Key: {key}");
    let body = vec![b'x'; 4 * 1024 * 1024];
    let answer = stack.send("POST", "/", &[&line], &body);
    assert_eq!((answer.status, answer.json()["received_bytes"].as_u64()), (200, Some(body.len() as u64)));
    let large = stack.send("POST", "/", &[&line, "Expect: 100-continue", "Content-Length: 4194305"], b"");
    assert_eq!((large.status, large.code().as_str()), (413, "content_too_large"));
    assert_eq!(large.json()["request_id"].as_str(), large.field("x-request-id"));
    // Without a length there is no bound here: the server's counts.
    let chunked = |chunk: usize| {
        let mut connection = Connection::open(stack.edge.number()).unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: x\r\n{line}\r\nTransfer-Encoding: chunked\r\n\r\n{chunk:x}\r\n"
        );
        let mut bytes = head.into_bytes();
        bytes.resize(bytes.len() + chunk, b'x');
        bytes.extend_from_slice(b"\r\n0\r\n\r\n");
        connection.send_raw(&bytes).unwrap()
    };
    for chunk in [10_000, 4 * 1024 * 1024] {
        let answer = chunked(chunk);
        assert_eq!((answer.status, answer.json()["received_bytes"].as_u64()), (200, Some(chunk as u64)));
    }
    // Whoever has no key is told that first, whatever the size.
    refused(&stack.send("POST", "/", &["Content-Length: 99999999"], b""), Reason::MissingKey);
    let long = format!("X-Long: {}", "x".repeat(20_000));
    let status = stack.get(&[&line, &long]).status;
    assert!(matches!(status, 400 | 431), "{status}: HAProxy says 400 up to 3.0, 431 since 3.2");
}

#[test]
fn nobody_gets_a_tunnel_past_the_edge() {
    // An upstream that says yes to everything that could become one.
    let upstream = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = upstream.local_addr().unwrap().to_string();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let received = std::sync::Arc::clone(&seen);
    let accept = move || {
        for stream in upstream.incoming() {
            let (mut stream, received) = (stream.unwrap(), std::sync::Arc::clone(&received));
            let serve = move || {
                use std::io::{Read, Write};
                let mut buffer = [0; 4096];
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..len]).to_lowercase();
                    received.lock().unwrap().push_str(&text);
                    let answer: &[u8] = if text.contains("\r\nupgrade:") || text.starts_with("connect") {
                        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n"
                    } else {
                        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                    };
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            };
            std::thread::Builder::new().spawn(serve).unwrap();
        }
    };
    std::thread::Builder::new().spawn(accept).unwrap();
    let stack = Stack::start_with(&[("SUIFTLY_UPSTREAM", &address)]);
    let customer = stack.customer(1, "seal", "pro");
    let line = format!("X-API-Key: {}", stack.key(customer, "seal").0);

    let connect = format!("CONNECT x.example.com:443 HTTP/1.1\r\nHost: x.example.com:443\r\n{line}\r\n\r\n");
    let connect = Connection::open(stack.edge.number()).unwrap().send_raw(connect.as_bytes()).unwrap();
    assert_eq!((connect.status, connect.code().as_str()), (405, "method_not_allowed"));
    for upgrade in ["foo", "h2c", "websocket"] {
        let lines =
            [line.as_str(), "Connection: Upgrade, X-Suiftly-Customer", &format!("Upgrade: {upgrade}")];
        let claims = [
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "X_Suiftly_Customer: 1",
            "X-Suiftly_Key: 2",
            "X-Suiftly-Service: 3",
        ];
        let answer = stack.send("GET", "/", &[lines.as_slice(), &claims].concat(), b"");
        assert_eq!(answer.status, 200, "{upgrade}: {answer:?}");
    }
    let seen = seen.lock().unwrap();
    assert!(
        !seen.contains("upgrade") && !seen.contains("x_suiftly") && !seen.contains("x-suiftly_"),
        "{seen}"
    );
    assert_eq!(seen.matches(&format!("x-suiftly-customer: {customer}")).count(), 3, "{seen}");
}
