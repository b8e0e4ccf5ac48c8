//! `suiftly admin customer suspend | resume | close`.

use crate::cli::as_user::open_as_user;
use crate::cli::confirm::{Confirmed, WaitArguments, confirm};
use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Database;
use crate::domain::customer_status::{self, StatusChange};
use crate::domain::{CustomerStatus, DomainError};
use apikey::CustomerId;
use clap::Args;
use serde::Serialize;

/// Whose status, and how to wait.
#[derive(Args, Clone, Copy, Debug)]
pub struct StatusArguments {
    /// The customer's id
    #[arg(long, visible_alias = "customer", value_name = "N")]
    id: CustomerId,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Whose account is closed.
#[derive(Args, Clone, Copy, Debug)]
pub struct CloseArguments {
    #[command(flatten)]
    of: StatusArguments,
    /// Needed, since nothing opens a closed account again
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Answer {
    customer_id: u32,
    status: &'static str,
    changed: bool,
    keys_revoked: u64,
    sessions_ended: u64,
    api_tokens_revoked: u64,
    #[serde(flatten)]
    confirmed: Confirmed,
}

/// Suspends or resumes, and waits for the edges.
///
/// # Errors
/// [`Failure`].
pub fn change(
    arguments: &StatusArguments,
    change: fn(&mut Database, CustomerId, i64) -> Result<StatusChange, DomainError>,
    config: &Config,
    clock: &Clock,
) -> Result<Reply, Failure> {
    let done = change(&mut open_as_user(config)?, arguments.id, clock.now_ms())?;
    let confirmed = confirm(config, done.position, arguments.wait);
    let mut rows = vec![("customer", done.customer.to_string()), ("status", done.status.to_string())];
    if done.changed && done.status == CustomerStatus::Closed {
        let ended = done.ended;
        rows.push(("ended", format!("{} keys revoked for ever", ended.keys_revoked)));
        rows.push((
            "",
            format!("{} sessions, {} API tokens", ended.sessions_ended, ended.api_tokens_revoked),
        ));
    }
    let nothing = if done.changed { "" } else { "nothing to change; " };
    rows.push(("", format!("{nothing}{}", confirmed.text())));
    let answer = Answer {
        customer_id: done.customer.get(),
        status: done.status.word(),
        changed: done.changed,
        keys_revoked: done.ended.keys_revoked,
        sessions_ended: done.ended.sessions_ended,
        api_tokens_revoked: done.ended.api_tokens_revoked,
        confirmed: confirmed.clone(),
    };
    Ok(confirmed.conclude(Reply::new(&answer, lines(&rows))?))
}

/// Closes an account.
///
/// # Errors
/// [`Failure`]; a usage error without `--yes`.
pub fn close(arguments: &CloseArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    if !arguments.yes {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "customer {} would be closed for ever, and every key of it revoked; say so with --yes, or use `suiftly admin customer suspend`",
                arguments.of.id
            ),
        ));
    }
    change(&arguments.of, customer_status::close, config, clock)
}
