//! `suiftly doctor`.

use crate::cli::{Exit, Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::doctor::{Finding, Patient, Severity, examine};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `suiftly doctor`.
#[derive(Args, Debug)]
pub struct DoctorArguments {
    /// A configuration file of HAProxy; several in the order in which it reads them
    /// [default: haproxy/haproxy.cfg in SUIFTLY_HOME]
    #[arg(long, value_name = "FILE")]
    haproxy_config: Vec<PathBuf>,
    /// The HAProxy program
    #[arg(long, value_name = "PROGRAM", default_value = "haproxy")]
    haproxy: PathBuf,
}

#[derive(Serialize)]
struct Answer {
    problems: usize,
    warnings: usize,
    findings: Vec<Finding>,
}

/// Examines; exit code 0 without a problem, else 1.
///
/// # Errors
/// None but that the answer cannot be written.
pub fn run(arguments: DoctorArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let mut haproxy_configs = arguments.haproxy_config;
    if haproxy_configs.is_empty() {
        haproxy_configs.push(config.edge.home.join("haproxy/haproxy.cfg"));
    }
    let findings = examine(&Patient { config, haproxy_configs, haproxy: arguments.haproxy, clock });
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (problems, warnings) = (count(Severity::Problem), count(Severity::Warning));
    let mut text = String::new();
    for finding in &findings {
        let mark = match finding.severity {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Problem => "PROBLEM",
        };
        text.push_str(&format!("{mark:<8} {:<14} {}\n", finding.check, finding.seen));
        if let Some(todo) = &finding.todo {
            text.push_str(&format!("{:<23} -> {todo}\n", ""));
        }
    }
    text.push_str(&format!("{problems} problems, {warnings} warnings\n"));
    let mut reply = Reply::new(&Answer { problems, warnings, findings }, text)?;
    if problems > 0 {
        reply.exit = Exit::Other;
    }
    Ok(reply)
}
