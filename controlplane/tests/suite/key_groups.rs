//! Master key groups: what may be minted when, and what an operator is told. With a real module: `tests/edge/key_groups.rs`.

use crate::harness::{Backend, Stack, on_both_databases};
use serde_json::json;

on_both_databases! {
    nothing_is_minted_in_a_group_that_no_edge_has_confirmed,
    a_default_group_that_the_edges_were_not_asked_for_or_with_another_secret_mints_nothing,
    retiring_refuses_the_default_and_removing_refuses_live_keys,
    groups_are_told_to_the_edges_in_the_change_log_without_a_secret,
    a_keyring_that_cannot_be_used_or_lacks_a_group_is_told_by_edge_status,
}

fn create(stack: &Stack, customer: u64) -> crate::harness::Answer {
    stack.run(&format!("admin key create --customer {customer} --service seal --json"))
}

fn keyring(stack: &Stack) -> String {
    std::fs::read_to_string(stack.path("keyring.toml")).unwrap()
}

/// A stack with a customer and a key in group 1.
fn with_a_key(backend: Backend) -> (Stack, u64) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    assert_eq!(create(&stack, customer).json_with(0)["group"], 1);
    (stack, customer)
}

fn nothing_is_minted_in_a_group_that_no_edge_has_confirmed(backend: Backend) {
    let (stack, customer) = with_a_key(backend);
    let added = stack.run("keyring add-group --wait-limit 1 --json");
    let answer = added.json_with(5);
    assert_eq!((&answer["group"], &answer["default_group"]), (&json!(2), &json!(1)), "{answer}");
    assert_eq!((&answer["applied"], &answer["waiting_for"]), (&json!(false), &json!(["local"])));
    assert!(added.stderr.contains("use-group 2"), "{}", added.stderr);
    assert_eq!(create(&stack, customer).json_with(0)["group"], 1, "minting stays with the old group");
    // Somebody makes it the default by hand.
    let text = keyring(&stack).replace("default_group = 1", "default_group = 2");
    std::fs::write(stack.path("keyring.toml"), text).unwrap();
    create(&stack, customer).fails(4, "not every edge has confirmed group 2");
    // A second one gets a number of its own, and one that is there or was used is refused.
    assert_eq!(stack.run("keyring add-group --wait-limit 0 --json").json_with(5)["group"], 3);
    stack.run("keyring add-group --group 2 --wait-limit 0 --json").fails(4, "has group 2 already");
    stack.run("keyring add-group --group 32 --json").fails(2, "0 to 31");
}

fn a_default_group_that_the_edges_were_not_asked_for_or_with_another_secret_mints_nothing(backend: Backend) {
    let (stack, customer) = with_a_key(backend);
    let first = keyring(&stack);
    let by_hand =
        first.replace("default_group = 1", "default_group = 5") + &format!("5 = \"{}\"\n", "5a".repeat(32));
    std::fs::write(stack.path("keyring.toml"), by_hand).unwrap();
    create(&stack, customer).fails(4, "keyring use-group 5");
    let secret = first.split('"').nth(1).unwrap();
    std::fs::write(stack.path("keyring.toml"), first.replace(secret, &"5b".repeat(32))).unwrap();
    create(&stack, customer).fails(4, "another secret under group 1");
    stack.run("keyring use-group 1 --wait-limit 0 --json").fails(4, "another secret under group 1");
    std::fs::write(stack.path("keyring.toml"), first).unwrap();
    assert_eq!(create(&stack, customer).code, 0);
}

fn retiring_refuses_the_default_and_removing_refuses_live_keys(backend: Backend) {
    let (stack, customer) = with_a_key(backend);
    stack.run("keyring retire-group 1 --json").fails(4, "the default");
    stack.run("keyring retire-group 9 --json").fails(3, "no master key group 9");
    stack.run("keyring use-group 9 --json").fails(3, "no group 9");
    stack.run("keyring add-group --wait-limit 0 --json").json_with(5);
    let text = keyring(&stack).replace("default_group = 1", "default_group = 2");
    std::fs::write(stack.path("keyring.toml"), text).unwrap();

    let retired = stack.run("keyring retire-group 1 --json").json_with(0);
    assert_eq!((&retired["state"], &retired["live_keys"]), (&json!("retired"), &json!(1)));
    stack.run("keyring use-group 1 --wait-limit 0 --json").fails(4, "retired");
    stack
        .run("keyring retire-group 1 --remove --wait-limit 0 --json")
        .fails(4, "1 keys of group 1 are not revoked");
    assert!(keyring(&stack).contains("\n1 = "), "a refusal takes nothing out");
    stack.run("keyring retire-group 1 --remove --force --wait-limit 0 --json").json_with(5);
    assert!(!keyring(&stack).contains("\n1 = "));
    let list = stack.run("keyring list --json").json_with(0);
    let groups: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|item| (&item["group"], &item["state"])).collect();
    assert_eq!(groups, [(&json!(1), &json!("removed")), (&json!(2), &json!("wanted"))]);
    stack.run("keyring add-group --group 1 --wait-limit 0 --json").fails(4, "was used before");
    assert_eq!(stack.run("keyring add-group --wait-limit 0 --json").json_with(5)["group"], 3);
    let _ = customer;
}

fn groups_are_told_to_the_edges_in_the_change_log_without_a_secret(backend: Backend) {
    let (stack, _) = with_a_key(backend);
    let answer = stack.run("keyring add-group --wait-limit 0 --json").json_with(5);
    let check = answer["check"].as_str().unwrap();
    let snapshot = stack.open_database().read(controlplane::changes::feed::snapshot).unwrap();
    let groups: Vec<String> =
        snapshot.key_groups.iter().map(|(group, check)| format!("{group} {check}")).collect();
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[1], format!("2 {check}"));
    let last = snapshot.recent.last().unwrap().1.to_string();
    assert_eq!(last, format!("+g:2:{check}"));
    let list = stack.run("keyring list --json");
    for secret in keyring(&stack).split('"').filter(|part| part.len() == 64) {
        assert!(!list.stdout.contains(&secret[..8]) && !list.stderr.contains(&secret[..8]));
        assert!(stack.run("keyring list").stdout.matches(&secret[..8]).count() == 0);
    }
}

fn a_keyring_that_cannot_be_used_or_lacks_a_group_is_told_by_edge_status(backend: Backend) {
    let (stack, _) = with_a_key(backend);
    let first = keyring(&stack);
    let _serve = stack.serve();
    let problem = || {
        let edges = stack.run("edge status --json").json();
        edges["edges"][0]["key_problems"].to_string()
    };
    assert_eq!(problem(), "[]");
    std::fs::write(stack.path("keyring.toml"), first.replace("default_group = 1", "default_group = x"))
        .unwrap();
    stack.wait_until("the mistake is told", || {
        let told = problem();
        told.contains("keyring.toml") && told.contains("line 2")
    });
    std::fs::write(stack.path("keyring.toml"), &first).unwrap();
    stack.wait_until("it is corrected", || problem() == "[]");
    stack.run("keyring add-group --wait-limit 0 --json").json_with(5);
    let second = keyring(&stack);
    std::fs::write(stack.path("keyring.toml"), &first).unwrap();
    stack.wait_until("the lack is told", || problem().contains("lacks group 2; copy the keyring file there"));
    let wrong = second.lines().map(|line| match line.starts_with("2 = ") {
        true => format!("2 = \"{}\"\n", "5a".repeat(32)),
        false => format!("{line}\n"),
    });
    std::fs::write(stack.path("keyring.toml"), wrong.collect::<String>()).unwrap();
    stack.wait_until("the other secret is told", || problem().contains("another secret under group 2"));
    std::fs::write(stack.path("keyring.toml"), second).unwrap();
    stack.wait_until("it is right again", || problem() == "[]");
}
