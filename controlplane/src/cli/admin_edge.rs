//! `suiftly admin edge …`: edges on other machines, and their tokens.

use crate::cli::as_user::open_as_user;
use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::{Clock, rfc3339_ms};
use crate::config::Config;
use crate::db::Database;
use crate::domain::edges::{self, EdgeToken};
use clap::Subcommand;
use serde::Serialize;

/// What can be done with edges.
#[derive(Subcommand, Debug)]
pub enum EdgeCommand {
    /// Make an edge known and print its token; it cannot be shown again
    #[command(after_help = "Example:\n  suiftly admin edge add --name fra1")]
    Add {
        /// Its name; stands in logs and answers
        #[arg(long)]
        name: String,
    },
    /// Print another token for an edge; the one before is refused at once
    #[command(after_help = "Example:\n  suiftly admin edge renew-token --name fra1")]
    RenewToken {
        /// Its name
        #[arg(long)]
        name: String,
    },
    /// List edges, without their tokens
    #[command(after_help = "Example:\n  suiftly admin edge list")]
    List,
    /// Refuse an edge's token from now on, and wait for the edge no more
    #[command(after_help = "Example:\n  suiftly admin edge remove --name fra1\n\n\
        Its HAProxy goes on serving with what it has: stop it there.")]
    Remove {
        /// Its name
        #[arg(long)]
        name: String,
    },
}

#[derive(Serialize)]
struct WithToken<'a> {
    edge: &'a str,
    token: &'a str,
}

#[derive(Serialize)]
struct Listed {
    items: Vec<ListedEdge>,
    /// All edges fit one answer; the field is there because every list has it.
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct ListedEdge {
    edge: String,
    state: &'static str,
    has_token: bool,
    created_at: String,
    seen_at: Option<String>,
    removed_at: Option<String>,
}

#[derive(Serialize)]
struct Removed<'a> {
    edge: &'a str,
    removed: bool,
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &EdgeCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let mut database = open_as_user(config)?;
    let now_ms = clock.now_ms();
    match command {
        EdgeCommand::Add { name } => with_token(name, &edges::add(&mut database, name, now_ms)?),
        EdgeCommand::RenewToken { name } => {
            let token = edges::renew_token(&mut database, name)?.ok_or_else(|| no_such(name))?;
            with_token(name, &token)
        }
        EdgeCommand::List => list(&mut database),
        EdgeCommand::Remove { name } => {
            if !edges::remove(&mut database, name, now_ms)? {
                return Err(no_such(name));
            }
            let text = format!("the edge `{name}` is not waited for any more and its token is refused");
            Reply::new(&Removed { edge: name, removed: true }, text)
        }
    }
}

fn no_such(name: &str) -> Failure {
    Failure::new(Exit::NotFound, format!("there is no edge `{name}`; `suiftly admin edge list` names them"))
}

fn with_token(name: &str, token: &EdgeToken) -> Result<Reply, Failure> {
    let text = lines(&[("edge", name.to_owned()), ("token", token.expose().to_owned())]);
    let reply = Reply::new(&WithToken { edge: name, token: token.expose() }, text)?;
    Ok(reply.with_note(
        "keep the token now, in a file of mode 0600 on the edge: it is stored nowhere and cannot be shown again",
    ))
}

fn list(database: &mut Database) -> Result<Reply, Failure> {
    let items: Vec<ListedEdge> = edges::list(database)?
        .into_iter()
        .map(|row| ListedEdge {
            state: match (row.removed_at_ms, row.seen_at_ms) {
                (Some(_), _) => "removed",
                (None, None) => "never heard",
                (None, Some(_)) => "known",
            },
            has_token: row.has_token,
            created_at: rfc3339_ms(row.created_at_ms),
            seen_at: row.seen_at_ms.map(rfc3339_ms),
            removed_at: row.removed_at_ms.map(rfc3339_ms),
            edge: row.edge,
        })
        .collect();
    let mut text = String::new();
    if items.is_empty() {
        text.push_str("no edges");
    } else {
        text.push_str(&format!("{:30}  {:11}  {:24}  {}\n", "EDGE", "STATE", "CREATED", "HEARD LAST"));
        for item in &items {
            let (edge, state, created) = (&item.edge, item.state, &item.created_at);
            let seen = item.seen_at.as_deref().unwrap_or("-");
            text.push_str(&format!("{edge:30}  {state:11}  {created:24}  {seen}\n"));
        }
    }
    Reply::new(&Listed { items, next_cursor: None }, text)
}
