//! A database is restored from a backup: what an edge refuses stays refused, at every moment.

use harness::{Connection, Stack};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn a_key_revoked_after_the_backup_is_never_admitted_while_the_database_is_restored() {
    let mut stack = Stack::start_with(&[("SUIFTLY_HARD_STOP_S", "4")]);
    let customer = stack.customer(1, "seal", "enterprise");
    let (good, _) = stack.key(customer, "seal");
    let (early, early_print) = stack.key(customer, "seal");
    let (late, late_print) = stack.key(customer, "seal");
    stack.admin(&format!("key revoke --fingerprint {early_print}"));
    let file = stack.state().join("suiftly.backup");
    let file = file.to_str().unwrap();
    stack.json(&format!("backup {file}"));
    stack.admin(&format!("key revoke --fingerprint {late_print}"));
    let (after, after_print) = stack.key(customer, "seal");
    stack.admin(&format!("key revoke --fingerprint {after_print}"));

    let (done, port) = (AtomicBool::new(false), stack.edge.number());
    let seen = Mutex::new(BTreeMap::<(usize, u16), u64>::new());
    let lines = [&early, &late, &after, &good].map(|key| format!("X-API-Key: {key}"));
    std::thread::scope(|scope| {
        for number in 0..lines.len() {
            let (lines, seen, done) = (&lines, &seen, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let answer =
                        Connection::open(port).and_then(|mut connection| connection.get(&[&lines[number]]));
                    let status = answer.map_or(0, |answer| answer.status);
                    *seen.lock().unwrap().entry((number, status)).or_default() += 1;
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
        }
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _end = End(&done);
        std::thread::sleep(Duration::from_millis(200));
        stack.stop_child("serve");
        let restored = stack.json(&format!("restore {file} --replace"));
        assert_eq!(restored["group"], 2, "{restored}");
        stack.start_child("serve");
        stack.wait_until_ready();
        let (code, used, stderr) = stack.run(&["keyring", "use-group", "2", "--json"]);
        assert_eq!(code, 0, "{used}{stderr}{}", stack.logs());
        std::thread::sleep(Duration::from_millis(300));
    });
    let seen = seen.into_inner().unwrap();
    println!("statuses by key (revoked before, after, made after; good): {seen:?}");
    for ((number, status), count) in &seen {
        let expected: &[u16] = if *number == 3 { &[200] } else { &[401, 429] };
        assert!(expected.contains(status), "key {number}: {status} {count} times{}", stack.logs());
    }
    assert!(seen.len() >= 4 && seen[&(3, 200)] > 100);

    let offered = stack.json("edge offered");
    let mut prints: Vec<&str> = offered["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["fingerprint"].as_str().unwrap())
        .collect();
    let mut expected = [late_print.as_str(), after_print.as_str()];
    prints.sort_unstable();
    expected.sort_unstable();
    assert_eq!((prints.as_slice(), &offered["total"]), (&expected[..], &2.into()));
    // What was issued before the backup and came back as revoked is listed as such; new keys are in the new group.
    let keys = stack.admin(&format!("key list --customer {customer}"));
    let state = |print: &str| {
        keys["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["fingerprint"] == *print)
            .map(|key| key["state"].clone())
    };
    assert_eq!((state(&late_print), state(&after_print)), (Some("revoked".into()), None));
    let new = stack.admin(&format!("key create --customer {customer} --service seal"));
    assert_eq!(new["group"], 2);
    assert_eq!(stack.status_with(new["api_key"].as_str().unwrap()), 200);
}

#[test]
fn a_running_control_plane_offers_what_it_knows_when_another_restores_the_database() {
    // The lock of a state folder keeps a restore away from its own `serve`; on one PostgreSQL another machine has none of it.
    // Here the other machine is another state folder on the same SQLite file.
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, print) = stack.key(customer, "seal");
    let file = stack.state().join("suiftly.backup");
    stack.json(&format!("backup {}", file.display()));
    stack.admin(&format!("key revoke --fingerprint {print}"));
    let elsewhere = stack.state().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let mut command = stack.command(&["restore", file.to_str().unwrap(), "--replace"]);
    command
        .env("SUIFTLY_STATE", &elsewhere)
        .env("SUIFTLY_KEYRING", stack.state().join("keyring.toml"))
        .env("DATABASE_URL", format!("sqlite://{}", stack.state().join("suiftly.db").display()));
    assert!(command.status().unwrap().success());
    let restored = harness::http::wait_for("the offer", Duration::from_secs(8), || {
        assert_ne!(stack.status_with(&key), 200, "admitted for a moment");
        let offered = stack.json("edge offered");
        (offered["total"] == 1).then_some(offered)
    });
    assert_eq!(restored["items"][0]["fingerprint"], print.as_str());
    stack.wait_until_ready();
    assert_ne!(stack.status_with(&key), 200);
}

/// Not by `suiftly restore`: the file of SQLite copied away and back. The numbers of its history would be used twice.
#[test]
fn a_database_file_that_was_put_back_by_hand_begins_another_history_and_forgets_no_revocation() {
    let mut stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let keys: Vec<(String, String)> = (0..3).map(|_| stack.key(customer, "seal")).collect();
    stack.stop_child("serve");
    let (state, copy) = (stack.state().to_owned(), stack.state().join("copy"));
    std::fs::create_dir(&copy).unwrap();
    let files = || ["suiftly.db", "suiftly.db-wal"].into_iter();
    for name in files().filter(|name| state.join(name).exists()) {
        std::fs::copy(state.join(name), copy.join(name)).unwrap();
    }
    stack.start_child("serve");
    stack.wait_until_ready();
    let stream = |stack: &Stack| stack.json("edge status")["edges"][0]["stream"].clone();
    let before = stream(&stack);
    for (_, print) in &keys[..2] {
        stack.admin(&format!("key revoke --fingerprint {print}"));
    }
    stack.stop_child("serve");
    for name in files().chain(["suiftly.db-shm"]) {
        let _ = std::fs::remove_file(state.join(name));
    }
    for name in files().filter(|name| copy.join(name).exists()) {
        std::fs::copy(copy.join(name), state.join(name)).unwrap();
    }
    stack.start_child("serve");
    stack.wait_until_ready();
    assert_ne!(stream(&stack), before);
    let statuses: Vec<u16> = keys.iter().map(|(key, _)| stack.status_with(key)).collect();
    assert_eq!(statuses, [401, 401, 200]);
    assert_eq!(stack.json("edge offered")["total"], 2);
    assert_eq!(stack.json("edge diff")["differences"], serde_json::json!([]));
}
