//! Whatever is missing or broken, nothing gets through.

use harness::Stack;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A good state, damaged by `damage`: HAProxy must refuse to start and say `expected`.
fn refuses_to_start(expected: &[&str], damage: impl FnOnce(&Stack)) {
    let stack = Stack::prepared(&[]);
    let (accepted, printed) = stack.check_config();
    assert!(accepted, "the good state is refused: {printed}");
    damage(&stack);
    let (accepted, printed) = stack.check_config();
    assert!(!accepted, "accepted in spite of the damage: {printed}");
    for text in expected {
        assert!(printed.contains(text), "{text:?} is not in what HAProxy printed:\n{printed}");
    }
    let start = stack.haproxy(&[]).output().unwrap();
    assert!(!start.status.success(), "it started in spite of the damage");
}

#[test]
fn without_the_module() {
    refuses_to_start(&["the Suiftly module cannot be loaded", "libsuiftly-lua5."], |stack| {
        fs::remove_dir_all(stack.state().join("modules")).unwrap();
    });
}

#[test]
fn with_a_module_that_is_none() {
    refuses_to_start(&["the Suiftly module cannot be loaded"], |stack| {
        for version in ["5.3", "5.4"] {
            fs::write(stack.state().join(format!("modules/libsuiftly-lua{version}.so")), "not a library")
                .unwrap();
        }
    });
}

#[test]
fn without_the_keyring() {
    refuses_to_start(&["keyring.toml", "cannot be read", "suiftly serve"], |stack| {
        fs::remove_file(stack.state().join("keyring.toml")).unwrap();
    });
}

#[test]
fn with_a_keyring_that_others_may_read() {
    refuses_to_start(&["keyring.toml", "0644", "chmod 600"], |stack| {
        fs::set_permissions(stack.state().join("keyring.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    });
}

#[test]
fn with_a_malformed_keyring() {
    refuses_to_start(&["keyring.toml", "group 1", "64 hex digits"], |stack| {
        fs::write(stack.state().join("keyring.toml"), "default_group = 1\n[groups]\n1 = \"abc\"\n").unwrap();
    });
}

#[test]
fn with_any_map_file_missing() {
    for name in ["policies.map", "revocations.map", "plans.map", "services.map", "errors.map"] {
        refuses_to_start(&[name, "cannot be read"], |stack| {
            fs::remove_file(stack.state().join("maps").join(name)).unwrap();
        });
    }
}

#[test]
fn with_any_map_file_malformed_naming_file_line_and_reason() {
    let append = |name: &'static str, line: &'static str| {
        move |stack: &Stack| {
            let path = stack.state().join("maps").join(name);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, format!("{text}{line}\n")).unwrap();
        }
    };
    refuses_to_start(
        &["policies.map: line 3", "no state of a service"],
        append("policies.map", "7 seal on 1 -"),
    );
    refuses_to_start(
        &["policies.map: line 3", "the file ends after 1 entries"],
        append("policies.map", "7 seal enabled 1 -"),
    );
    refuses_to_start(
        &["revocations.map: line 3", "16 upper-case hex digits"],
        append("revocations.map", "xyz 0 revoked"),
    );
    refuses_to_start(
        &["allowlists.map: line 3", "must be written `10.0.0.1/32`"],
        append("allowlists.map", "7 seal 10.0.0.1"),
    );
    refuses_to_start(&["plans.map: line 3", "packed rates"], append("plans.map", "1 many"));
    refuses_to_start(&["services.map: line 6", "no service number"], append("services.map", "9 seal"));
    refuses_to_start(
        &["errors.map: line 24", "stands here twice"],
        append("errors.map", "8 401|revoked|Again|16"),
    );
    refuses_to_start(&["policies.map: line 2", "cut off"], |stack| {
        let path = stack.state().join("maps/policies.map");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.trim_end()).unwrap();
    });
}

#[test]
fn a_panic_in_the_module_refuses_that_request_and_is_counted() {
    let mut stack = Stack::prepared(&[]);
    // A build that panics on `Bearer panic`: the feature `panic-trigger` is in no release.
    stack.put_modules("modules-panic-trigger");
    for name in ["upstream", "serve"] {
        stack.start_child(name);
    }
    stack.wait_until_healthy();
    stack.start_child("haproxy");
    stack.wait_until_ready();
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    let mut connection = harness::Connection::open(stack.edge.number()).unwrap();
    let good = format!("Authorization: Bearer {key}");
    for _ in 0..20 {
        let answer = connection.get(&["Authorization: Bearer panic"]).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
        assert_eq!(connection.get(&[&good]).unwrap().status, 200, "the next request on the same connection");
    }
    let status = stack.runtime_json("suiftly status");
    assert_eq!(status["panics"], 20, "{status}");
    assert_eq!(status["ready"], true);
}

/// What an edge with a changed configuration answers to a good key.
fn answer_with(changed: impl FnOnce(String) -> String) -> harness::Answer {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    assert_eq!(stack.status_with(&key), 200);
    stack.stop_child("haproxy");
    let config = changed(fs::read_to_string(harness::repository().join("haproxy/haproxy.cfg")).unwrap());
    stack.use_config(&config);
    stack.start_child("haproxy");
    harness::http::wait_for("an answer", std::time::Duration::from_secs(5), || {
        harness::Connection::open(stack.edge.number()).ok()?.get(&[&format!("X-API-Key: {key}")]).ok()
    })
}

#[test]
fn a_converter_that_is_gone_leaves_its_variable_unset_and_that_refuses() {
    // What HAProxy does when the module fails without an answer: the rule that sets txn.k is left out here.
    let answer = answer_with(|config| {
        let rule = "    http-request set-var(txn.k) req.fhdr(authorization),lua.suiftly_auth\n";
        assert!(config.contains(rule));
        config.replace(rule, "")
    });
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
}

#[test]
fn a_request_that_is_not_tracked_is_refused() {
    let answer = answer_with(|config| {
        let rule = "    tcp-request content track-sc0 var(txn.k),and(4294967295)\n";
        assert_eq!(config.matches(rule).count(), 3);
        config.replace(rule, "")
    });
    assert_eq!((answer.status, answer.code().as_str()), (429, "rate_limited"));
}
