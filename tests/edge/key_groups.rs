//! A new master key group comes to a running edge by a seamless reload; keys are made in it only when every worker holds it.

use harness::{Connection, Failure, Stack};
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Old workers hold their connections no longer than this.
const SHORT_STOP: [(&str, &str); 1] = [("SUIFTLY_HARD_STOP_S", "4")];

fn keyring(stack: &Stack, arguments: &str) -> (i32, Value, String) {
    let arguments: Vec<&str> =
        ["keyring"].into_iter().chain(arguments.split(' ')).chain(["--json"]).collect();
    let (code, stdout, stderr) = stack.run(&arguments);
    let json = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    (code, json, stderr)
}

fn problems(stack: &Stack) -> String {
    stack.json("edge status")["edges"][0]["key_problems"].to_string()
}

#[test]
fn a_group_is_added_under_load_and_no_request_fails() {
    let stack = Stack::start_with(&SHORT_STOP);
    let customer = stack.customer(1, "seal", "enterprise");
    let (old, _) = stack.key(customer, "seal");
    let line = format!("X-API-Key: {old}");
    let (done, answered, failures) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Vec::new()));
    let port = stack.edge.number();
    let load = |keep: bool| {
        let mut kept = None;
        while !done.load(Ordering::Relaxed) {
            let result = match kept.take() {
                Some(connection) => Ok(connection),
                None => Connection::open(port),
            };
            match result.and_then(|mut connection| Ok((connection.get(&[&line])?, connection))) {
                Ok((answer, connection)) => {
                    if answer.status != 200 {
                        failures.lock().unwrap().push(format!("{answer:?}"));
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                    kept = keep.then_some(connection);
                }
                Err(Failure::IdleClosed) => {}
                Err(failure) => failures.lock().unwrap().push(format!("{failure:?}")),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let load = &load;
    let new = std::thread::scope(|scope| {
        for number in 0..12 {
            scope.spawn(move || load(number % 2 == 0));
        }
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _end = End(&done);
        std::thread::sleep(Duration::from_millis(300));
        let before = stack.worker_pids();
        let (code, added, stderr) = keyring(&stack, "add-group");
        assert_eq!(code, 0, "{stderr}{}", stack.logs());
        assert_eq!(
            (&added["group"], &added["default_group"], &added["applied"]),
            (&2.into(), &2.into(), &true.into())
        );
        assert_ne!(stack.worker_pids(), before, "a reload");
        let (new, _) = stack.key(customer, "seal");
        for _ in 0..50 {
            assert_eq!((stack.status_with(&new), stack.status_with(&old)), (200, 200));
        }
        new
    });
    let failures = failures.into_inner().unwrap();
    println!("answered under load: {}", answered.load(Ordering::Relaxed));
    assert!(failures.is_empty(), "{failures:?}{}", stack.logs());
    assert!(answered.load(Ordering::Relaxed) > 100);

    // The status has the check value that the command told, and no secret.
    let (_, list, _) = keyring(&stack, "list");
    let status = stack.runtime("suiftly status");
    let check = list["items"][1]["check"].as_str().unwrap();
    assert!(status.contains(&format!("{{\"group\":2,\"check\":\"{check}\"}}")), "{status}");
    let text = std::fs::read_to_string(stack.state().join("keyring.toml")).unwrap();
    for secret in text.split('"').filter(|part| part.len() == 64) {
        assert!(!status.contains(&secret[..8]) && !stack.logs().contains(&secret[..8]));
    }

    // Retiring leaves its keys good; removing refuses while there are any, and then they are refused.
    assert_eq!(keyring(&stack, "retire-group 2").0, 4, "the default");
    let (code, retired, _) = keyring(&stack, "retire-group 1");
    assert_eq!((code, &retired["live_keys"]), (0, &1.into()), "{retired}");
    assert_eq!(stack.status_with(&old), 200);
    assert_eq!(keyring(&stack, "retire-group 1 --remove").0, 4, "it has a live key");
    let (code, removed, stderr) = keyring(&stack, "retire-group 1 --remove --force");
    assert_eq!((code, &removed["state"]), (0, &"removed".into()), "{stderr}{}", stack.logs());
    assert_eq!(stack.get(&[&line]).code(), "unknown_group");
    assert_eq!(stack.status_with(&new), 200);
    assert_eq!(problems(&stack), "[]");
}

#[test]
fn a_keyring_that_cannot_be_used_causes_no_reload_and_is_told() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, _) = stack.key(customer, "seal");
    let path = stack.state().join("keyring.toml");
    let (good, before) = (std::fs::read_to_string(&path).unwrap(), stack.worker_pids());
    std::fs::write(&path, good.replace("[groups]", "[groups")).unwrap();
    harness::http::wait_for("the problem", Duration::from_secs(5), || {
        let told = problems(&stack);
        (told.contains("keyring.toml") && told.contains("line ")).then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(stack.worker_pids(), before, "reloaded with a bad keyring");
    assert_eq!(stack.status_with(&key), 200);
    assert_eq!(stack.json("edge status")["edges"][0]["in_step"], true);
    // Corrected, and nothing in it that HAProxy has not: no reload either.
    std::fs::write(&path, format!("{good}# a remark\n")).unwrap();
    harness::http::wait_for("the end of the problem", Duration::from_secs(5), || {
        (problems(&stack) == "[]").then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(stack.worker_pids(), before);
}

#[test]
fn an_edge_that_lacks_a_group_says_so_stays_in_step_and_mints_once_it_has_it() {
    let mut stack = Stack::start_with(&SHORT_STOP);
    let customer = stack.customer(1, "seal", "enterprise");
    let path = stack.state().join("keyring.toml");
    let first = std::fs::read_to_string(&path).unwrap();
    stack.stop_child("serve");
    let (code, added, _) = keyring(&stack, "add-group --wait-limit 1");
    assert_eq!((code, &added["default_group"]), (5, &1.into()), "{added}");
    let second = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &first).unwrap();
    stack.start_child("serve");
    stack.wait_until_ready();
    harness::http::wait_for("the problem", Duration::from_secs(5), || {
        problems(&stack).contains("lacks group 2; copy the keyring file there").then_some(())
    });
    let revoked = stack.admin("key revoke --fingerprint 4100000112345678");
    assert_eq!(revoked["applied"], true, "tables go on");
    std::fs::write(&path, &second).unwrap();
    let (code, used, stderr) = keyring(&stack, "use-group 2");
    assert_eq!((code, &used["default_group"]), (0, &2.into()), "{stderr}{}", stack.logs());
    let key = stack.admin(&format!("key create --customer {customer} --service seal"));
    assert_eq!(key["group"], 2);
    assert_eq!(stack.status_with(key["api_key"].as_str().unwrap()), 200);
}
