//! Behind other proxies: the address that a configured proxy saw counts, and what a caller claims never does.

use harness::{Connection, Stack};
use std::net::Ipv4Addr;
use std::process::Command;

struct Behind {
    stack: Stack,
    key: String,
    customer: u32,
}

/// An edge that trusts 127.0.0.2 and 10.0.0.0/8, with a customer whose list has only 203.0.113.7 and 2001:db8::/32.
fn behind_proxies() -> Behind {
    let stack = Stack::start_with(&[("SUIFTLY_TRUSTED_PROXIES", "127.0.0.2 10.0.0.0/8")]);
    let customer = stack.customer(1, "seal", "pro");
    let key = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    let list = "--set 203.0.113.7,2001:db8::/32 --on";
    stack.admin(&format!("service allowlist --customer {customer} --service seal {list}"));
    Behind { stack, key, customer }
}

impl Behind {
    fn connect(&self, last: u8) -> Connection {
        Connection::open_from(Ipv4Addr::new(127, 0, 0, last), self.stack.edge.number()).unwrap()
    }

    /// Whether a request with these `X-Forwarded-For` fields is served, sent from 127.0.0.`last`.
    fn is_served(&self, last: u8, fields: &[&str]) -> bool {
        let lines: Vec<String> = fields.iter().map(|value| format!("X-Forwarded-For: {value}")).collect();
        let lines: Vec<&str> =
            [self.key.as_str()].into_iter().chain(lines.iter().map(String::as_str)).collect();
        let answer = self.connect(last).get(&lines).unwrap();
        match answer.status {
            200 => true,
            _ => {
                assert_eq!(answer.code(), "address_not_allowed", "{fields:?}");
                false
            }
        }
    }
}

#[test]
fn a_trusted_proxy_names_the_caller_and_what_stands_left_of_that_is_the_callers_own_word() {
    let behind = behind_proxies();
    for fields in [
        &["203.0.113.7"][..],
        &["198.51.100.1, 203.0.113.7"],
        &["198.51.100.1", "203.0.113.7"],
        &["nonsense, 203.0.113.7"],
        // Through a second and a third proxy of ours.
        &["203.0.113.7, 10.1.2.3"],
        &["203.0.113.7", "10.1.2.3", "10.9.9.9"],
        &["198.51.100.1, 203.0.113.7, 10.1.2.3"],
        &["2001:db8::7"],
        &["::ffff:203.0.113.7"],
        &["203.0.113.7, ::ffff:10.1.2.3"],
        &["203.0.113.7:4711"],
    ] {
        assert!(behind.is_served(2, fields), "{fields:?}");
    }
    for fields in [
        &[][..],
        &["198.51.100.1"],
        // Spoofed: the proxy has appended whom it saw.
        &["203.0.113.7, 198.51.100.1"],
        &["203.0.113.7", "198.51.100.1"],
        &["203.0.113.7, 198.51.100.1, 10.1.2.3"],
        // What is no address ends the search, and is not passed over.
        &["203.0.113.7, unknown"],
        &["203.0.113.7, unknown, 10.1.2.3"],
        &["203.0.113.7,"],
        &[""],
        &["2001:db7::7"],
        // Deeper than three.
        &["203.0.113.7, 10.1.2.3, 10.1.2.4, 10.1.2.5"],
    ] {
        assert!(!behind.is_served(2, fields), "{fields:?}");
    }
}

#[test]
fn from_anybody_else_the_header_is_not_believed() {
    let behind = behind_proxies();
    assert!(!behind.is_served(3, &["203.0.113.7"]));
    assert!(!behind.is_served(3, &["203.0.113.7, 10.1.2.3"]));
    let customer = behind.customer;
    behind.stack.admin(&format!("service allowlist --customer {customer} --service seal --add 127.0.0.3"));
    assert!(behind.is_served(3, &[]) && behind.is_served(3, &["198.51.100.1"]));
    // A proxy that says nothing is the source itself.
    assert!(!behind.is_served(2, &[]));
}

#[test]
fn without_the_setting_nobody_is_believed() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let key = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    stack.admin(&format!("service allowlist --customer {customer} --service seal --set 203.0.113.7 --on"));
    let answer = stack.get(&[&key, "X-Forwarded-For: 203.0.113.7"]);
    assert_eq!(answer.code(), "address_not_allowed");
}

#[test]
fn a_setting_that_names_no_address_refuses_the_start() {
    // `suiftly serve` reads the same setting and refuses it, too (controlplane/src/config/accounts.rs).
    let stack = Stack::prepared(&[]);
    for setting in ["10.0.0.0/33", "everybody", "192.0.2.1 2001:db8::/129"] {
        let (fits, printed) = stack.check_config_with(&[("SUIFTLY_TRUSTED_PROXIES", setting)]);
        assert!(!fits && printed.contains("from_proxy"), "{setting}: {printed}");
    }
}

/// The source belongs to a request, not to the proxy's connection, which carries many callers.
#[test]
fn each_request_on_a_proxys_connection_has_its_own_source() {
    let behind = behind_proxies();
    let mut connection = behind.connect(2);
    for _ in 0..5 {
        let good = connection.get(&[&behind.key, "X-Forwarded-For: 203.0.113.7"]).unwrap();
        assert_eq!(good.status, 200);
        for line in ["X-Forwarded-For: 198.51.100.1", "X-Other: 1"] {
            assert_eq!(connection.get(&[&behind.key, line]).unwrap().code(), "address_not_allowed");
        }
    }
    // The same over HTTP/2.
    for (value, status) in [("203.0.113.7", "200 2"), ("203.0.113.7, 198.51.100.1", "403 2")] {
        let url = format!("http://127.0.0.1:{}/", behind.stack.edge.number());
        let field = format!("X-Forwarded-For: {value}");
        let words =
            ["-s", "-m", "5", "--http2-prior-knowledge", "--interface", "127.0.0.2", "-o", "/dev/null"];
        let output = Command::new("curl")
            .args(words)
            .args(["-w", "%{http_code} %{http_version}", "-H", &behind.key, "-H", &field, &url])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), status, "{value}");
    }
}

#[test]
fn failing_sources_and_the_log_are_those_behind_the_proxy() {
    let behind = behind_proxies();
    let mut connection = behind.connect(2);
    let bad = |source: &str| format!("X-Forwarded-For: {source}");
    let mut code = |source: &str| {
        let answer = connection.get(&["X-API-Key: nonsense", &bad(source)]).unwrap();
        answer.code()
    };
    for _ in 0..30 {
        assert_eq!(code("198.51.100.1"), "malformed");
    }
    assert_eq!(code("198.51.100.1"), "too_many_failures");
    // Written as IPv6 it is the same source; neighbours are other ones, also in disguise.
    assert_eq!(code("::ffff:198.51.100.1"), "too_many_failures");
    assert_eq!(code("198.51.100.2"), "malformed");
    assert_eq!(code("::ffff:198.51.100.3"), "malformed");
    let mut direct = behind.connect(3);
    assert_eq!(direct.get(&["X-API-Key: nonsense", &bad("198.51.100.1")]).unwrap().code(), "malformed");
    harness::http::wait_for("the log", std::time::Duration::from_secs(5), || {
        let log = std::fs::read_to_string(behind.stack.log_path("haproxy")).unwrap();
        let lines = |client: &str| log.matches(&format!("\"client\":\"{client}\"")).count();
        (lines("198.51.100.1") == 32
            && lines("198.51.100.2") == 1
            && lines("127.0.0.3") == 1
            && lines("127.0.0.2") == 0)
            .then_some(())
    });
}
