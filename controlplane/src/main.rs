//! The `suiftly` command.

use controlplane::clock::Clock;
use std::process::ExitCode;

fn main() -> ExitCode {
    // What is no text cannot be one of our settings.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    controlplane::cli::run(std::env::args_os(), &variables, Clock::system())
}
