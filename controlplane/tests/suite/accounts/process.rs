//! The API as `suiftly serve` has it: what its log and metrics say, TLS, and how it ends.

use super::wallet::Wallet;
use crate::harness::{Backend, Stack, on_both_databases};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

on_both_databases! {
    the_log_tells_each_request_and_no_secret,
    a_request_that_has_begun_is_finished_when_the_server_ends,
}

/// Sends a request and answers its status and body.
fn send(stack: &Stack, method: &str, path: &str, bearer: Option<&str>, body: Option<&Value>) -> (u16, Value) {
    let text = body.map(Value::to_string).unwrap_or_default();
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n");
    if let Some(bearer) = bearer {
        request.push_str(&format!("authorization: Bearer {bearer}\r\n"));
    }
    request
        .push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{text}", text.len()));
    let (status, body) = crate::harness::request(stack.api_port, &request).unwrap();
    (status, serde_json::from_str(body.trim()).unwrap_or(Value::Null))
}

fn sign_in(stack: &Stack) -> (Value, String) {
    let wallet = Wallet::new(7);
    let asked = json!({ "wallet_address": wallet.address() });
    let (_, challenge) = send(stack, "POST", "/api/v1/auth/challenge", None, Some(&asked));
    let message = challenge["message"].as_str().unwrap();
    let signature = wallet.sign(message);
    let answer = json!({ "wallet_address": wallet.address(), "message": message, "signature": signature,
        "refresh_token_in_body": true });
    let (status, session) = send(stack, "POST", "/api/v1/auth/verify", None, Some(&answer));
    assert_eq!(status, 200, "{session}");
    (session, signature)
}

fn the_log_tells_each_request_and_no_secret(backend: Backend) {
    let stack = Stack::on(backend);
    let serve = stack.start("serve --without-edge", &[]);
    let (session, signature) = sign_in(&stack);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (access, refresh) = (text(&session["access_token"]), text(&session["refresh_token"]));
    let wanted = json!({ "name": "x", "scopes": ["keys:read"] });
    let (status, made) = send(&stack, "POST", "/api/v1/tokens", Some(&access), Some(&wanted));
    assert_eq!(status, 201);
    let token = text(&made["token"]);
    // Good, wrong in every place where somebody may put one by mistake, and used twice.
    assert_eq!(send(&stack, "GET", "/api/v1/account", Some(&token), None).0, 200);
    assert_eq!(send(&stack, "GET", &format!("/api/v1/{token}"), Some(&refresh), None).0, 404);
    assert_eq!(send(&stack, "GET", &format!("/api/v1/tokens/{token}"), Some(&access), None).0, 404);
    assert_eq!(send(&stack, "GET", &format!("/api/v1/tokens?cursor={refresh}"), Some(&access), None).0, 400);
    assert_eq!(
        send(&stack, "POST", "/api/v1/tokens", Some(&access), Some(&json!({ &token: &refresh }))).0,
        400
    );
    let exchange = json!({ "refresh_token": refresh });
    assert_eq!(send(&stack, "POST", "/api/v1/auth/refresh", None, Some(&exchange)).0, 200);
    assert_eq!(send(&stack, "POST", "/api/v1/auth/refresh", None, Some(&exchange)).0, 401);
    let metrics = stack.get("/metrics").unwrap().1;
    let count = "suiftly_http_answers_total{method=\"POST\",route=\"/api/v1/auth/refresh\",status=\"401\"} 1";
    assert!(metrics.contains(count), "{metrics}");
    drop(serve);

    let log = std::fs::read_to_string(stack.path("serve.log")).unwrap();
    for secret in [&access, &refresh, &token, &signature] {
        // Also not a part of it.
        let part = &secret[secret.len() - 40..];
        assert!(!log.contains(part) && !metrics.contains(part), "a secret stands in the log:\n{log}");
    }
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests: Vec<&Value> = lines.iter().filter(|line| line["message"] == "request").collect();
    assert_eq!(requests.len(), 10, "{log}");
    let made = requests.iter().find(|line| line["http.status"] == 201).unwrap();
    assert_eq!(made["http.route"], "/api/v1/tokens");
    assert_eq!(made["customer.id"], session["customer_id"]);
    assert!(made["request.id"].as_str().unwrap().len() == 16 && made["duration_us"].is_u64(), "{made}");
    let reused = requests.iter().find(|line| line["code"] == "refresh_token_reused");
    assert!(reused.is_some(), "{log}");
    assert!(lines.iter().any(|line| line["message"].as_str().unwrap().contains("used twice")), "{log}");
}

fn a_request_that_has_begun_is_finished_when_the_server_ends(backend: Backend) {
    let stack = Stack::on(backend);
    let serve = stack.start("serve --without-edge", &[]);
    let body = json!({ "wallet_address": Wallet::new(7).address() }).to_string();
    let (first, rest) = body.split_at(20);
    let head = format!(
        "POST /api/v1/auth/challenge HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{first}",
        body.len()
    );
    let mut socket = TcpStream::connect(("127.0.0.1", stack.api_port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    serve.signal(rustix::process::Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    socket.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("wants you to sign in"), "{answer}");
}

#[test]
fn with_a_certificate_it_speaks_tls_only_and_says_so() {
    let stack = Stack::on(Backend::Sqlite);
    let (cert, both) = certificate(stack.state());
    let _serve = stack.start("serve --without-edge", &[("SUIFTLY_API_CERT", &both)]);
    let url = format!("https://127.0.0.1:{}/api/v1/openapi.json", stack.api_port);
    let output = Command::new("curl").args(["-s", "-i", "--cacert", &cert, &url]).output().unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
    assert!(head.contains(" 200") && head.contains("strict-transport-security: max-age=31536000"), "{head}");
    let clear = crate::harness::request(stack.api_port, "GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(clear.is_none_or(|(status, _)| status != 200));
}

#[test]
fn other_machines_are_not_answered_in_clear_text() {
    let stack = Stack::on(Backend::Sqlite);
    let run = |variables: &[(&str, &str)]| {
        let mut command = stack.command("serve --without-edge");
        command.env("SUIFTLY_API_LISTEN", "0.0.0.0").envs(variables.iter().copied());
        command.stdin(Stdio::null()).output().unwrap()
    };
    let refused = run(&[]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(text.contains("SUIFTLY_API_CERT") && text.contains("SUIFTLY_TRUSTED_PROXIES"), "{text}");
    let variables = [("SUIFTLY_API_LISTEN", "0.0.0.0"), ("SUIFTLY_TRUSTED_PROXIES", "192.0.2.1")];
    let _serve = stack.start("serve --without-edge", &variables);
}

/// A certificate for 127.0.0.1, and one file with it and its key.
fn certificate(folder: &Path) -> (String, String) {
    let path = |name: &str| folder.join(name).display().to_string();
    let (key, cert, both) = (path("tls.key"), path("tls.pem"), path("tls-both.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=api.example.com", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", &key, "-out", &cert])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::write(&both, [std::fs::read(&cert).unwrap(), std::fs::read(&key).unwrap()].concat()).unwrap();
    (cert, both)
}
