//! `suiftly agent`: edges on other machines, each with its HAProxy, its state folder and its token, following one control
//! plane over HTTP.

use crate::harness::{Backend, Running, Stack, on_both_databases, request};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

on_both_databases! {
    a_change_is_confirmed_by_every_edge_and_who_is_away_is_named,
    an_edge_that_is_cut_off_goes_on_and_catches_up,
    only_the_token_of_an_edge_opens_the_stream,
    edges_are_resynced_and_compared_from_afar,
}

/// The control plane, and how edges find it.
struct Control {
    stack: Stack,
    serve: Option<Running>,
    ca_file: Option<PathBuf>,
}

impl Control {
    fn start(backend: Backend) -> Option<Self> {
        if !crate::harness::haproxy_is_there() {
            return None;
        }
        let stack = Stack::on(backend);
        let serve = Some(stack.start("serve --without-edge", &[]));
        Some(Self { stack, serve, ca_file: None })
    }

    fn admin(&self, line: &str) -> crate::harness::Answer {
        self.stack.run(&format!("admin {line} --json"))
    }

    fn url(&self) -> String {
        let scheme = if self.ca_file.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.stack.api_port)
    }

    fn edges(&self) -> Vec<Value> {
        let answer = self.stack.run("edge status --json");
        answer.json()["edges"].as_array().unwrap().clone()
    }
}

/// An edge: HAProxy with the stand-in module and an agent alone.
struct Edge {
    stack: Stack,
    haproxy: Option<Running>,
    agent: Option<Running>,
}

impl Edge {
    fn new(control: &Control, name: &str) -> Self {
        let token = control.admin(&format!("edge add --name {name}")).json_with(0)["token"].clone();
        let mut edge = Self { stack: Stack::new(), haproxy: None, agent: None };
        edge.keep_token(token.as_str().unwrap());
        edge.start_agent(control);
        edge.stack
            .wait_until("the first snapshot is there", || edge.stack.path("maps/changes.journal").exists());
        edge.haproxy = Some(edge.stack.haproxy());
        edge.stack.wait_until("the edge is in step", || edge.is_in_step());
        edge
    }

    fn keep_token(&self, token: &str) {
        let file = self.stack.path("token");
        std::fs::write(&file, token).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn start_agent(&mut self, control: &Control) {
        let mut line = format!(
            "agent --control-plane {} --token-file {}",
            control.url(),
            self.stack.path("token").display()
        );
        if let Some(file) = &control.ca_file {
            line.push_str(&format!(" --ca-file {}", file.display()));
        }
        self.agent = Some(self.stack.start(&line, &[]));
    }

    fn is_in_step(&self) -> bool {
        self.stack.get("/readyz").is_some_and(|(status, _)| status == 200)
    }

    fn status(&self) -> Value {
        self.stack.run("edge status --json").json()["edges"][0].clone()
    }

    /// What its worker says that it has.
    fn revocations(&self) -> u64 {
        let worker = *self.stack.workers().current.first().unwrap();
        self.stack.status(worker)["revocations"]["count"].as_u64().unwrap()
    }
}

fn revoke(number: u32) -> String {
    format!("key revoke --fingerprint 41000001{number:08X}")
}

fn a_change_is_confirmed_by_every_edge_and_who_is_away_is_named(backend: Backend) {
    let Some(control) = Control::start(backend) else { return };
    control.admin("edge add --name never-seen").json_with(0);
    let (fra, mut nyc) = (Edge::new(&control, "fra1"), Edge::new(&control, "nyc1"));
    // Everything that the answer says is so when it is there: no waiting here.
    for number in 1..=5 {
        let answer = control.admin(&revoke(number)).json_with(0);
        assert_eq!(answer["applied"], true, "{answer}");
        assert_eq!((fra.revocations(), nyc.revocations()), (number.into(), number.into()));
    }
    nyc.agent.take().unwrap().terminate();
    let answer = control.admin(&format!("{} --wait-limit 1", revoke(6))).json_with(5);
    assert_eq!(answer["waiting_for"], serde_json::json!(["nyc1"]), "{answer}");
    assert_eq!(fra.revocations(), 6);
    // Everything there is, its own restart included, without a word from anybody.
    nyc.start_agent(&control);
    nyc.stack.wait_until("the edge catches up", || nyc.revocations() == 6);
    control.admin(&revoke(7)).json_with(0);
    let edges = control.edges();
    let names: Vec<&str> = edges.iter().map(|edge| edge["edge"].as_str().unwrap()).collect();
    assert_eq!(names, ["fra1", "nyc1"]);
    for edge in &edges {
        assert_eq!((&edge["in_step"], &edge["sequence"]), (&true.into(), &7.into()), "{edge}");
        assert!(
            edge["workers"][0]["haproxy"].as_str().is_some_and(|version| version.contains('.')),
            "{edge}"
        );
    }
    let (status, text) = control.stack.get("/metrics").unwrap();
    assert_eq!(status, 200);
    assert!(text.contains("suiftly_edges_sequence{edge=\"fra1\"} 7"), "{text}");
    // An edge that is gone for good is not waited for.
    drop(nyc.agent.take());
    control.admin("edge remove --name nyc1").json_with(0);
    control.admin(&revoke(8)).json_with(0);
    let (_, body) = control.stack.get("/readyz").unwrap();
    assert!(body.contains("\"edges\":1") && body.contains("\"edges_lagging\":[]"), "{body}");
}

fn an_edge_that_is_cut_off_goes_on_and_catches_up(backend: Backend) {
    let Some(mut control) = Control::start(backend) else { return };
    let mut edge = Edge::new(&control, "fra1");
    for number in 1..=3 {
        control.admin(&revoke(number)).json_with(0);
    }
    drop(control.serve.take());
    edge.stack.wait_until("it says that it is cut off", || !edge.is_in_step());
    let status = edge.status();
    assert!(status["last_error"].as_str().is_some_and(|error| error.contains("cut off")), "{status}");
    edge.stack.wait_until("it says for how long", || edge.stack.metric("suiftly_edge_behind_seconds") > 0);
    // A restarted agent begins with its own files, repairs them, and keeps its workers what they should be.
    edge.agent.take().unwrap().terminate();
    let revocations = edge.stack.path("maps/revocations.map");
    edge.start_agent(&control);
    edge.stack.wait_until("the agent says how it stands", || {
        edge.stack.run("edge status --json").code == 5 && edge.status()["workers"][0]["sequence"] == 3
    });
    let as_it_was = std::fs::read_to_string(&revocations).unwrap();
    std::fs::write(&revocations, "edited\n").unwrap();
    edge.stack
        .wait_until("the file is put back", || std::fs::read_to_string(&revocations).unwrap() == as_it_was);
    edge.haproxy = None;
    edge.haproxy = Some(edge.stack.haproxy());
    edge.stack.wait_until("a new HAProxy is given what the edge has", || edge.revocations() == 3);
    control.serve = Some(control.stack.start("serve --without-edge", &[]));
    let waited = control.admin(&revoke(4)).json_with(0);
    assert_eq!(waited["applied"], true, "{waited}");
    assert_eq!(edge.revocations(), 4);
    edge.stack.wait_until("it is in step again", || edge.is_in_step());
}

/// Status and body of a `GET` with this token.
fn ask(control: &Control, path: &str, token: &str) -> (u16, String) {
    let field = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    let head = format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{field}\r\n");
    request(control.stack.api_port, &head).unwrap()
}

fn only_the_token_of_an_edge_opens_the_stream(backend: Backend) {
    let Some(control) = Control::start(backend) else { return };
    let add = |name: &str| {
        control.admin(&format!("edge add --name {name}")).json_with(0)["token"].as_str().unwrap().to_owned()
    };
    let (good, removed, old) = (add("fra1"), add("nyc1"), add("sin1"));
    control.admin("edge remove --name nyc1").json_with(0);
    let renewed = control.admin("edge renew-token --name sin1").json_with(0)["token"].clone();
    let operator = control.admin("token create --name on-call").json_with(0)["token"].clone();
    let path = "/api/v1/edge/changes";
    for token in [&good, renewed.as_str().unwrap()] {
        let (status, body) = ask(&control, path, token);
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("\"format\":1") && body.contains("\"sha256\":"), "{body}");
    }
    for token in ["", &removed, &old, operator.as_str().unwrap(), &good[1..]] {
        assert_eq!(ask(&control, path, token).0, 401);
    }
    // An edge's token does nothing else.
    let head = format!(
        "POST /api/v1/operator/keys/4100000112345678/revoke HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\
         content-length: 0\r\nauthorization: Bearer {good}\r\n\r\n"
    );
    assert_eq!(request(control.stack.api_port, &head).unwrap().0, 401);
    for query in ["?stream=zz&after=1", "?after=1", "?stream=0000000000000001", "?wait_ms=31000", "?x=1"] {
        assert_eq!(ask(&control, &format!("{path}{query}"), &good).0, 400, "{query}");
    }
    let report = |body: &str| {
        let head = format!(
            "POST /api/v1/edge/report HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: {}\r\n\
             authorization: Bearer {good}\r\n\r\n{body}",
            body.len()
        );
        request(control.stack.api_port, &head).unwrap().0
    };
    assert_eq!((report("{}"), report("not JSON"), report(&"x".repeat(70_000))), (400, 400, 413));
    control.admin("edge add --name fra1").fails(4, "renew-token");
    control.admin("edge remove --name nobody").fails(3, "edge list");
    let listed = control.admin("edge list").json_with(0);
    let states: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|edge| edge["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["never heard", "removed", "never heard"], "{listed}");
    for token in [&good, &removed, &old] {
        assert!(!control.stack.logs().contains(token.as_str()), "a token stands in a log");
    }
    // Agents say what is wrong with a token, and where to get another.
    let stack = Stack::new();
    let edge = Edge { stack, haproxy: None, agent: None };
    edge.keep_token(&old);
    let mut edge = Edge { agent: None, ..edge };
    edge.start_agent(&control);
    edge.stack.wait_until("the refusal is logged", || {
        std::fs::read_to_string(edge.stack.path("serve.log")).unwrap().contains("admin edge renew-token")
    });
}

fn edges_are_resynced_and_compared_from_afar(backend: Backend) {
    let Some(control) = Control::start(backend) else { return };
    let edge = Edge::new(&control, "fra1");
    control.admin(&revoke(1)).json_with(0);
    let loads = edge.stack.metric("suiftly_edge_loads_total");
    let answer = control.stack.run("edge resync --edge fra1 --json").json_with(0);
    assert_eq!((&answer["applied"], &answer["edges"][0]["edge"]), (&true.into(), &"fra1".into()), "{answer}");
    assert!(edge.stack.metric("suiftly_edge_loads_total") > loads, "nothing was loaded");
    control.stack.run("edge resync --edge nobody --json").fails(1, "edge status");
    assert_eq!(control.stack.run("edge diff --json").json_with(0)["differences"], serde_json::json!([]));
    // Somebody takes an entry out of a worker behind everybody's back: the agent puts it right by itself.
    let worker = *edge.stack.workers().current.first().unwrap();
    let status = edge.stack.status(worker);
    let (stream, sequence) = (status["stream"].as_str().unwrap(), status["sequence"].as_u64().unwrap());
    assert_eq!(sequence, 1, "{status}");
    assert!(!stream.is_empty());
    edge.stack.run("edge resync --json").json_with(0);
    assert_eq!(edge.revocations(), 1);
}

fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (key, cert) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.pem")));
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
        .args(["-subj", "/CN=control.example.com", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let both = folder.join(format!("{name}-both.pem"));
    std::fs::write(&both, [std::fs::read(&cert).unwrap(), std::fs::read(&key).unwrap()].concat()).unwrap();
    (both, cert)
}

#[test]
fn through_tls_an_agent_believes_only_the_certificate_that_it_was_given() {
    if !crate::harness::haproxy_is_there() {
        return;
    }
    let stack = Stack::new();
    let (both, cert) = certificate(stack.state(), "good");
    let (_, other) = certificate(stack.state(), "other");
    let serve = stack.start("serve --without-edge", &[("SUIFTLY_API_CERT", both.to_str().unwrap())]);
    let mut control = Control { stack, serve: Some(serve), ca_file: Some(cert) };
    let mut edge = Edge::new(&control, "fra1");
    control.admin(&revoke(1)).json_with(0);
    assert_eq!(edge.revocations(), 1);
    edge.agent.take().unwrap().terminate();
    control.ca_file = Some(other);
    edge.start_agent(&control);
    edge.stack.wait_until("the other certificate is refused", || {
        let log = std::fs::read_to_string(edge.stack.path("serve.log")).unwrap();
        log.contains("cut off from the control plane") && log.contains("certificate")
    });
    control.admin(&format!("{} --wait-limit 1", revoke(2))).json_with(5);
    assert_eq!(edge.revocations(), 1);
}

#[test]
fn settings_that_cannot_work_are_refused_at_once() {
    let stack = Stack::new();
    let token = stack.path("token");
    let refused = |line: &str, words: &str| {
        let answer = stack.run(line);
        assert_eq!(answer.code, 2, "{line}: {}", answer.stderr);
        assert!(answer.stderr.contains(words), "{line}: {}", answer.stderr);
    };
    let with = |url: &str| format!("agent --control-plane {url} --token-file {}", token.display());
    refused(&with("http://control.example.com"), "https://");
    refused(&with("https://control.example.com"), "token");
    std::fs::write(&token, "suiftly_edge_").unwrap();
    refused(&with("https://control.example.com"), "chmod 600");
    refused("agent --token-file x", "--control-plane");
}
