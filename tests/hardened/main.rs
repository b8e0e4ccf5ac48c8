//! The hardened variant: HAProxy with the command line, the groups and the capabilities of its systemd unit, chrooted,
//! its worker another user. (`tests/package` runs the units themselves under a real systemd.)
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says when it was skipped"
)]

mod figures;
mod layout;
mod request_log;
mod sandbox;
mod start;
mod unit;

/// Changing users and folders' owners needs root. Without it these tests prove nothing, and say so.
fn can_run() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("SKIPPED: the tests of the hardened variant need root");
    }
    root
}
