//! `suiftly admin token …`: tokens for the operators' paths of the API.

use crate::cli::as_user::open_as_user;
use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::{Clock, rfc3339_ms};
use crate::config::Config;
use crate::db::Database;
use crate::domain::operator_tokens;
use clap::Subcommand;
use serde::Serialize;

const MS_PER_DAY: i64 = 86_400_000;

/// What can be done with tokens.
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Make a token and print it; it cannot be shown again
    #[command(after_help = "Example:\n  suiftly admin token create --name on-call --days 30")]
    Create {
        /// Whose or what for; stands in logs
        #[arg(long)]
        name: String,
        /// For how many days it is good
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(i64).range(1..=3650))]
        days: i64,
    },
    /// List tokens, without their text
    #[command(after_help = "Example:\n  suiftly admin token list")]
    List,
    /// Refuse a token from now on
    #[command(after_help = "Example:\n  suiftly admin token revoke --name on-call")]
    Revoke {
        /// The token's name
        #[arg(long)]
        name: String,
    },
}

#[derive(Serialize)]
struct Created<'a> {
    token: &'a str,
    name: &'a str,
    expires_at: String,
}

#[derive(Serialize)]
struct Listed {
    items: Vec<ListedToken>,
    /// All tokens fit one answer; the field is there because every list has it.
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct ListedToken {
    name: String,
    state: &'static str,
    created_at: String,
    expires_at: String,
    revoked_at: Option<String>,
}

#[derive(Serialize)]
struct Revoked<'a> {
    name: &'a str,
    revoked: bool,
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &TokenCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let mut database = open_as_user(config)?;
    let now_ms = clock.now_ms();
    match command {
        TokenCommand::Create { name, days } => {
            let expires_at_ms = now_ms.saturating_add(days.saturating_mul(MS_PER_DAY));
            let token = operator_tokens::create(&mut database, name, now_ms, expires_at_ms)?;
            let expires_at = rfc3339_ms(expires_at_ms);
            let text = lines(&[
                ("token", token.expose().to_owned()),
                ("name", name.clone()),
                ("good until", expires_at.clone()),
            ]);
            let reply = Reply::new(&Created { token: token.expose(), name, expires_at }, text)?;
            Ok(reply.with_note("keep the token now: it is stored nowhere and cannot be shown again"))
        }
        TokenCommand::List => list(&mut database, now_ms),
        TokenCommand::Revoke { name } => {
            if !operator_tokens::revoke(&mut database, name, now_ms)? {
                return Err(Failure::new(
                    Exit::NotFound,
                    format!("there is no token `{name}`; `suiftly admin token list` names them"),
                ));
            }
            Reply::new(&Revoked { name, revoked: true }, format!("the token `{name}` is refused from now on"))
        }
    }
}

fn list(database: &mut Database, now_ms: i64) -> Result<Reply, Failure> {
    let items: Vec<ListedToken> = operator_tokens::list(database)?
        .into_iter()
        .map(|row| ListedToken {
            state: match row.revoked_at_ms {
                Some(_) => "revoked",
                None if now_ms >= row.expires_at_ms => "expired",
                None => "active",
            },
            created_at: rfc3339_ms(row.created_at_ms),
            expires_at: rfc3339_ms(row.expires_at_ms),
            revoked_at: row.revoked_at_ms.map(rfc3339_ms),
            name: row.name,
        })
        .collect();
    let mut text = String::new();
    if items.is_empty() {
        text.push_str("no tokens");
    } else {
        text.push_str(&format!("{:30}  {:7}  {:24}  {}\n", "NAME", "STATE", "CREATED", "GOOD UNTIL"));
        for item in &items {
            let (name, state) = (&item.name, item.state);
            text.push_str(&format!("{name:30}  {state:7}  {:24}  {}\n", item.created_at, item.expires_at));
        }
    }
    Reply::new(&Listed { items, next_cursor: None }, text)
}
