//! `suiftly doctor`: looks at everything that an edge on this machine stands on, and says what to do about what it finds.
//!
//! Each check is one function from what there is to findings. Nothing is changed, and a check that cannot look says so
//! as a finding of its own: silence would read as health.

mod configuration;
mod database;
mod files;
mod machine;
mod metering;
mod programs;
mod running;

use crate::clock::Clock;
use crate::config::Config;
use serde::Serialize;
use std::path::PathBuf;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, and will not for long, or not for everybody.
    Warning,
    /// Does not work.
    Problem,
}

/// What one check has seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub seen: String,
    /// What to do; nothing where all is well.
    pub todo: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, severity: Severity::Ok, seen: seen.into(), todo: None }
    }

    fn warning(check: &'static str, seen: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check, severity: Severity::Warning, seen: seen.into(), todo: Some(todo.into()) }
    }

    fn problem(check: &'static str, seen: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check, severity: Severity::Problem, seen: seen.into(), todo: Some(todo.into()) }
    }
}

/// What the checks look at.
pub struct Patient<'a> {
    /// The settings.
    pub config: &'a Config,
    /// HAProxy's configuration files, in the order in which it reads them.
    pub haproxy_configs: Vec<PathBuf>,
    /// The program.
    pub haproxy: PathBuf,
    /// The clock.
    pub clock: &'a Clock,
}

/// Runs every check, in the order in which one would ask.
pub fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let lua = programs::haproxy(patient);
    let mut findings = lua.findings;
    findings.extend(programs::module(patient, lua.version.as_deref()));
    findings.extend(files::keyring(patient));
    findings.extend(files::secrets(patient));
    findings.extend(files::state(patient));
    findings.extend(files::maps(patient));
    findings.extend(metering::ledger(patient));
    findings.extend(configuration::haproxy_accepts_it(patient));
    findings.extend(database::database(patient));
    findings.extend(running::control_plane(patient));
    findings.extend(running::edge(patient));
    findings.extend(machine::clock(patient));
    findings.extend(machine::free_disk(patient));
    findings
}
