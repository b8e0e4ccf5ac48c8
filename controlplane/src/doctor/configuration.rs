//! What HAProxy itself says to its configuration.

use super::{Finding, Patient};
use std::process::Command;

pub(super) fn haproxy_accepts_it(patient: &Patient<'_>) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    let mut command = Command::new(&patient.haproxy);
    command.arg("-c");
    for path in &patient.haproxy_configs {
        command.arg("-f").arg(path);
    }
    // Where the settings left them unset, this program's defaults are HAProxy's, too; but it must know the same folders.
    command.env("SUIFTLY_STATE", &patient.config.state.folder);
    command.env("SUIFTLY_MODULES", &patient.config.edge.modules);
    command.env("SUIFTLY_HOME", &patient.config.edge.home);
    let files: Vec<String> = patient.haproxy_configs.iter().map(|path| path.display().to_string()).collect();
    let files = files.join(" and ");
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            return vec![Finding::problem(
                CHECK,
                format!("haproxy -c does not run: {error}"),
                "see HAProxy above",
            )];
        }
    };
    let printed =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let first = |mark: &str| printed.lines().find(|line| line.contains(mark)).map(str::to_owned);
    let finding = match (output.status.success(), first("[ALERT]"), first("[WARNING]")) {
        (true, _, None) => Finding::ok(CHECK, format!("HAProxy accepts {files}")),
        (true, _, Some(warning)) => Finding::warning(
            CHECK,
            format!("HAProxy accepts {files}, with a warning: {warning}"),
            "see what it warns of",
        ),
        (false, alert, _) => {
            let alert =
                alert.unwrap_or_else(|| printed.lines().next().unwrap_or("it says nothing").to_owned());
            let todo =
                "correct what it names (docs/FAILURE-MODES.md); a running HAProxy goes on with what it has";
            Finding::problem(CHECK, format!("HAProxy refuses {files}: {alert}"), todo)
        }
    };
    vec![finding]
}
