//! `suiftly serve`.

use crate::app;
use crate::cli::{Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// It could not start, or its agent has ended.
pub fn run(config: &Config, clock: Clock) -> Result<Reply, Failure> {
    log_to_stderr();
    app::serve(config, clock)?;
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
