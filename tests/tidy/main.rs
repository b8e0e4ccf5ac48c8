//! Style as a test: what a review would ask for again and again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use edgeformat::Reason;
use harness::repository;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files under version control, or about to be.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output()
        .unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines().map(|line| repository().join(line)).filter(|path| path.exists()).collect()
}

fn with_extension<'a>(
    files: &'a [PathBuf],
    extensions: &'a [&str],
) -> impl Iterator<Item = (&'a Path, String)> {
    let wanted =
        |path: &&PathBuf| path.extension().is_some_and(|e| extensions.contains(&e.to_str().unwrap()));
    files.iter().filter(wanted).map(|path| (path.as_path(), std::fs::read_to_string(path).unwrap()))
}

#[test]
fn no_file_of_code_is_longer_than_600_lines() {
    let files = files();
    let long: Vec<_> = with_extension(&files, &["rs", "lua", "py", "sh"])
        .filter(|(_, text)| text.lines().count() > 600)
        .map(|(path, text)| format!("{}: {}", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "does each still do one thing? {long:?}");
}

#[test]
fn nothing_is_left_over() {
    // Put together here so that this file does not find itself.
    let marks = ["TO", "FIX"].iter().zip(["DO", "ME"]).map(|(a, b)| format!("{a}{b}"));
    let marks: Vec<String> =
        marks.chain(["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("))).collect();
    let files = files();
    for (path, text) in with_extension(&files, &["rs", "lua", "py", "sh", "cfg", "toml"]) {
        for (number, line) in text.lines().enumerate() {
            let found = marks.iter().find(|mark| line.contains(mark.as_str()));
            assert!(found.is_none(), "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn no_module_is_called_utils_helpers_common_or_manager() {
    for path in files() {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert!(
            !["util", "utils", "helper", "helpers", "common", "manager", "misc"].contains(&stem),
            "{}",
            path.display()
        );
    }
}

#[test]
fn every_reason_is_explained_in_failure_modes_and_stands_in_the_example_map() {
    let read = |name: &str| std::fs::read_to_string(repository().join(name)).unwrap();
    let (modes, map) = (read("docs/FAILURE-MODES.md"), read("maps/errors.map"));
    for reason in Reason::all() {
        let heading = format!("### {} `{}`", reason.number(), reason.code());
        assert!(modes.contains(&heading), "docs/FAILURE-MODES.md lacks the entry `{heading}`");
        assert!(
            map.contains(&format!("{} {}", reason.number(), reason.map_value())),
            "{reason} in maps/errors.map"
        );
    }
}

#[test]
fn unsafe_code_stands_only_where_it_is_declared() {
    let files = files();
    for (path, text) in with_extension(&files, &["rs"]) {
        let is_test =
            path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "benches");
        let unsafe_lines =
            text.lines().filter(|line| line.contains("unsafe {") || line.contains("unsafe fn"));
        // The mapping of the ledger: memory that processes share.
        let is_declared = path.ends_with("ledger/src/words.rs");
        assert!(is_test || is_declared || unsafe_lines.count() == 0, "{} has unsafe code", path.display());
    }
}

#[test]
fn only_the_db_folder_names_diesel_only_clock_rs_reads_the_time() {
    let files = files();
    for (path, text) in with_extension(&files, &["rs"]) {
        let path = path.strip_prefix(repository()).unwrap().to_str().unwrap();
        if path.starts_with("controlplane/src") && !path.starts_with("controlplane/src/db") {
            assert!(!text.contains("diesel::"), "{path} names Diesel; only controlplane/src/db may");
        }
        let source = path.contains("/src/") && !path.ends_with("clock.rs");
        assert!(!source || !text.contains("SystemTime::now("), "{path} reads the time; only clock.rs may");
    }
}
