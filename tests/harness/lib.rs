//! What the end-to-end tests stand on: a whole stack of its own for each test (control plane, HAProxy with the module,
//! upstream), a plain HTTP/1.1 client, paced load.
//!
//! The stack is started as `scripts/run` starts it, from what `scripts/test` has built before: the binary in
//! `target/release` and the modules in `target/modules`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

pub mod customer_api;
pub mod edge_log;
pub mod http;
pub mod keys;
pub mod limits;
pub mod load;
pub mod ports;
pub mod stack;
pub mod upstream;
pub mod wire;

pub use http::{Answer, Connection, Failure};
pub use stack::{Stack, repository};
