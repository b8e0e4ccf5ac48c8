//! Expiry, rotation and re-enabling: what the database keeps, and what the edges are told.

use crate::harness::{Backend, Stack, on_both_databases};
use controlplane::db::revocations;
use serde_json::Value;

on_both_databases! {
    an_expiry_is_told_ahead_and_comes_back_with_a_re_enabled_key,
    a_rotated_key_ends_after_the_overlap_and_the_new_one_is_like_it,
    what_cannot_be_is_refused_and_changes_nothing,
}

fn key(stack: &Stack) -> (u64, String) {
    let customer = stack.customer(1);
    stack.run(&format!("admin service enable --customer {customer} --service seal --tier pro --no-wait"));
    let made =
        stack.run(&format!("admin key create --customer {customer} --service seal --json")).json_with(0);
    (customer, made["fingerprint"].as_str().unwrap().to_owned())
}

/// What edges are told, as the lines of their table.
fn told(stack: &Stack) -> Vec<String> {
    let all = stack.open_database().read(revocations::all).unwrap();
    all.iter().map(ToString::to_string).collect()
}

fn change(stack: &Stack, line: &str) -> Value {
    stack.run(&format!("admin key {line} --no-wait --json")).json_with(0)
}

fn state(stack: &Stack, customer: u64, print: &str) -> String {
    let listed = stack.run(&format!("admin key list --customer {customer} --json")).json_with(0);
    let items = listed["items"].as_array().unwrap();
    items.iter().find(|item| item["fingerprint"] == print).unwrap()["state"].as_str().unwrap().to_owned()
}

fn an_expiry_is_told_ahead_and_comes_back_with_a_re_enabled_key(backend: Backend) {
    let stack = Stack::on(backend);
    let (customer, print) = key(&stack);
    let expire = |at: &str| change(&stack, &format!("expire --fingerprint {print} --at {at}"));
    assert_eq!(expire("2100-01-01T00:00:00Z")["expires_at"], "2100-01-01T00:00:00.000Z");
    assert_eq!(told(&stack), [format!("{print} 4102444800 expired")]);
    assert_eq!(state(&stack, customer, &print), "active");
    change(&stack, &format!("revoke --fingerprint {print}"));
    assert_eq!(told(&stack), [format!("{print} 0 revoked")]);
    // A later expiry of a revoked key is kept, and does not open it.
    expire("2101-01-01T00:00:00Z");
    assert_eq!(told(&stack), [format!("{print} 0 revoked")]);
    let answer = change(&stack, &format!("re-enable --fingerprint {print}"));
    assert_eq!(answer["re_enabled"], true, "{answer}");
    assert_eq!(told(&stack), [format!("{print} 4133980800 expired")]);
    let before = answer["sequence"].clone();
    let answer = change(&stack, &format!("re-enable --fingerprint {print}"));
    assert_eq!((&answer["re_enabled"], &answer["sequence"]), (&false.into(), &before));
    expire("2001-01-01T00:00:00Z");
    assert_eq!(state(&stack, customer, &print), "expired");
    change(&stack, &format!("expire --fingerprint {print} --never"));
    assert!(told(&stack).is_empty());
    assert_eq!(state(&stack, customer, &print), "active");
    // One that we never issued has no row but its revocation.
    let stranger = "4100000112345678";
    change(&stack, &format!("revoke --fingerprint {stranger}"));
    assert_eq!(change(&stack, &format!("re-enable --fingerprint {stranger}"))["re_enabled"], true);
    assert!(told(&stack).is_empty());
}

fn a_rotated_key_ends_after_the_overlap_and_the_new_one_is_like_it(backend: Backend) {
    let stack = Stack::on(backend);
    let (customer, old) = key(&stack);
    let rotated = change(&stack, &format!("rotate --fingerprint {old} --overlap 1h"));
    let new = rotated["fingerprint"].as_str().unwrap();
    assert!(new != old && rotated["api_key"].as_str().unwrap().starts_with('S'), "{rotated}");
    assert_eq!(
        (state(&stack, customer, &old), state(&stack, customer, new)),
        ("active".into(), "active".into())
    );
    let ends = told(&stack);
    assert!(ends.len() == 1 && ends[0].starts_with(&old) && ends[0].ends_with(" expired"), "{ends:?}");
    // A second rotation cannot lengthen what ends earlier.
    change(&stack, &format!("expire --fingerprint {new} --at 2030-01-01T00:00:00Z"));
    let again = change(&stack, &format!("rotate --fingerprint {new} --overlap 36500d"));
    assert_eq!(again["old_expires_at"], "2030-01-01T00:00:00.000Z");
    change(&stack, &format!("rotate --fingerprint {old} --overlap 0s"));
    assert_eq!(state(&stack, customer, &old), "expired");
    stack.run(&format!("admin key rotate --fingerprint {old} --no-wait")).fails(4, "refused already");
}

fn what_cannot_be_is_refused_and_changes_nothing(backend: Backend) {
    let stack = Stack::on(backend);
    let (_, print) = key(&stack);
    let stranger = "4100000112345678";
    for (line, code, words) in [
        (format!("expire --fingerprint {stranger} --at 1d"), 4, "was not issued here"),
        (format!("rotate --fingerprint {stranger}"), 4, "was not issued here"),
        (format!("expire --fingerprint {print}"), 2, "--at"),
        (format!("expire --fingerprint {print} --at tomorrow"), 2, "no time"),
        (format!("expire --fingerprint {print} --at 1d --never"), 2, "cannot be used"),
        (format!("rotate --fingerprint {print} --overlap 2"), 2, "no duration"),
        ("re-enable --fingerprint zz".to_owned(), 2, "16 hex digits"),
        ("re-enable --fingerprint F100000112345678".to_owned(), 2, "version 3"),
    ] {
        let answer = stack.run(&format!("admin key {line} --no-wait"));
        assert_eq!(answer.code, code, "{line}: {}", answer.stderr);
        assert!(answer.stderr.contains(words), "{line}: {}", answer.stderr);
    }
    assert!(told(&stack).is_empty());
}
