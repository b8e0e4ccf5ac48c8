//! The format is what its description says, not what one program does: keys made by another implementation, in another
//! language, are the same text and open the same doors.

use harness::keys::{Random, mint_independently};
use harness::{Connection, Stack};

#[test]
fn a_key_minted_by_another_implementation_is_the_same_text_and_is_accepted() {
    let stack = Stack::start_with(&[("SUIFTLY_ACCEPT_V0", "1")]);
    let secret = stack.secret_hex();
    let customer = stack.customer(1, "seal", "pro");
    for service in ["grpc", "graphql"] {
        stack.admin(&format!("service enable --customer {customer} --service {service} --tier pro"));
    }
    let seed = 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut connection = Connection::open(stack.edge.number()).unwrap();
    for service in ["seal", "grpc", "graphql"] {
        for version in [1, 0] {
            for derivation in [1, 1023, 1 + random.below(1023)] {
                let key = mint_independently(&secret, 1, service, derivation as u32, customer, version);
                let ours = stack.json(&format!(
                    "key mint --customer {customer} --service {service} --derivation {derivation} --key-version {version}"
                ));
                assert_eq!(ours["api_key"], key.as_str(), "{service} {version} {derivation}");
                let answer = connection.get(&[&format!("X-API-Key: {key}")]).unwrap();
                assert_eq!(answer.status, 200, "{service} {version} {derivation}");
            }
        }
    }
    // What `admin key create` hands out is one of them, too.
    let created = stack.admin(&format!("key create --customer {customer} --service seal"));
    let derivation = created["derivation"].as_u64().unwrap() as u32;
    assert_eq!(created["api_key"], mint_independently(&secret, 1, "seal", derivation, customer, 1));
}

#[test]
fn a_key_of_another_secret_is_refused() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "pro");
    let key = mint_independently(&"00".repeat(32), 1, "seal", 1, customer, 1);
    assert_eq!(stack.get(&[&format!("X-API-Key: {key}")]).code(), "bad_mac");
}
