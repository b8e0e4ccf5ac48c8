//! The API against its own description, by schemathesis (PyPI): what it takes, what it answers, and what it must refuse.

use super::customer::Customer;
use super::server::Server;
use super::wallet::Wallet;
use crate::harness::{Backend, on_both_databases};
use std::path::PathBuf;
use std::process::Command;

on_both_databases! {
    the_api_is_what_its_description_says,
}

/// What would take away what the others are tried with.
const ENDING: [&str; 3] = ["endSessions", "endSession", "closeAccount"];
/// How many examples of each operation.
const EXAMPLES: &str = "40";
const EXAMPLES_FULL: &str = "1000";

fn the_api_is_what_its_description_says(backend: Backend) {
    let Some(program) = schemathesis() else { return };
    let server = Server::with(backend, |settings| {
        (settings.sign_in_per_minute, settings.requests_per_minute) = (1_000_000, 1_000_000);
        settings.sign_in_failures_per_minute = 1_000_000;
    });
    let seed = controlplane::random::any_u32().unwrap().to_string();
    eprintln!("seed {seed}");
    let wallet = Wallet::new(1);
    // Something to look at and to change.
    let customer = Customer::with_credit(&server, 1, 100_000);
    customer.subscribe("seal", "pro").with(201);
    customer.key("seal").with(201);
    let ending = ENDING.map(|operation| format!("--exclude-operation-id={operation}"));
    try_all(&program, &server, &wallet.sign_in(&server).access, &seed, &ending);
    for operation in ENDING {
        let only = [format!("--include-operation-id={operation}")];
        try_all(&program, &server, &wallet.sign_in(&server).access, &seed, &only);
    }
}

fn try_all(program: &PathBuf, server: &Server, access: &str, seed: &str, which: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    let is_full = std::env::var("SUIFTLY_TEST_FULL").is_ok_and(|value| value == "1");
    let output = Command::new(program)
        .arg(format!("--config-file={}", workspace().join("tests/api/schemathesis.toml").display()))
        .arg("run")
        .arg(format!("http://127.0.0.1:{}/api/v1/openapi.json", server.port))
        .args(["--header", &format!("Authorization: Bearer {access}"), "--seed", seed])
        .args([
            "--max-examples",
            if is_full { EXAMPLES_FULL } else { EXAMPLES },
            "--workers",
            "1",
            "--no-color",
        ])
        .args(which)
        // It keeps what it found, tokens included, where it runs.
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{which:?}, seed {seed}\n{stdout}\n{stderr}");
    assert!(stdout.contains("Test cases:"), "nothing was tried\n{stdout}\n{stderr}");
}

/// None where there is no Python; `scripts/test` installs the rest.
fn schemathesis() -> Option<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let program = target.join("python/bin/schemathesis");
    if program.exists() {
        return Some(program);
    }
    assert!(
        Command::new("python3").arg("--version").output().is_err(),
        "{} is missing; `scripts/test` installs it, or by hand: . scripts/lib/python.sh, then require_test_python",
        program.display()
    );
    eprintln!("NOT RUN: this test needs schemathesis, and `python3` is not installed here");
    None
}

fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
