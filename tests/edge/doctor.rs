//! `suiftly doctor` finds what is wrong, and says what to do about it.

use harness::Stack;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Exit code and answer.
fn doctor(stack: &Stack) -> (i32, Value) {
    let program = harness::stack::haproxy_program();
    let (code, stdout, stderr) = stack.run(&["doctor", "--haproxy", program.to_str().unwrap(), "--json"]);
    (code, serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}")))
}

/// The findings of a severity as `check: seen -> todo`.
fn findings(answer: &Value, severity: &str) -> Vec<String> {
    let all = answer["findings"].as_array().unwrap().iter().filter(|finding| finding["severity"] == severity);
    all.map(|f| format!("{}: {} -> {}", f["check"].as_str().unwrap(), f["seen"].as_str().unwrap(), f["todo"]))
        .collect()
}

#[test]
fn a_healthy_edge_has_no_problem() {
    let stack = Stack::start();
    let (code, answer) = doctor(&stack);
    assert_eq!((code, &answer["problems"]), (0, &0.into()), "{:?}", findings(&answer, "problem"));
    let checks = [
        "HAProxy",
        "module",
        "keyring",
        "secrets",
        "state folder",
        "sockets",
        "maps",
        "configuration",
        "control plane",
    ];
    for check in checks.into_iter().chain(["database", "edge", "clock", "free disk"]) {
        assert!(
            answer["findings"].as_array().unwrap().iter().any(|f| f["check"] == check),
            "{check} was not looked at"
        );
    }
    let (code, text, _) = stack.run(&["doctor"]);
    assert!(code == 0 && text.contains("0 problems"), "{text}");
}

#[test]
fn each_fault_is_found_and_named() {
    // Which check must find it, a word of what it says, and what was done.
    type Case = (&'static str, &'static str, fn(&Stack));
    let cases: [Case; 8] = [
        ("keyring", "chmod 600", |stack| {
            fs::set_permissions(stack.state().join("keyring.toml"), fs::Permissions::from_mode(0o644))
                .unwrap();
        }),
        ("module", "is not the Suiftly module", |stack| {
            for lua in ["5.3", "5.4"] {
                fs::write(stack.state().join(format!("modules/libsuiftly-lua{lua}.so")), "nonsense").unwrap();
            }
        }),
        ("module", "built for another Lua", |stack| {
            let [a, b] =
                ["5.3", "5.4"].map(|lua| stack.state().join(format!("modules/libsuiftly-lua{lua}.so")));
            let (of_a, of_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
            fs::write(a, of_b).unwrap();
            fs::write(b, of_a).unwrap();
        }),
        ("maps", "line 3", |stack| {
            let path = stack.state().join("maps/policies.map");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, format!("{text}7 seal on 1 -\n")).unwrap();
        }),
        ("maps", "plans.map is missing", |stack| {
            fs::remove_file(stack.state().join("maps/plans.map")).unwrap()
        }),
        ("maps", "chmod 640", |stack| {
            fs::set_permissions(stack.state().join("maps/errors.map"), fs::Permissions::from_mode(0o666))
                .unwrap();
        }),
        ("configuration", "errors.map", |stack| {
            fs::write(stack.state().join("maps/errors.map"), "nonsense\n").unwrap();
        }),
        ("state folder", "chmod o=", |stack| {
            fs::set_permissions(stack.state(), fs::Permissions::from_mode(0o755)).unwrap();
        }),
    ];
    for (check, expected, damage) in cases {
        // Nothing runs here, so that nobody repairs what is damaged.
        let stack = Stack::prepared(&[]);
        damage(&stack);
        let (code, answer) = doctor(&stack);
        let problems = findings(&answer, "problem");
        assert_eq!(code, 1);
        let named = problems.iter().any(|problem| problem.starts_with(check) && problem.contains(expected));
        assert!(named, "{check}: {expected} is not in {problems:#?}");
    }
}

#[test]
fn what_does_not_run_is_a_problem_and_a_stranger_on_the_port_is_named() {
    let stack = Stack::prepared(&[]);
    let stranger = std::net::TcpListener::bind(("127.0.0.1", stack.edge.number())).unwrap();
    let (_, answer) = doctor(&stack);
    let problems = findings(&answer, "problem");
    for (check, expected) in
        [("control plane", "suiftly serve"), ("edge", "-W"), ("ports", "something else listens")]
    {
        let named = problems.iter().any(|problem| problem.starts_with(check) && problem.contains(expected));
        assert!(named, "{check}: {expected} is not in {problems:#?}");
    }
    drop(stranger);
}
