//! A customer who allows some addresses is served from them and from nowhere else; nobody else notices.

use harness::http::wait_for;
use harness::{Connection, Stack};
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

/// From an address of this machine: the status, and the code of a refusal.
fn from(stack: &Stack, last: u8, line: &str) -> (u16, String) {
    let mut connection = Connection::open_from(Ipv4Addr::new(127, 0, 0, last), stack.edge.number()).unwrap();
    let answer = connection.get(&[line]).unwrap();
    (answer.status, if answer.status == 200 { String::new() } else { answer.code() })
}

fn served() -> (u16, String) {
    (200, String::new())
}

fn not_allowed() -> (u16, String) {
    (403, "address_not_allowed".to_owned())
}

fn allowlist(stack: &Stack, customer: u32, what: &str) -> serde_json::Value {
    stack.admin(&format!("service allowlist --customer {customer} --service seal {what}"))
}

#[test]
fn only_addresses_on_the_list_are_served_from_the_next_request_on_and_others_are_not_affected() {
    let stack = Stack::start();
    let (customer, other) = (stack.customer(1, "seal", "pro"), stack.customer(2, "seal", "pro"));
    let key = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    let other_key = format!("X-API-Key: {}", stack.key(other, "seal").0);
    let port = stack.edge.number();
    let mut kept = Connection::open_from(Ipv4Addr::new(127, 0, 0, 3), port).unwrap();
    assert_eq!(kept.get(&[&key]).unwrap().status, 200);

    // A list that is not checked yet changes nothing.
    let answer = allowlist(&stack, customer, "--set 127.0.0.2,2001:db8::/32");
    assert_eq!((&answer["checked"], &answer["applied"]), (&false.into(), &true.into()));
    assert_eq!(kept.get(&[&key]).unwrap().status, 200);

    let answer = allowlist(&stack, customer, "--on");
    assert_eq!(answer["entries"], serde_json::json!(["127.0.0.2/32", "2001:db8::/32"]));
    let refused = kept.get(&[&key]).unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (403, "address_not_allowed"));
    assert_eq!(refused.json()["title"], "The key may not be used from this address");
    assert_eq!(from(&stack, 2, &key), served());
    assert_eq!(from(&stack, 3, &other_key), served());
    assert_eq!(kept.get(&[&other_key]).unwrap().status, 200);

    allowlist(&stack, customer, "--add 127.0.0.3");
    assert_eq!(kept.get(&[&key]).unwrap().status, 200);
    allowlist(&stack, customer, "--remove 127.0.0.3,127.0.0.2");
    assert_eq!(kept.get(&[&key]).unwrap().code(), "address_not_allowed");
    assert_eq!(from(&stack, 2, &key), not_allowed());
    // What the edge knows and has counted.
    let shown = stack.json(&format!("edge show {customer}"));
    let seal = &shown["workers"][0]["services"]["seal"];
    assert_eq!((&seal["allowlist"], &seal["allowed"]), (&true.into(), &serde_json::json!(["2001:db8::/32"])));
    assert_eq!((&seal["rejected"], &seal["refused"]), (&3.into(), &0.into()));

    // Checked with an empty list admits nobody.
    allowlist(&stack, customer, "--remove 2001:db8::/32");
    assert_eq!(from(&stack, 2, &key), not_allowed());
    allowlist(&stack, customer, "--off");
    assert_eq!(from(&stack, 2, &key), served());
    assert_eq!(kept.get(&[&other_key]).unwrap().status, 200);
}

/// Refused before the limit: it uses none of it up.
#[test]
fn requests_from_elsewhere_use_up_nothing_and_do_not_count_as_failing() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let key = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    allowlist(&stack, customer, "--set 127.0.0.2 --on");
    let mut elsewhere = Connection::open_from(Ipv4Addr::new(127, 0, 0, 3), stack.edge.number()).unwrap();
    for _ in 0..1_000 {
        assert_eq!(elsewhere.get(&[&key]).unwrap().code(), "address_not_allowed");
    }
    let table = stack.runtime("show table seal");
    assert!(table.contains("used:0"), "{table}");
    assert_eq!(from(&stack, 2, &key), served());
}

/// With a look-up that allows nobody.
#[test]
fn only_who_has_a_list_is_looked_up() {
    let mut stack = Stack::prepared(&[]);
    let config = std::fs::read_to_string(harness::repository().join("haproxy/haproxy.cfg")).unwrap();
    let look_up = "src,concat(' ',txn.k),lua.suiftly_allowed";
    assert!(config.contains(look_up));
    stack.use_config(&config.replace(look_up, "int(0)"));
    for child in ["upstream", "serve"] {
        stack.start_child(child);
    }
    stack.wait_until_healthy();
    stack.start_child("haproxy");
    stack.wait_until_ready();
    let (listed, other) = (stack.customer(1, "seal", "pro"), stack.customer(2, "seal", "pro"));
    let [listed_key, other_key] =
        [listed, other].map(|customer| format!("X-API-Key: {}", stack.key(customer, "seal").0));
    assert_eq!(from(&stack, 2, &listed_key), served(), "not checked yet");
    allowlist(&stack, listed, "--set 127.0.0.2 --on");
    assert_eq!((from(&stack, 2, &listed_key), from(&stack, 2, &other_key)), (not_allowed(), served()));
}

#[test]
fn a_list_survives_a_reload_a_kill_of_the_worker_and_edges_that_start_without_the_control_plane() {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let key = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    allowlist(&stack, customer, "--set 127.0.0.2 --on");
    let holds = |stack: &Stack| {
        let served_from = |last| {
            wait_for("an answer", Duration::from_secs(5), || {
                let mut connection =
                    Connection::open_from(Ipv4Addr::new(127, 0, 0, last), stack.edge.number()).ok()?;
                connection.get(&[&key]).ok()
            })
        };
        assert_eq!(served_from(2).status, 200);
        assert_eq!(served_from(3).code(), "address_not_allowed");
    };
    for _ in 0..5 {
        stack.reload();
        holds(&stack);
    }
    stack.kill_worker();
    stack.start_child("haproxy");
    stack.wait_until_ready();
    holds(&stack);
    // From the journal alone.
    stack.stop_child("serve");
    stack.stop_child("haproxy");
    let journal = std::fs::read_to_string(stack.state().join("maps/changes.journal")).unwrap();
    assert!(journal.contains(&format!("+a:{customer}:seal:127.0.0.2/32")), "{journal}");
    stack.start_child("haproxy");
    holds(&stack);
    // And from the table's file, which the next start of the control plane writes.
    stack.stop_child("haproxy");
    stack.start_child("serve");
    wait_for("the file", Duration::from_secs(5), || {
        let text = std::fs::read_to_string(stack.state().join("maps/allowlists.map")).ok()?;
        text.contains(&format!("{customer} seal 127.0.0.2/32")).then_some(())
    });
    stack.stop_child("serve");
    stack.start_child("haproxy");
    holds(&stack);
}

/// Each reload reads files that are being changed, and each change is confirmed only when every worker has it.
#[test]
fn a_change_that_was_confirmed_during_a_reload_holds_for_the_next_request() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let key = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    allowlist(&stack, customer, "--set 127.0.0.2 --on");
    for round in 0..10 {
        stack.master("reload");
        let (allowed, closed) = if round % 2 == 0 { (3, 2) } else { (2, 3) };
        let answer = allowlist(&stack, customer, &format!("--set 127.0.0.{allowed}"));
        assert_eq!(answer["applied"], true, "{answer}");
        assert_eq!(from(&stack, closed, &key), not_allowed(), "round {round}");
        assert_eq!(from(&stack, allowed, &key), served(), "round {round}");
    }
}

#[test]
fn a_hand_edit_of_the_file_is_put_back_and_a_damaged_or_missing_one_refuses_the_start() {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    allowlist(&stack, customer, "--set 127.0.0.2 --on");
    stack.json("edge resync");
    let path = stack.state().join("maps/allowlists.map");
    let good = std::fs::read_to_string(&path).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(&path, good.replace("127.0.0.2/32", "0.0.0.0/0")).unwrap();
    wait_for("the file as it was", Duration::from_secs(5), || {
        std::fs::read_to_string(&path).unwrap().contains("127.0.0.2/32").then_some(())
    });
    let log = std::fs::read_to_string(stack.log_path("serve")).unwrap();
    assert!(
        log.lines().any(|line| line.contains("allowlists.map") && line.contains("service allowlist")),
        "{log}"
    );
    stack.stop_child("serve");
    for (text, expected) in [
        (good.replace("127.0.0.2/32", "0.0.0.0/0"), "checksum"),
        (good.replace("127.0.0.2/32", "127.0.0.2/8"), "line 3: `127.0.0.2/8` has bits set after its length"),
    ] {
        std::fs::write(&path, text).unwrap();
        let (fits, printed) = stack.check_config();
        assert!(
            !fits && printed.contains("allowlists.map: line 3") && printed.contains(expected),
            "{printed}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    let (fits, printed) = stack.check_config();
    assert!(!fits && printed.contains("allowlists.map: cannot be read"), "{printed}");
}

/// What an edge of the version before left behind: no such file, and nobody with a list.
#[test]
fn an_edge_starts_with_the_files_of_a_version_before_allowlists() {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let key = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    stack.stop_child("serve");
    stack.stop_child("haproxy");
    std::fs::remove_file(stack.state().join("maps/allowlists.map")).unwrap();
    stack.start_child("haproxy");
    let answer = wait_for("an answer", Duration::from_secs(5), || {
        Connection::open(stack.edge.number()).ok()?.get(&[&key]).ok()
    });
    assert_eq!(answer.status, 200);
    stack.start_child("serve");
    stack.wait_until_ready();
    assert!(stack.state().join("maps/allowlists.map").exists());
    allowlist(&stack, customer, "--set 127.0.0.2 --on");
    assert_eq!((from(&stack, 2, &key), from(&stack, 3, &key)), (served(), not_allowed()));
}

fn curl(arguments: &[&str]) -> String {
    let form = ["-s", "-m", "5", "-o", "-", "-w", " %{http_code} %{http_version}"];
    let mut output = Command::new("curl").args(form).args(arguments).output().unwrap().stdout;
    output.retain(|byte| *byte != b'\n');
    String::from_utf8(output).unwrap()
}

/// Over IPv6, and over both versions of HTTP.
#[test]
fn ipv6_callers_and_http_2_are_asked_alike() {
    let mut stack = Stack::prepared(&[]);
    let config = std::fs::read_to_string(harness::repository().join("haproxy/haproxy.cfg")).unwrap();
    let bind = "    bind \"${SUIFTLY_EDGE_LISTEN}:${SUIFTLY_EDGE_PORT}\" v6only\n";
    assert!(config.contains(bind));
    stack.use_config(&config.replacen(
        bind,
        &format!("{bind}    bind \"::1:${{SUIFTLY_EDGE_PORT}}\" v6only\n"),
        1,
    ));
    for child in ["upstream", "serve"] {
        stack.start_child(child);
    }
    stack.wait_until_healthy();
    stack.start_child("haproxy");
    stack.wait_until_ready();
    let customer = stack.customer(1, "seal", "pro");
    let key = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    let port = stack.edge.number();
    let (v4, v6) = (format!("http://127.0.0.1:{port}/"), format!("http://[::1]:{port}/"));
    for (list, served_by, refused_by) in [("::1", &v6, &v4), ("127.0.0.0/8", &v4, &v6), ("::/0", &v6, &v4)] {
        allowlist(&stack, customer, &format!("--set {list} --on"));
        for (version, shown) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
            let good = curl(&[version, "-H", &key, served_by]);
            assert!(good.ends_with(&format!(" 200 {shown}")), "{list}: {good}");
            let bad = curl(&[version, "-H", &key, refused_by]);
            let ending = format!(" 403 {shown}");
            assert!(bad.ends_with(&ending) && bad.contains("address_not_allowed"), "{list}: {bad}");
        }
    }
    let grpc = curl(&[
        "--http2-prior-knowledge",
        "-D",
        "-",
        "-X",
        "POST",
        "-H",
        &key,
        "-H",
        "content-type: application/grpc",
        &v4,
    ]);
    let said = ["grpc-status: 7", "grpc-message: address_not_allowed", " 200 2"];
    assert!(said.iter().all(|words| grpc.contains(words)), "{grpc}");
}
