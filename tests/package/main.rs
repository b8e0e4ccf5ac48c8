//! The Debian package, installed, run, upgraded, removed and purged under a systemd of its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]

use std::process::Command;

/// What `check.sh` answers where it cannot run.
const SKIPPED: i32 = 77;

#[test]
fn the_package_is_installed_run_upgraded_removed_and_purged() {
    let output = Command::new(harness::repository().join("tests/package/check.sh")).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}{}", text(&output.stdout), text(&output.stderr));
    match output.status.code() {
        Some(0) => {}
        Some(SKIPPED) => println!("SKIPPED: run it as root"),
        other => panic!("tests/package/check.sh ended with {other:?}; its lines stand above"),
    }
}
