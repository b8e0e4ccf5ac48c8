//! A change is one line on disk before anybody hears of it; the large files are left alone.

use harness::{Connection, Stack};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

fn map(stack: &Stack, name: &str) -> std::path::PathBuf {
    stack.state().join("maps").join(name)
}

fn append(stack: &Stack, name: &str, text: &str) {
    OpenOptions::new().append(true).open(map(stack, name)).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_revocation_is_a_line_in_the_journal_and_no_table_is_written_whole() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (_, fingerprint) = stack.key(customer, "seal");
    let tables = ["policies.map", "revocations.map", "allowlists.map", "plans.map"];
    let inodes = || tables.map(|name| fs::metadata(map(&stack, name)).unwrap().ino());
    let before = inodes();
    stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
    assert_eq!(inodes(), before);
    let journal = fs::read_to_string(map(&stack, "changes.journal")).unwrap();
    assert!(journal.lines().last().unwrap().ends_with(&format!("+r:{fingerprint}:0:revoked")), "{journal}");
    assert_eq!(fs::metadata(map(&stack, "changes.journal")).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn a_hand_edit_of_any_file_of_the_database_is_put_back_within_5_s_and_the_log_names_the_command() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, fingerprint) = stack.key(customer, "seal");
    stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
    for name in ["policies.map", "revocations.map", "allowlists.map", "plans.map", "changes.journal"] {
        // All files are written together; an edit in the middle of that would be put back without a word.
        std::thread::sleep(Duration::from_millis(200));
        append(&stack, name, "# by hand\n");
        harness::http::wait_for("the file as it was", Duration::from_secs(5), || {
            (!fs::read_to_string(map(&stack, name)).unwrap().contains("by hand")).then_some(())
        });
        let log = fs::read_to_string(stack.log_path("serve")).unwrap();
        let line = log.lines().rfind(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {log}"));
        assert!(line.contains("suiftly admin"), "{line}");
    }
    stack.reload();
    assert_eq!(stack.get(&[&format!("X-API-Key: {key}")]).code(), "revoked");
}

#[test]
fn haproxy_starts_with_a_torn_last_line_and_refuses_a_damaged_one_or_none() {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, fingerprint) = stack.key(customer, "seal");
    stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
    stack.stop_child("serve");
    stack.stop_child("haproxy");
    append(&stack, "changes.journal", "17 18 00");
    stack.start_child("haproxy");
    let answer = harness::http::wait_for("an answer", Duration::from_secs(5), || {
        Connection::open(stack.edge.number()).ok()?.get(&[&format!("X-API-Key: {key}")]).ok()
    });
    assert_eq!(answer.code(), "revoked");
    stack.stop_child("haproxy");

    append(&stack, "changes.journal", "11 -r:1\n");
    let lines = fs::read_to_string(map(&stack, "changes.journal")).unwrap().lines().count();
    let (fits, text) = stack.check_config();
    assert!(!fits && text.contains(&format!("changes.journal: line {lines}: ")), "{text}");
    fs::remove_file(map(&stack, "changes.journal")).unwrap();
    let (fits, text) = stack.check_config();
    assert!(!fits && text.contains("changes.journal: cannot be read"), "{text}");
    // What is wrong is put right by the next start of serve.
    stack.start_child("serve");
    harness::http::wait_for("the journal", Duration::from_secs(5), || {
        map(&stack, "changes.journal").exists().then_some(())
    });
    stack.start_child("haproxy");
    stack.wait_until_ready();
    assert_eq!(stack.get(&[&format!("X-API-Key: {key}")]).code(), "revoked");
}

#[test]
fn while_the_files_cannot_be_written_nothing_is_confirmed_and_nothing_is_lost() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, fingerprint) = stack.key(customer, "seal");
    // For root no mode of a file or folder would do it.
    let maps = stack.state().join("maps");
    let away = stack.state().join("maps-away");
    fs::rename(&maps, &away).unwrap();
    let arguments = ["admin", "key", "revoke", "--fingerprint", &fingerprint, "--wait-limit", "2", "--json"];
    let (code, stdout, _) = stack.run(&arguments);
    assert_eq!(code, 5, "{stdout}");
    assert_eq!(stack.status_with(&key), 200, "what is not on disk is not pushed");
    fs::rename(&away, &maps).unwrap();
    harness::http::wait_for("the revocation", Duration::from_secs(5), || {
        (stack.status_with(&key) == 401).then_some(())
    });
}
