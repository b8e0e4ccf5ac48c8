//! The operator's map files: a change is in every worker within a second, or refused while the old state stays.

use harness::Stack;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn map(stack: &Stack, name: &str) -> PathBuf {
    stack.state().join("maps").join(name)
}

fn change(stack: &Stack, name: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(map(stack, name)).unwrap();
    assert!(text.contains(from), "{text}");
    // As editors do it: a new file in the place of the old one.
    let draft = map(stack, "draft");
    std::fs::write(&draft, text.replace(from, to)).unwrap();
    std::fs::rename(draft, map(stack, name)).unwrap();
}

fn within_a_second(what: &str, is_so: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(1), "{what}: not within a second");
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

#[test]
fn a_service_is_drained_and_moved_back_by_its_file() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, _) = stack.key(customer, "seal");
    for _ in 0..3 {
        assert_eq!(stack.status_with(&key), 200);
        change(&stack, "services.map", "1 seal\n", "1 nowhere\n");
        let took = within_a_second("the service is drained", || stack.status_with(&key) == 503);
        change(&stack, "services.map", "1 nowhere\n", "1 seal\n");
        within_a_second("the service is back", || stack.status_with(&key) == 200);
        println!("drained after {took:?}");
    }
    change(&stack, "services.map", "1 seal\n", "");
    within_a_second("a line that is gone is gone", || stack.status_with(&key) == 503);
}

#[test]
fn a_reworded_title_reaches_callers() {
    let stack = Stack::start();
    let title = || stack.get(&["X-API-Key: nonsense"]).json()["title"].as_str().unwrap().to_owned();
    let before = title();
    change(&stack, "errors.map", &before, "That is no key; ask for a new one");
    within_a_second("the new title", || title() == "That is no key; ask for a new one");
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_its_line_and_nothing_changes() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, _) = stack.key(customer, "seal");
    change(&stack, "services.map", "1 seal\n", "seal 1\n");
    let problems = || stack.json("edge status")["edges"][0]["map_problems"].clone();
    within_a_second("the refusal", || !problems().as_array().unwrap().is_empty());
    let problem = problems()[0].as_str().unwrap().to_owned();
    assert!(problem.contains("services.map: line 3: ") && problem.contains("no service number"), "{problem}");
    assert_eq!(stack.status_with(&key), 200);
    // Nothing else waits for it: a revocation is confirmed.
    let (_, fingerprint) = stack.key(customer, "seal");
    assert_eq!(stack.admin(&format!("key revoke --fingerprint {fingerprint}"))["applied"], true);
    change(&stack, "services.map", "seal 1\n", "1 seal\n");
    within_a_second("it is good again", || problems().as_array().unwrap().is_empty());
    let log = std::fs::read_to_string(stack.log_path("serve")).unwrap();
    assert!(log.contains("the operator's file is refused"), "{log}");
}

#[test]
fn a_key_in_the_operators_own_list_is_refused_here_until_it_is_taken_out() {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, fingerprint) = stack.key(customer, "seal");
    let (other, _) = stack.key(customer, "seal");
    let line = format!("X-API-Key: {key}");
    let before = std::fs::read_to_string(map(&stack, "local-revocations.map")).unwrap();
    let write = |text: &str| std::fs::write(map(&stack, "local-revocations.map"), text).unwrap();
    write(&format!("{before}{fingerprint}\n"));
    within_a_second("the key is refused", || stack.status_with(&key) == 401);
    assert_eq!(stack.get(&[&line]).code(), "revoked");
    assert_eq!(stack.status_with(&other), 200);
    // A file that cannot be used changes nothing.
    write(&format!("{before}{fingerprint}\nnonsense\n"));
    let problems = || stack.json("edge status")["edges"][0]["map_problems"].clone();
    within_a_second("the refusal", || !problems().as_array().unwrap().is_empty());
    assert!(problems()[0].as_str().unwrap().contains("local-revocations.map: line 4: "), "{}", problems());
    assert_eq!(stack.status_with(&key), 401);
    let (fits, text) = stack.check_config();
    assert!(!fits && text.contains("local-revocations.map: line 4: "), "{text}");
    write(&format!("{before}{fingerprint} 0 revoked\n"));
    within_a_second("it is good again", || problems().as_array().unwrap().is_empty());
    // Read at every load, with the control plane down, too.
    stack.reload();
    assert_eq!(stack.get(&[&line]).code(), "revoked");
    stack.stop_child("serve");
    stack.reload();
    assert_eq!(stack.get(&[&line]).code(), "revoked");
    stack.start_child("serve");
    stack.wait_until_ready();
    std::fs::write(map(&stack, "local-revocations.map"), &before).unwrap();
    within_a_second("the key is good again", || stack.status_with(&key) == 200);
}

#[test]
fn what_an_operator_sets_at_run_time_stays() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, _) = stack.key(customer, "seal");
    let list = stack.runtime("show map");
    let id = list
        .lines()
        .find(|line| line.contains("services.map"))
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    stack.runtime(&format!("set map #{id} 1 nowhere"));
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(stack.status_with(&key), 503);
}
