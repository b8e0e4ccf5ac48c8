//! gRPC end to end: real clients in two languages (Rust's tonic, Python's grpcio) through the edge to a real gRPC server,
//! in clear HTTP/2 and over TLS. The names of the tests are what they prove.
//!
//! A message is bytes here. No schema is compiled: what the edge carries is gRPC's framing, not what is in it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bytes_codec;
mod caller;
mod calls;
mod edge;
mod grpcio_client;
mod refusals;
mod server;
mod tonic_client;

/// Makes each story a test in clear and a test over TLS.
macro_rules! over_both_transports {
    ($($story:ident),* $(,)?) => {
        mod in_clear {
            $(#[test] fn $story() { super::$story($crate::edge::Transport::Clear); })*
        }
        mod over_tls {
            $(#[test] fn $story() { super::$story($crate::edge::Transport::Tls); })*
        }
    };
}
use over_both_transports;
