//! `suiftly agent`: an edge's agent on a machine without a control plane.

use crate::app::{self, AgentSettings};
use crate::cli::{Exit, Failure, Reply, log};
use crate::clock::Clock;
use crate::config::Config;
use clap::Args;
use std::path::PathBuf;

/// Where the control plane is, and who asks.
#[derive(Args, Clone, Debug)]
pub struct AgentArguments {
    /// The control plane's address; https, unless it is on this machine [setting: control_plane]
    #[arg(long, value_name = "URL")]
    control_plane: Option<String>,
    /// The file with the token that `suiftly admin edge add` has printed; mode 0600 [setting: token_file]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Believe only certificates of this authority (PEM), or only this very certificate [setting: ca_file]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// A setting is missing, it could not start, or its agent has ended.
pub fn run(arguments: &AgentArguments, config: &Config, clock: Clock) -> Result<Reply, Failure> {
    log::start(&config.log);
    let missing = |option: &str, variable: &str| {
        Failure::new(Exit::Usage, format!("an edge's agent needs {option}, or the setting {variable}"))
    };
    let (given, set) = (arguments.clone(), &config.agent);
    let settings = AgentSettings {
        control_plane: (given.control_plane.or_else(|| set.control_plane.clone()))
            .ok_or_else(|| missing("--control-plane URL", "SUIFTLY_CONTROL_PLANE"))?,
        token_file: (given.token_file.or_else(|| set.token_file.clone()))
            .ok_or_else(|| missing("--token-file FILE", "SUIFTLY_TOKEN_FILE"))?,
        ca_file: given.ca_file.or_else(|| set.ca_file.clone()),
    };
    app::run_agent(config, &settings, clock)?;
    Ok(Reply::nothing())
}
