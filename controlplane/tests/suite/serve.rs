//! `suiftly serve` as a process: its answers, its socket, its end. Without HAProxy.

use crate::harness::{Backend, Running, Stack, on_both_databases, request};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

on_both_databases! {
    it_is_alive_but_not_ready_without_an_edge_and_says_why,
    the_control_socket_answers_and_a_change_without_an_edge_is_not_confirmed,
    a_command_on_another_database_is_not_confirmed_by_this_serve,
    it_ends_in_time_on_sigterm_and_takes_its_socket_with_it,
    the_log_is_json_where_nobody_watches_and_holds_no_secret,
}

fn ask(stack: &Stack, question: &str) -> Value {
    let mut socket = UnixStream::connect(stack.path("control.sock")).unwrap();
    socket.write_all(format!("{question}\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn it_is_alive_but_not_ready_without_an_edge_and_says_why(backend: Backend) {
    let stack = Stack::on(backend);
    let _serve = stack.serve();
    let (status, body) = stack.get("/readyz").unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    assert!(body["lacking"][0].as_str().unwrap().starts_with("edge: "), "{body}");
    assert_eq!(body["database_sequence"], 0);

    let (status, body) = stack.get("/metrics").unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("suiftly_edge_in_step 0"), "{body}");

    let (status, body) = stack.get("/nothing").unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 404);
    assert_eq!(
        (&body["status"], &body["code"], &body["type"]),
        (&json!(404), &json!("not_found"), &json!("about:blank"))
    );

    let post = "POST /healthz HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert_eq!(request(stack.api_port, post).unwrap().0, 405);
}

#[test]
fn the_first_start_makes_everything_private() {
    let stack = Stack::new();
    let _serve = stack.serve();
    let mode = |name: &str| std::fs::symlink_metadata(stack.path(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("keyring.toml"), mode("control.sock"), mode("suiftly.db")), (0o600, 0o600, 0o600));
    for name in [
        "policies.map",
        "revocations.map",
        "allowlists.map",
        "plans.map",
        "services.map",
        "errors.map",
        "changes.journal",
    ] {
        assert_eq!(mode(&format!("maps/{name}")), 0o640, "{name}");
    }
}

fn the_control_socket_answers_and_a_change_without_an_edge_is_not_confirmed(backend: Backend) {
    let stack = Stack::on(backend);
    let _serve = stack.serve();
    assert_eq!(ask(&stack, "{\"ping\":true}"), json!({"pong": true}));
    assert!(ask(&stack, "what?")["error"].is_string());
    let waited = ask(&stack, "{\"wait_for_sequence\":0,\"limit_ms\":300}");
    assert_eq!((&waited["applied"], &waited["edges"][0]["edge"]), (&json!(false), &json!("local")));
    assert!(waited["edges"][0]["detail"].as_str().unwrap().contains("HAProxy"), "{waited}");

    let customer = stack.customer(1);
    let line = format!("admin service enable --customer {customer} --service seal --wait-limit 1 --json");
    let json = stack.run(&line).json_with(5);
    assert_eq!(json["waiting_for"], json!(["local"]));
    assert!(json["detail"].as_str().unwrap().contains("haproxy-master.sock"), "{json}");
    // What was saved is in the files all the same.
    let journal = std::fs::read_to_string(stack.path("maps/changes.journal")).unwrap();
    assert!(journal.contains(&format!("+p:{customer}:seal:enabled:1:-")), "{journal}");
}

fn a_command_on_another_database_is_not_confirmed_by_this_serve(backend: Backend) {
    let stack = Stack::on(backend);
    let _serve = stack.serve();
    let other = format!("sqlite://{}", stack.path("other.db").display());
    let output = stack
        .command("admin key revoke --fingerprint 4100000112345678 --json")
        .env("DATABASE_URL", other)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["detail"].as_str().unwrap().contains("another database"), "{json}");
}

#[test]
fn a_second_serve_on_the_same_state_refuses_to_start() {
    let stack = Stack::new();
    let _serve = stack.serve();
    let second = stack.run("serve");
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("another `suiftly serve`"), "{}", second.stderr);
    assert_eq!(ask(&stack, "{\"ping\":true}"), json!({"pong": true}));
}

#[test]
fn a_socket_file_that_a_killed_serve_left_behind_is_replaced() {
    let stack = Stack::new();
    let mut serve = stack.serve();
    serve.0.kill().unwrap();
    serve.0.wait().unwrap();
    assert!(stack.path("control.sock").exists());
    let _serve = stack.serve();
    assert_eq!(ask(&stack, "{\"ping\":true}"), json!({"pong": true}));
}

fn it_ends_in_time_on_sigterm_and_takes_its_socket_with_it(backend: Backend) {
    let stack = Stack::on(backend);
    let serve = stack.serve();
    // An idle connection must not hold the end up.
    let _idle = std::net::TcpStream::connect(("127.0.0.1", stack.api_port)).unwrap();
    let (code, took) = serve.terminate();
    assert_eq!(code, Some(0), "{}", std::fs::read_to_string(stack.path("serve.log")).unwrap());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!stack.path("control.sock").exists());
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    let stack = Stack::new();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", stack.api_port)).unwrap();
    let answer = stack.run("serve");
    assert_eq!(answer.code, 1);
    assert!(answer.stderr.contains("SUIFTLY_API_PORT"), "{}", answer.stderr);
    assert!(!stack.path("control.sock").exists());
}

fn the_log_is_json_where_nobody_watches_and_holds_no_secret(backend: Backend) {
    let stack = Stack::on(backend);
    let serve = stack.serve();
    drop(serve);
    let log = std::fs::read_to_string(stack.path("serve.log")).unwrap();
    let keyring = std::fs::read_to_string(stack.path("keyring.toml")).unwrap();
    let secret = keyring.lines().find_map(|line| line.split('"').nth(1)).unwrap();
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    assert!(!log.contains(&secret[..12]));
}

#[test]
fn the_demo_upstream_describes_a_request_but_never_its_credential() {
    let stack = Stack::new();
    let port = crate::harness::free_port();
    let child = stack
        .command(&format!("demo-upstream --port {port}"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let _upstream = Running(child);
    let get =
        |path: &str| request(port, &format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n"));
    stack.wait_until("the upstream answers", || get("/").is_some());
    let text = "POST /v1/x?status=201 HTTP/1.1\r\nhost: t\r\nauthorization: Bearer SECRETSECRET\r\nx-suiftly-customer: 7\r\n\
        x-suiftly-service: seal\r\nx-suiftly-key: 4100000100000007\r\nx-request-id: r1\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
    let (status, body) = request(port, text).unwrap();
    assert_eq!(status, 201);
    assert!(!body.contains("SECRET"));
    let expected = json!({"upstream": "demo", "method": "POST", "path": "/v1/x", "customer": "7", "service": "seal",
        "key": "4100000100000007", "request_id": "r1", "received_bytes": 5});
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    assert!(get("/?bytes=1000").unwrap().1.len() > 1000);
    for path in ["/?status=99", "/?status=700", "/?delay_ms=60001", "/?bytes=99999999999", "/?delay_ms=x"] {
        assert_eq!(get(path).unwrap().0, 400, "{path}");
    }
}

/// RFC 9113 section 3.4: the client's preface, an empty SETTINGS frame, and the server answers with SETTINGS.
#[test]
fn the_demo_upstream_speaks_http_2_in_clear_on_the_same_port() {
    use std::io::Read;
    let stack = Stack::new();
    let port = crate::harness::free_port();
    let child = stack
        .command(&format!("demo-upstream --port {port}"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let _upstream = Running(child);
    stack.wait_until("the port is open", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 9];
    socket.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "no SETTINGS frame: {frame:?}");
}
