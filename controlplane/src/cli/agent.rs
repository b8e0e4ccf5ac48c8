//! `suiftly agent`: an edge's agent on a machine without a control plane.

use crate::app::{self, AgentSettings};
use crate::cli::serve::log_to_stderr;
use crate::cli::{Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use clap::Args;
use std::path::PathBuf;

/// Where the control plane is, and who asks.
#[derive(Args, Clone, Debug)]
pub struct AgentArguments {
    /// The control plane's address; https, unless it is on this machine
    #[arg(long, value_name = "URL", env = "SUIFTLY_CONTROL_PLANE")]
    control_plane: String,
    /// The file with the token that `suiftly admin edge add` has printed; mode 0600
    #[arg(long, value_name = "FILE", env = "SUIFTLY_TOKEN_FILE")]
    token_file: PathBuf,
    /// Believe only certificates of this authority (PEM), or only this very certificate
    #[arg(long, value_name = "FILE", env = "SUIFTLY_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// It could not start, or its agent has ended.
pub fn run(arguments: &AgentArguments, config: &Config, clock: Clock) -> Result<Reply, Failure> {
    log_to_stderr();
    let settings = AgentSettings {
        control_plane: arguments.control_plane.clone(),
        token_file: arguments.token_file.clone(),
        ca_file: arguments.ca_file.clone(),
    };
    app::run_agent(config, &settings, clock)?;
    Ok(Reply::nothing())
}
