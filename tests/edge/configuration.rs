//! What `haproxy.cfg` promises to its readers.

use harness::{Stack, repository};

fn config() -> String {
    std::fs::read_to_string(repository().join("haproxy/haproxy.cfg")).unwrap()
}

#[test]
fn haproxy_accepts_the_configuration_without_a_warning() {
    let stack = Stack::prepared(&[]);
    let (accepted, printed) = stack.check_config();
    assert!(accepted, "{printed}");
    assert!(!printed.contains("WARNING") && !printed.contains("ALERT"), "{printed}");
}

#[test]
fn the_module_is_asked_in_exactly_one_rule_and_only_that_rule_sets_txn_k() {
    let config = config();
    let rules: Vec<&str> = config.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect();
    let asking: Vec<&&str> = rules.iter().filter(|rule| rule.contains("lua.suiftly_auth")).collect();
    assert_eq!(asking, [&"http-request set-var(txn.k) req.fhdr(authorization),lua.suiftly_auth"]);
    assert_eq!(rules.iter().filter(|rule| rule.contains("set-var(txn.k)")).count(), 1);
}

#[test]
fn the_blocks_stand_in_the_order_in_which_a_request_meets_them() {
    let config = config();
    let mut position = 0;
    for block in [
        "# --- load",
        "# --- log",
        "# --- listen",
        "# --- health",
        "# --- CORS preflight",
        "# --- authenticate",
        "# --- route",
        "# --- failing sources, and",
        "# --- refuse:",
        "# --- limit",
        "# --- track",
    ] {
        let found = config[position..]
            .find(block)
            .unwrap_or_else(|| panic!("{block} does not stand after the one before"));
        position += found;
    }
}

#[test]
fn what_is_loaded_writes_nothing_into_the_state() {
    let stack = Stack::prepared(&[]);
    let snapshot = || {
        let mut files: Vec<_> =
            walk(stack.state()).into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
        files.sort_by(|a, b| a.1.cmp(&b.1));
        files
    };
    let before = snapshot();
    assert!(stack.check_config().0);
    assert_eq!(before, snapshot(), "haproxy -c changed something");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .filter(|path| path.is_file())
        .collect()
}

#[test]
fn statistics_and_metrics_answer_on_their_own_port_only() {
    let stack = Stack::start();
    let get = |port: u16, target: &str| {
        harness::Connection::open(port).unwrap().send("GET", target, &[], b"").unwrap()
    };
    let metrics = get(stack.stats.number(), "/metrics");
    assert_eq!(metrics.status, 200);
    assert!(String::from_utf8_lossy(&metrics.body).contains("haproxy_process_build_info"));
    assert_eq!(get(stack.stats.number(), "/").status, 200);
    assert_eq!(get(stack.edge.number(), "/metrics").status, 401);
}

#[test]
fn statistics_beyond_loopback_need_a_password_and_a_named_address() {
    let (accepted, printed) = Stack::prepared(&[("SUIFTLY_STATS_LISTEN", "0.0.0.0")]).check_config();
    assert!(!accepted && printed.contains("SUIFTLY_STATS_PASSWORD"), "{printed}");
    let get = |allow: &str, lines: &[&str]| {
        let stack = Stack::start_with(&[
            ("SUIFTLY_STATS_LISTEN", "0.0.0.0"),
            ("SUIFTLY_STATS_PASSWORD", "correct horse"),
            ("SUIFTLY_STATS_ALLOW", allow),
        ]);
        harness::Connection::open(stack.stats.number())
            .unwrap()
            .send("GET", "/metrics", lines, b"")
            .unwrap()
            .status
    };
    // operator:correct horse
    let good = ["Authorization: Basic b3BlcmF0b3I6Y29ycmVjdCBob3JzZQ=="];
    assert_eq!(get("127.0.0.1 192.0.2.0/24", &good), 200);
    assert_eq!(get("127.0.0.1", &[]), 401);
    assert_eq!(get("192.0.2.0/24", &good), 403);
}

#[test]
fn the_control_plane_shows_what_the_module_counts() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    for _ in 0..5 {
        assert_eq!(stack.status_with(&key), 200);
    }
    stack.status_with("nonsense");
    let seen = harness::http::wait_for("the counts", std::time::Duration::from_secs(5), || {
        let answer =
            harness::Connection::open(stack.api.number()).ok()?.send("GET", "/metrics", &[], b"").ok()?;
        let text = String::from_utf8(answer.body).ok()?;
        let pid = stack.worker_pids()[0];
        let lines = [
            format!("suiftly_worker_admitted_total{{pid=\"{pid}\"}} 5"),
            format!("suiftly_worker_refused_total{{pid=\"{pid}\",reason=\"malformed\"}} 1"),
            "suiftly_edge_behind_seconds 0".to_owned(),
        ];
        lines.iter().all(|line| text.contains(line.as_str())).then_some(text)
    });
    assert!(seen.contains("suiftly_worker_panics_total"));
}
