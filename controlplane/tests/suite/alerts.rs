//! The alert rules: valid, tried, and each explained.
//!
//! `promtool` (Debian's package `prometheus`) checks the rules and runs their own tests. Where it is missing they are only
//! parsed, and the test says so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn folder() -> PathBuf {
    repository().join("packaging/prometheus")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap()
}

fn values<'a>(text: &'a str, field: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(field)).collect()
}

fn all_said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_alert_is_explained_where_its_runbook_leads_and_no_other_is() {
    let (rules, modes) = (read("packaging/prometheus/suiftly-alerts.yml"), read("docs/FAILURE-MODES.md"));
    let alerts = values(&rules, "alert: ");
    assert!(alerts.len() >= 12, "{alerts:?}");
    let runbooks: Vec<String> =
        alerts.iter().map(|alert| format!("docs/FAILURE-MODES.md#{}", alert.to_ascii_lowercase())).collect();
    assert_eq!(values(&rules, "runbook: "), runbooks);
    assert_eq!(values(&rules, "severity: ").len(), alerts.len());

    let (_, section) = modes.split_once("\n## Alerts\n").unwrap();
    let entries: Vec<&str> = section.split("\n### `").skip(1).collect();
    let explained: Vec<&str> = entries.iter().filter_map(|entry| entry.split('`').next()).collect();
    assert_eq!(explained, alerts, "the entries stand in the order of the rules");
    for entry in entries {
        assert!(
            entry.to_ascii_lowercase().contains("**cost**") && entry.to_ascii_lowercase().contains("**do**"),
            "{entry}"
        );
    }
}

#[test]
fn every_alert_has_a_case_that_fires_and_one_that_does_not() {
    let (rules, tests) = (
        read("packaging/prometheus/suiftly-alerts.yml"),
        read("packaging/prometheus/suiftly-alerts-test.yml"),
    );
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for case in tests.split("eval_time: ").skip(1) {
        let alert = values(case, "alertname: ")[0];
        if case.contains("exp_alerts:") {
            firing.insert(alert)
        } else {
            silent.insert(alert)
        };
    }
    let alerts: BTreeSet<&str> = values(&rules, "alert: ").into_iter().collect();
    assert_eq!(firing, alerts);
    assert_eq!(silent, alerts);
}

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    for (what, file) in [("check", "suiftly-alerts.yml"), ("test", "suiftly-alerts-test.yml")] {
        let run = Command::new("promtool").args([what, "rules", file]).current_dir(folder()).output();
        match run {
            Ok(output) => assert!(output.status.success(), "{}", all_said(&output)),
            Err(error) => {
                eprintln!("SKIPPED: promtool cannot be run ({error}); {file} is only parsed");
                parse(&folder().join(file));
            }
        }
    }
}

fn parse(file: &Path) {
    const PARSE: &str =
        "import sys, yaml; yaml.safe_load(open(sys.argv[1]))['groups' if len(sys.argv) < 3 else 'tests']";
    let mut python = Command::new("python3");
    python.args(["-c", PARSE]).arg(file);
    if file.ends_with("suiftly-alerts-test.yml") {
        python.arg("tests");
    }
    match python.output() {
        Ok(output) if all_said(&output).contains("No module named 'yaml'") => {
            eprintln!("SKIPPED: python3-yaml is missing, too: {} is not even parsed", file.display());
        }
        Ok(output) => assert!(output.status.success(), "{}", all_said(&output)),
        Err(error) => {
            eprintln!("SKIPPED: python3 cannot be run ({error}): {} is not even parsed", file.display())
        }
    }
}
