//! `suiftly serve`.

use crate::app::{self, Serving};
use crate::cli::{Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use clap::Args;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What runs beside the API.
#[derive(Args, Clone, Copy, Debug)]
pub struct ServeArguments {
    /// Run no agent for an HAProxy on this machine: every edge has its own `suiftly agent`
    #[arg(long)]
    without_edge: bool,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// It could not start, or its agent has ended.
pub fn run(arguments: ServeArguments, config: &Config, clock: Clock) -> Result<Reply, Failure> {
    log_to_stderr();
    let serving = if arguments.without_edge { Serving::WithoutEdge } else { Serving::WithEdge };
    app::serve(config, serving, clock)?;
    Ok(Reply::nothing())
}

/// Logs as text for people and as JSON for machines; `RUST_LOG` says what, and what it does not say is
/// `info`.
pub fn log_to_stderr() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let is_terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that the caller logs already; then it goes there.
    let _ = if is_terminal {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}
