//! `suiftly serve`.

use crate::app::{self, Serving};
use crate::cli::{Failure, Reply, log};
use crate::clock::Clock;
use crate::config::Config;
use clap::Args;

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
    log::start(&config.log);
    let serving = if arguments.without_edge { Serving::WithoutEdge } else { Serving::WithEdge };
    app::serve(config, serving, clock)?;
    Ok(Reply::nothing())
}
