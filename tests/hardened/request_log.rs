//! The worker in its empty folder reaches the request log all the same: it goes by UDP.

use crate::layout::Installation;
use std::time::{Duration, Instant};

#[test]
fn a_request_through_the_hardened_edge_stands_in_the_request_log() {
    if !crate::can_run() {
        return;
    }
    let installation = Installation::started();
    let key = installation.key(1);
    assert_ne!(installation.status_with(&key), 0);
    let customer =
        installation.admin(&format!("customer create --wallet 0x{:064x}", 1))["customer_id"].clone();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let listed = installation.admin(&format!("requests --customer {customer}"));
        if listed["items"].as_array().unwrap().iter().any(|row| row["class"] == "guaranteed") {
            return;
        }
        assert!(Instant::now() < deadline, "no request in the log{}", installation.logs());
        std::thread::sleep(Duration::from_millis(100));
    }
}
