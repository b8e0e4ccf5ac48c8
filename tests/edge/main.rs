//! The edge: real requests through a real HAProxy. One file a story; the names of the tests are what they prove.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and prints what it measured"
)]

/// Whether the slow suites run at their whole size: `scripts/test --full`.
fn is_full() -> bool {
    std::env::var("SUIFTLY_TEST_FULL").is_ok_and(|full| full == "1")
}

mod allowlists;
mod answers;
mod changes;
mod configuration;
mod customer_api;
mod customer_status;
mod doctor;
mod edge_commands;
mod exactness;
mod fail_closed;
mod failing_sources;
mod first_light;
mod forgeries;
mod independent_key;
mod journal;
mod key_groups;
mod limits;
mod metering;
mod operator_maps;
mod random_changes;
mod reload_and_kill;
mod remote;
mod request_log;
mod restore;
mod statistics;
mod tls;
mod trusted_proxies;
