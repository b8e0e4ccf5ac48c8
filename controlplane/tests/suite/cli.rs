//! The command line as scripts see it: JSON, exit codes, stdout, stderr, help.

use crate::harness::{Backend, Stack, on_both_databases};
use serde_json::json;

const WALLET: &str = "0xAB00000000000000000000000000000000000000000000000000000000000001";

on_both_databases! {
    a_wallet_has_one_customer_whatever_its_case,
    a_grant_answers_every_field_and_5_while_no_edge_confirms,
    what_does_not_exist_is_3_and_what_a_rule_forbids_is_4,
    a_key_is_shown_once_listed_by_name_and_refused_after_its_revocation,
    the_11th_key_is_refused,
    a_file_of_fingerprints_is_taken_whole_or_not_at_all,
    doctor_says_whether_the_database_answers,
}

fn a_wallet_has_one_customer_whatever_its_case(backend: Backend) {
    let stack = Stack::on(backend);
    let first = stack.run(&format!("admin customer create --wallet {WALLET} --json")).json_with(0);
    assert_eq!(first["created"], true);
    let lower = WALLET.to_ascii_lowercase();
    let second = stack.run(&format!("--json admin customer create --wallet {lower}")).json_with(0);
    assert_eq!(second, json!({"customer_id": first["customer_id"], "created": false}));
}

fn a_grant_answers_every_field_and_5_while_no_edge_confirms(backend: Backend) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    let enable = format!("admin service enable --customer {customer} --service seal --json");
    let answer = stack.run(&format!("{enable} --tier pro"));
    let mut json = answer.json_with(5);
    let detail = json.as_object_mut().unwrap().remove("detail").unwrap();
    assert!(detail.as_str().unwrap().contains("suiftly serve"), "{detail}");
    let expected = json!({
        "customer_id": customer, "service": "seal", "state": "enabled", "tier": "pro", "plan": 1,
        "guaranteed_per_s": 200, "burst_per_s": 500, "sequence": 2, "applied": false, "waiting_for": ["local"],
    });
    assert_eq!(json, expected);
    assert!(answer.stderr.starts_with("suiftly: saved as change 2"), "{}", answer.stderr);
    // Without a tier it keeps the one that it has; nothing changes, so no number is used.
    let again = stack.run(&format!("{enable} --no-wait")).json_with(0);
    assert_eq!((again["tier"].as_str(), again["sequence"].as_u64()), (Some("pro"), Some(2)));
    assert_eq!(again["applied"], false);
}

fn what_does_not_exist_is_3_and_what_a_rule_forbids_is_4(backend: Backend) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    stack.run("admin service enable --customer 7 --service seal --json").fails(3, "no customer 7");
    stack.run("admin key create --customer 7 --service seal --json").fails(3, "no customer 7");
    stack.run("admin key list --customer 7 --json").fails(3, "no customer 7");
    let of = format!("--customer {customer} --service seal --no-wait");
    stack.run(&format!("admin service suspend {of} --json")).fails(3, "service enable");
    stack.run(&format!("admin service enable {of}"));
    stack.run(&format!("admin service resume {of} --json")).fails(4, "is enabled");
    let suspended = stack.run(&format!("admin service suspend {of} --json")).json_with(0);
    assert_eq!(suspended["state"], "suspended_operator");
    stack.run(&format!("admin service enable {of} --json")).fails(4, "resume it first");
    let resumed = stack.run(&format!("admin service resume {of} --json")).json_with(0);
    assert_eq!(resumed["state"], "enabled");
}

#[test]
fn what_is_not_understood_is_2_and_says_so_on_stderr() {
    let stack = Stack::new();
    for line in [
        "",
        "admin",
        "admin customer create",
        "admin customer create --wallet 0x12",
        "admin service enable --customer 0 --service seal",
        "admin service enable --customer 1 --service storage",
        "admin service suspend --customer 1 --service seal --tier pro",
        "admin key create --customer 1 --service seal --version 2",
        "admin key revoke",
        "admin key revoke --fingerprint 4100000112345678 --key x",
        "admin key revoke --fingerprint 41",
        "admin key revoke --fingerprint 8100000112345678",
        "admin key revoke --key AAAA",
        "admin key inspect --key AAAA",
        "key inspect --key AAAA",
        "frobnicate",
    ] {
        stack.run(&format!("{line} --json")).fails(2, "");
    }
    let wrong =
        stack.command("key inspect --key AAAA").env("DATABASE_URL", "mysql://u:p@h/d").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("does not begin with a known scheme"));
}

fn a_key_is_shown_once_listed_by_name_and_refused_after_its_revocation(backend: Backend) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    let made = stack.run(&format!("admin key create --customer {customer} --service seal --json"));
    assert!(made.stderr.contains("note: the service is not_provisioned"), "{}", made.stderr);
    let made = made.json_with(0);
    let (key, fingerprint) = (made["api_key"].as_str().unwrap(), made["fingerprint"].as_str().unwrap());
    assert_eq!(key.len(), 25);
    assert_eq!(
        (made["derivation"].as_u64(), made["group"].as_u64(), made["version"].as_u64()),
        (Some(1), Some(1), Some(1))
    );

    let listed = stack.run(&format!("admin key list --customer {customer} --json")).json_with(0);
    assert_eq!(listed["next_cursor"], serde_json::Value::Null);
    let item = &listed["items"][0];
    assert_eq!((item["fingerprint"].as_str(), item["state"].as_str()), (Some(fingerprint), Some("active")));
    let created = item["created_at"].as_str().unwrap();
    assert!(created.len() == 24 && created.ends_with('Z') && &created[10..11] == "T", "{created}");

    let inspected = stack.run(&format!("admin key inspect --key {key} --json"));
    assert!(!inspected.stdout.contains(key));
    let inspected = inspected.json_with(0);
    assert_eq!(inspected["authentic"], true);
    assert_eq!((&inspected["known"], &inspected["state"]), (&json!(true), &json!("active")));

    // From stdin, where no list of processes shows it.
    let revoked =
        stack.run_with_stdin("admin key revoke --key - --no-wait --json", &format!("{key}\n")).json_with(0);
    assert_eq!(revoked, json!({"revoked": 1, "already": 0, "unknown": 0, "sequence": 1, "applied": false}));
    let again =
        stack.run(&format!("admin key revoke --fingerprint {fingerprint} --no-wait --json")).json_with(0);
    assert_eq!(again, json!({"revoked": 0, "already": 1, "unknown": 0, "sequence": 1, "applied": false}));
    let listed =
        stack.run(&format!("admin key list --customer {customer} --service seal --json")).json_with(0);
    assert_eq!(listed["items"][0]["state"], "revoked");
    assert!(listed["items"][0]["revoked_at"].is_string());
}

#[test]
fn version_0_is_refused_unless_the_keyring_accepts_it() {
    let stack = Stack::new();
    let customer = stack.customer(1);
    let line = format!("admin key create --customer {customer} --service seal --version 0 --json");
    stack.run(&line).fails(4, "accept_v0_groups");
    std::fs::remove_file(stack.path("keyring.toml")).unwrap();
    let made = stack.command(&line).env("SUIFTLY_ACCEPT_V0", "1").output().unwrap();
    assert_eq!(made.status.code(), Some(0));
    assert!(String::from_utf8(made.stdout).unwrap().contains("\"version\":0"));
}

fn the_11th_key_is_refused(backend: Backend) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    let line = format!("admin key create --customer {customer} --service seal --json");
    for _ in 0..10 {
        stack.run(&line).json_with(0);
    }
    stack.run(&line).fails(4, "10 keys");
}

fn a_file_of_fingerprints_is_taken_whole_or_not_at_all(backend: Backend) {
    let stack = Stack::on(backend);
    let file = stack.path("list.txt");
    let line = format!("admin key revoke --file {} --no-wait --json", file.display());
    stack.run(&line).fails(3, "cannot be read");

    std::fs::write(&file, "# stolen\n4100000100000001\n\n4100000200000001 # twice\n41000002000000zz\n")
        .unwrap();
    stack.run(&line).fails(2, "line 5: not a key fingerprint");
    std::fs::write(&file, "4100000100000001\nC100000100000001\n").unwrap();
    stack.run(&line).fails(2, "line 2: no key can have");
    std::fs::write(&file, format!("{}\n", "4".repeat(2_000))).unwrap();
    stack.run(&line).fails(2, "line 1: the line is longer");

    // More than two chunks, and one line twice.
    let mut text = String::from("# stolen\r\n4100000100000001\r\n");
    for number in 1..=10_001_u32 {
        text.push_str(&format!("41000001{number:08x}\n"));
    }
    std::fs::write(&file, text).unwrap();
    let answer = stack.run(&line).json_with(0);
    let expected =
        json!({"revoked": 10_001, "already": 1, "unknown": 10_001, "sequence": 10_001, "applied": false});
    assert_eq!(answer, expected);
}

fn doctor_says_whether_the_database_answers(backend: Backend) {
    let stack = Stack::on(backend);
    stack.customer(1);
    let found = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = answer["findings"].as_array().unwrap().clone();
        let found = findings.into_iter().find(|finding| finding["check"] == "database").unwrap();
        (found["severity"].as_str().unwrap().to_owned(), found["seen"].as_str().unwrap().to_owned())
    };
    let (severity, seen) = found(&mut stack.command("doctor --json"));
    assert_eq!(severity, "ok", "{seen}");
    let nowhere = match backend {
        Backend::Sqlite => "sqlite:///nonexistent/x.db",
        Backend::Postgres => "postgres://u:geheim@/d?host=/nonexistent",
    };
    let (severity, seen) = found(stack.command("doctor --json").env("DATABASE_URL", nowhere));
    assert_eq!(severity, "problem");
    assert!(seen.contains("/nonexistent") && !seen.contains("geheim"), "{seen}");
}

#[test]
fn keys_can_be_minted_and_verified_with_a_keyring_alone() {
    let stack = Stack::new();
    stack.run("key mint --customer 305419896 --service seal --derivation 1 --json").fails(1, "no keyring");
    stack.customer(1);
    stack.run("admin key list --customer 1");
    let keyring = format!("default_group = 2\n[groups]\n2 = \"{}\"\n", "07".repeat(32));
    std::fs::write(stack.path("keyring.toml"), keyring).unwrap();
    std::fs::set_permissions(stack.path("keyring.toml"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();

    let mint = "key mint --customer 305419896 --service grpc --json --derivation";
    let minted = stack.run(&format!("{mint} 9")).json_with(0);
    assert_eq!(minted["fingerprint"], "4200000912345678");
    let key = minted["api_key"].as_str().unwrap();
    assert_eq!(stack.run(&format!("key verify --key {key} --json")).json_with(0)["authentic"], true);
    let inspected = stack.run(&format!("key inspect --key {key} --json")).json_with(0);
    assert_eq!((&inspected["service"], &inspected["derivation"]), (&json!("grpc"), &json!(9)));

    // The same numbers under another letter: version 1's tag covers it.
    let forged = key.replacen('R', "S", 1);
    let refused = stack.run(&format!("key verify --key {forged} --json"));
    refused.fails(4, "bad_mac");
    assert!(!refused.stderr.contains(&forged));
    let inspected = stack.run(&format!("admin key inspect --key {forged} --json")).json_with(0);
    assert_eq!((&inspected["authentic"], &inspected["reason"]), (&json!(false), &json!("bad_mac")));
    assert_eq!((&inspected["known"], &inspected["state"]), (&json!(false), &json!("unknown")));

    stack.run(&format!("{mint} 1024")).fails(2, "1024");
    stack.run(&format!("{mint} 1 --group 3")).fails(3, "group 3");
    stack.run(&format!("{mint} 1 --key-version 0")).fails(4, "accept_v0_groups");
    stack.run("key verify --key AAAA --json").fails(4, "malformed");
}

#[test]
fn a_key_in_the_wrong_place_is_not_repeated() {
    let stack = Stack::new();
    let customer = stack.customer(1);
    let made =
        stack.run(&format!("admin key create --customer {customer} --service seal --json")).json_with(0);
    let key = made["api_key"].as_str().unwrap();
    for line in
        ["admin key revoke --fingerprint", "admin key", "admin key list --customer", "key mint --derivation"]
    {
        let answer = stack.run(&format!("{line} {key}"));
        assert_eq!(answer.code, 2);
        assert!(!answer.stderr.contains(key), "{line}: {}", answer.stderr);
    }
}

#[test]
fn every_help_ends_with_an_example_and_fits_100_columns() {
    let stack = Stack::new();
    for line in [
        "",
        "serve",
        "demo-upstream",
        "admin",
        "admin customer",
        "admin customer create",
        "admin service",
        "admin service enable",
        "admin service disable",
        "admin service suspend",
        "admin service resume",
        "admin key",
        "admin key create",
        "admin key list",
        "admin key revoke",
        "admin key inspect",
        "usage",
        "usage dump",
        "usage top",
        "usage watch",
        "key",
        "key mint",
        "key inspect",
        "key verify",
    ] {
        let help = stack.run(&format!("{line} --help"));
        assert_eq!(help.code, 0);
        let last: Vec<&str> = help.stdout.trim_end().lines().rev().take(2).collect();
        assert_eq!(last[1], "Example:", "{line}");
        assert!(last[0].contains("suiftly"), "{line}");
        assert!(help.stdout.lines().all(|line| line.chars().count() <= 100), "{}", help.stdout);
    }
}

#[test]
fn text_for_people_fits_100_columns_and_has_no_colours() {
    let stack = Stack::new();
    let customer = stack.customer(1);
    for line in [
        format!("admin service enable --customer {customer} --service graphql --tier enterprise --no-wait"),
        format!("admin key create --customer {customer} --service graphql"),
        format!("admin key list --customer {customer}"),
        "admin key revoke --fingerprint 4100000112345678 --no-wait".to_owned(),
    ] {
        let answer = stack.run(&line);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert!(answer.stdout.lines().all(|line| line.chars().count() <= 100), "{}", answer.stdout);
        assert!(!answer.stdout.contains('\u{1b}'));
    }
}
