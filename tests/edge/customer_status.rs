//! A customer's status is in force at the edge: nothing of a suspended customer is served, everything of one that is resumed,
//! and a closed account's keys are revoked for ever.

use harness::{Connection, Stack};

#[test]
fn a_suspended_customers_key_is_refused_until_it_is_resumed_and_a_closed_ones_for_ever() {
    let stack = Stack::start();
    let (customer, other) = (stack.customer(1, "seal", "pro"), stack.customer(2, "seal", "pro"));
    let (key, fingerprint) = stack.key(customer, "seal");
    let key = format!("X-API-Key: {key}");
    let other_key = format!("X-API-Key: {}", stack.key(other, "seal").0);
    // Both are known to the worker before anything happens; the connection is kept throughout.
    let mut kept = Connection::open(stack.edge.number()).unwrap();
    assert_eq!(kept.get(&[&key]).unwrap().status, 200);

    let answer = stack.admin(&format!("customer suspend --id {customer}"));
    assert_eq!((&answer["status"], &answer["applied"]), (&"suspended".into(), &true.into()), "{answer}");
    let refused = kept.get(&[&key]).unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (403, "customer_suspended"));
    // A service that is switched on meanwhile does not open anything either.
    stack.admin(&format!("service enable --customer {customer} --service grpc --tier pro"));
    let grpc = format!("X-API-Key: {}", stack.key(customer, "grpc").0);
    assert_eq!(kept.get(&[&grpc]).unwrap().code(), "customer_suspended");
    assert_eq!(kept.get(&[&other_key]).unwrap().status, 200);

    stack.admin(&format!("customer resume --id {customer}"));
    assert_eq!(kept.get(&[&key]).unwrap().status, 200);
    assert_eq!(kept.get(&[&grpc]).unwrap().status, 200);

    let answer = stack.admin(&format!("customer close --id {customer} --yes"));
    assert_eq!((&answer["keys_revoked"], &answer["applied"]), (&2.into(), &true.into()), "{answer}");
    for line in [&key, &grpc] {
        let refused = kept.get(&[line]).unwrap();
        assert_eq!((refused.status, refused.code().as_str()), (401, "revoked"));
    }
    let (code, _, stderr) =
        stack.run(&["admin", "key", "re-enable", "--fingerprint", &fingerprint, "--json"]);
    assert_eq!(code, 4, "{stderr}");
    assert_eq!(kept.get(&[&key]).unwrap().code(), "revoked");
    assert_eq!(kept.get(&[&other_key]).unwrap().status, 200);
    // Workers that start afterwards read the same from the files.
    stack.reload();
    stack.wait_until_healthy();
    assert_eq!(stack.get(&[&key]).code(), "revoked");
    assert_eq!(stack.get(&[&other_key]).status, 200);
}
