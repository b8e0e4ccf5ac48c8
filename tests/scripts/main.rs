//! `scripts/run` as a person runs it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use harness::http::{Connection, wait_for};
use harness::ports::Port;
use harness::repository;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

struct Run {
    child: Child,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Run {
    fn start(state: &std::path::Path, ports: &[Port; 4]) -> Self {
        Self::start_with(&[], state, ports)
    }

    fn start_with(arguments: &[&str], state: &std::path::Path, ports: &[Port; 4]) -> Self {
        let mut command = command(arguments, state, ports);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&printed);
        let reader = move || {
            for line in BufReader::new(stdout).lines() {
                lines.lock().unwrap().push(line.unwrap());
            }
        };
        std::thread::Builder::new().spawn(reader).unwrap();
        let run = Self { child, printed };
        wait_for("the line `ready`", Duration::from_secs(300), || run.line(|line| line == "ready"));
        run
    }

    fn line(&self, matches: impl Fn(&str) -> bool) -> Option<String> {
        self.printed.lock().unwrap().iter().find(|line| matches(line)).cloned()
    }

    fn demo_key(&self) -> String {
        let curl = self.line(|line| line.contains("curl -i")).expect("a curl line is printed");
        curl.split("Bearer ").nth(1).unwrap().split('\'').next().unwrap().to_owned()
    }

    /// Asks it to end with this signal; how long it took.
    fn stop(mut self, signal: rustix::process::Signal) -> Duration {
        let start = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        self.child.wait().unwrap();
        start.elapsed()
    }
}

fn command(arguments: &[&str], state: &std::path::Path, ports: &[Port; 4]) -> Command {
    let mut command = Command::new(repository().join("scripts/run"));
    command.args(arguments).env("SUIFTLY_STATE", state).stdin(Stdio::null()).stderr(Stdio::inherit());
    let names = ["SUIFTLY_EDGE_PORT", "SUIFTLY_API_PORT", "SUIFTLY_STATS_PORT", "SUIFTLY_UPSTREAM_PORT"];
    for (name, port) in names.iter().zip(ports) {
        command.env(name, port.number().to_string());
    }
    // What cargo tells a test of its package: `ring` builds itself anew when that changes, and everything above it with it.
    for (name, _) in std::env::vars_os() {
        let is_of_package =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_of_package) {
            command.env_remove(name);
        }
    }
    command
}

fn status(port: &Port, key: &str) -> Option<u16> {
    Some(Connection::open(port.number()).ok()?.get(&[&format!("Authorization: Bearer {key}")]).ok()?.status)
}

#[test]
fn run_serves_restarts_a_killed_haproxy_within_a_second_keeps_its_demo_key_and_leaves_nothing_behind() {
    let folder = tempfile::Builder::new().prefix("sr").tempdir_in("/tmp").unwrap();
    let state = folder.path().join("state");
    let ports = [(); 4].map(|()| Port::take());
    let run = Run::start(&state, &ports);
    let key = run.demo_key();
    assert_eq!(status(&ports[0], &key), Some(200), "the printed curl line works");

    for kill in 1..=3 {
        let master = std::fs::read_to_string(state.join("haproxy.pid")).unwrap();
        let workers = Command::new("pgrep").args(["-P", master.trim()]).output().unwrap();
        let worker = String::from_utf8(workers.stdout).unwrap();
        let killed = Instant::now();
        assert!(Command::new("kill").args(["-KILL", worker.trim()]).status().unwrap().success());
        std::thread::sleep(Duration::from_millis(20));
        wait_for("serving again", Duration::from_secs(5), || {
            (status(&ports[0], &key) == Some(200)).then_some(())
        });
        println!("kill {kill}: serves again after {:?}", killed.elapsed());
        assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    }

    let took = run.stop(rustix::process::Signal::TERM);
    assert!(took < Duration::from_secs(10), "it took {took:?} to end");
    for port in &ports {
        assert!(Connection::open(port.number()).is_err(), "something still listens on {}", port.number());
    }
    let left = Command::new("pgrep").args(["-f", state.to_str().unwrap()]).output().unwrap();
    assert!(left.stdout.is_empty(), "left behind: {}", String::from_utf8_lossy(&left.stdout));

    let again = Run::start(&state, &ports);
    assert_eq!(again.demo_key(), key, "the demo key is made once");
    assert_eq!(status(&ports[0], &key), Some(200));
    let took = again.stop(rustix::process::Signal::INT);
    assert!(took < Duration::from_secs(10), "it took {took:?} to end");
}

#[test]
fn run_demo_shows_a_month_that_it_made_and_is_refused_beside_anything_else() {
    let folder = tempfile::Builder::new().prefix("sd").tempdir_in("/tmp").unwrap();
    let state = folder.path().join("state");
    let ports = [(); 4].map(|()| Port::take());
    let run = Run::start_with(&["--demo"], &state, &ports);
    assert_eq!(status(&ports[0], &run.demo_key()), Some(200), "the edge serves");
    assert!(run.line(|line| line.contains("THIS IS DEMO DATA")).is_some());
    let activity = run.line(|line| line.contains("/api/v1/activity")).expect("how to ask the API is printed");
    let token = activity.split("Bearer ").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let mut api = Connection::open(ports[1].number()).unwrap();
    let answer =
        api.send("GET", "/api/v1/activity", &[&format!("Authorization: Bearer {token}")], b"").unwrap();
    assert_eq!(answer.status, 200);
    assert!(!answer.json()["items"].as_array().unwrap().is_empty(), "{answer:?}");
    run.stop(rustix::process::Signal::TERM);

    // A state that holds anything else: an ordinary stack's.
    let other = folder.path().join("other");
    Run::start(&other, &ports).stop(rustix::process::Signal::TERM);
    let refused = command(&["--demo"], &other, &ports).stdout(Stdio::null()).status().unwrap();
    assert_eq!(refused.code(), Some(4));
    assert!(Connection::open(ports[0].number()).is_err(), "nothing was started");
}
