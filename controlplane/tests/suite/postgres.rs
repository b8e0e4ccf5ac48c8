//! `suiftly serve` and `suiftly admin` on PostgreSQL: what is there only with a server.

use crate::harness::{Backend, Stack, TestDatabase};
use controlplane::changes::listener;
use controlplane::config::DatabaseConfig;
use controlplane::db::Database;
use controlplane::domain::RevocationSource;
use controlplane::domain::revocations::revoke;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Commits a revocation as a program elsewhere does: nothing of ours is told of it but the database.
fn revoke_elsewhere(config: &DatabaseConfig, number: u32) -> String {
    let name = format!("41000001{number:08X}");
    let fingerprint = apikey::Fingerprint::from_u64(0x4100_0001_0000_0000 | u64::from(number));
    let mut database = Database::open_again(config).unwrap();
    revoke(&mut database, &[fingerprint.try_into().unwrap()], RevocationSource::Operator, 0).unwrap();
    name
}

fn until(what: &str, limit: Duration, is_so: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

#[test]
fn a_commit_of_another_process_reaches_the_worker_within_500_ms() {
    if !crate::harness::haproxy_is_there() {
        return;
    }
    let stack = Stack::on(Backend::Postgres);
    let _serve = stack.serve();
    let _haproxy = stack.haproxy();
    stack.wait_until("the edge is in step", || stack.get("/readyz").is_some_and(|(status, _)| status == 200));
    let config = &stack.database().config;
    // In step the agent looks once a second by itself: eight in a row within half of that are no luck.
    for number in 1..=8 {
        let name = revoke_elsewhere(config, number);
        let told = || {
            let journal = std::fs::read_to_string(stack.path("maps/changes.journal")).unwrap_or_default();
            journal.contains(&name)
        };
        until(&name, Duration::from_millis(500), told);
        let confirmed = || stack.metric("suiftly_edge_sequence") == i64::from(number);
        until("the worker has it", Duration::from_secs(5), confirmed);
        // Not in step with the tick.
        std::thread::sleep(Duration::from_millis(u64::from(number) * 130 % 700));
    }
    // Reads the database apart from the agent.
    let diff = stack.run("edge diff --json");
    assert_eq!(diff.code, 0, "{} {}", diff.stdout, diff.stderr);
}

#[test]
fn admin_on_another_machine_is_followed_by_every_serve_on_the_database() {
    let stack = Stack::on(Backend::Postgres);
    let other = Stack::new();
    let _serve = stack.serve();
    let log = std::fs::File::create(other.path("serve.log")).unwrap();
    let mut command = other.command("serve");
    command
        .env("DATABASE_URL", &stack.database().url)
        .env("SUIFTLY_EDGE_ID", "other")
        .stdout(std::process::Stdio::null())
        .stderr(log);
    let _other_serve = crate::harness::Running(command.spawn().unwrap());
    other.wait_until("the other serve answers", || other.get("/healthz").is_some());
    // A state folder of its own, so that no control.sock is there to be poked.
    let elsewhere = Stack::new();
    let output = elsewhere
        .command("admin key revoke --fingerprint 4100000112345678 --no-wait --json")
        .env("DATABASE_URL", &stack.database().url)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for serve in [&stack, &other] {
        serve.wait_until("its journal has the revocation", || {
            std::fs::read_to_string(serve.path("maps/changes.journal")).unwrap().contains("4100000112345678")
        });
    }
}

#[test]
fn serve_goes_on_after_the_server_has_cut_every_connection() {
    let stack = Stack::on(Backend::Postgres);
    let _serve = stack.serve();
    for number in 1..=2 {
        stack.database().cut_every_session();
        let name = revoke_elsewhere(&stack.database().config, number);
        stack.wait_until("its journal has the revocation", || {
            std::fs::read_to_string(stack.path("maps/changes.journal")).unwrap().contains(&name)
        });
        let (_, body) = stack.get("/readyz").unwrap();
        assert!(body.contains(&format!("\"database_sequence\":{number}")), "{body}");
    }
    let heard_again = || {
        let log = std::fs::read_to_string(stack.path("serve.log")).unwrap();
        log.contains("changes of other processes are heard again")
    };
    stack.wait_until("it hears again", heard_again);
}

#[test]
fn the_listener_wakes_at_a_commit_survives_a_cut_and_ends_when_it_should() {
    let place = TestDatabase::new(Backend::Postgres);
    drop(place.open());
    let DatabaseConfig::Postgres(url) = place.config.clone() else { panic!("{}", place.config) };
    let (stopping, woken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&woken);
    let wake = move || {
        count.fetch_add(1, Ordering::SeqCst);
    };
    let thread = listener::start(url, Arc::clone(&stopping), wake).unwrap();
    let woken_at_least =
        |times: u32| until("it is woken", Duration::from_secs(5), || woken.load(Ordering::SeqCst) >= times);
    // Once for what was before it.
    woken_at_least(1);
    revoke_elsewhere(&place.config, 1);
    assert!(woken_at_least(2) < Duration::from_millis(500));
    place.cut_every_session();
    // Missed while it was away, so it wakes when it is back.
    revoke_elsewhere(&place.config, 2);
    woken_at_least(3);
    stopping.store(true, Ordering::SeqCst);
    until("it ends", Duration::from_millis(500), || thread.is_finished());
}

#[test]
fn a_url_that_leads_nowhere_is_said_without_the_password_and_a_wrong_one_is_2() {
    let stack = Stack::new();
    let run = |url: &str, line: &str| {
        let output = stack.command(line).env("DATABASE_URL", url).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(!said.contains("geheim"), "{said}");
        (output.status.code().unwrap(), said)
    };
    for line in ["serve", "admin key list --customer 1 --json"] {
        let (code, said) = run("postgres://u:geheim@/d?host=/nonexistent", line);
        assert_eq!(code, 1);
        assert!(said.contains("the database postgres://u@/d?host=/nonexistent cannot be opened: "), "{said}");
        for (url, words) in [
            ("postgres://u:geheim@h", "name the database"),
            ("postgres://u:ge/heim@h/d", "write @ as %40"),
            ("postgresq://u:geheim@h/d", "does not begin with a known scheme"),
        ] {
            let (code, said) = run(url, line);
            assert_eq!(code, 2, "{said}");
            assert!(said.contains("DATABASE_URL") && said.contains(words), "{said}");
        }
    }
}
