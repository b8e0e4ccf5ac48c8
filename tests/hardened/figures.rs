//! `systemd-analyze security` judges the units no worse than the documentation says.

use crate::unit::Unit;
use harness::repository;
use std::process::Command;

fn exposure(name: &str) -> String {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(Unit::path(name))
        .env("SYSTEMD_COLORS", "0")
        .output()
        .expect("systemd-analyze runs; scripts/test installs systemd");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("Overall exposure level"));
    let line = line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    line.split(": ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn the_units_are_no_more_exposed_than_the_documentation_says() {
    let documentation = std::fs::read_to_string(repository().join("docs/OPERATIONS.md")).unwrap();
    for (name, most) in [("suiftly-edge", 2.6), ("suiftly", 1.1), ("suiftly-agent", 1.1)] {
        let exposure = exposure(name);
        assert!(exposure.parse::<f64>().unwrap() <= most, "{name}.service: {exposure}, at most {most}");
        let row = format!("| `{name}.service` | {exposure} |");
        assert!(documentation.contains(&row), "docs/OPERATIONS.md lacks the row `{row} … |`");
    }
}
