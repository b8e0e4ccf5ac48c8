//! `suiftly admin session …`: where a customer is signed in, and the end of that.

use crate::cli::as_user::open_as_user;
use crate::cli::fitting::fitting;
use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::{Clock, rfc3339_ms};
use crate::config::Config;
use crate::db::Database;
use crate::db::sessions_for_support::SessionSeen;
use crate::domain::support::{self, SESSIONS_MAX};
use apikey::CustomerId;
use clap::{Args, Subcommand};
use serde::Serialize;

/// What can be done with sessions.
#[derive(Subcommand, Debug)]
pub enum SessionCommand {
    /// List a customer's open sessions, newest first
    #[command(after_help = "Example:\n  suiftly admin session list --customer 305419896 --all")]
    List {
        /// The customer's id
        #[arg(long, value_name = "N")]
        customer: CustomerId,
        /// Also those that are over
        #[arg(long)]
        all: bool,
    },
    /// End one session, or all of a customer
    #[command(after_help = "Examples:\n  suiftly admin session end --customer 305419896 --all\n  \
        suiftly admin session end --session 0123456789abcdef0123456789abcdef")]
    End(EndArguments),
}

/// Which sessions end.
#[derive(Args, Debug)]
pub struct EndArguments {
    /// The customer's id; with --all
    #[arg(long, value_name = "N", requires = "all", required_unless_present = "session")]
    customer: Option<CustomerId>,
    /// All sessions of the customer
    #[arg(long, requires = "customer")]
    all: bool,
    /// A session's id, as `list` shows it
    #[arg(long, value_name = "ID", conflicts_with_all = ["customer", "all"])]
    session: Option<String>,
}

/// How long a session's id is.
const ID_LEN: usize = 32;

/// Checked here and not while arguments are read, where a wrong one would be repeated: it may be a token.
fn session_id(text: &str) -> Result<&str, Failure> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if text.len() == ID_LEN && text.bytes().all(fits) {
        return Ok(text);
    }
    let wanted = format!("{ID_LEN} letters and digits; `suiftly admin session list` shows it");
    Err(Failure::new(Exit::Usage, format!("--session: a session's id has {wanted}")))
}

#[derive(Serialize)]
struct Listed {
    items: Vec<Item>,
    /// The newest only; the field is there because every list has it.
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Item {
    session_id: String,
    state: String,
    source: String,
    user_agent: String,
    created_at: String,
    refreshed_at: String,
    expires_at: String,
    ended_at: Option<String>,
}

#[derive(Serialize)]
struct EndedAnswer {
    customer_id: u32,
    ended: u64,
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &SessionCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    match command {
        SessionCommand::List { customer, all } => list(*customer, *all, config, clock),
        SessionCommand::End(arguments) => end(arguments, config, clock),
    }
}

fn list(customer: CustomerId, all: bool, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let mut database = Database::open(&config.database)?;
    let now_ms = clock.now_ms();
    let found = if all {
        support::all_sessions(&mut database, customer)?
    } else {
        support::open_sessions(&mut database, customer, now_ms)?
    };
    let is_cut = found.len() as u64 == SESSIONS_MAX.unsigned_abs();
    let items: Vec<Item> = found.into_iter().map(|session| item(session, now_ms)).collect();
    let text = match (items.is_empty(), all) {
        (true, true) => "no sessions".to_owned(),
        (true, false) => "no open sessions".to_owned(),
        (false, _) => table(&items),
    };
    let reply = Reply::new(&Listed { items, next_cursor: None }, text)?;
    Ok(if is_cut { reply.with_note(format!("only the newest {SESSIONS_MAX} are listed")) } else { reply })
}

fn item(session: SessionSeen, now_ms: i64) -> Item {
    let state = match session.end_reason {
        Some(reason) => reason,
        None if session.expires_at_ms <= now_ms => "expired".to_owned(),
        None => "open".to_owned(),
    };
    Item {
        session_id: session.session,
        state,
        source: session.source,
        user_agent: session.user_agent,
        created_at: rfc3339_ms(session.created_at_ms),
        refreshed_at: rfc3339_ms(session.refreshed_at_ms),
        expires_at: rfc3339_ms(session.expires_at_ms),
        ended_at: session.ended_at_ms.map(rfc3339_ms),
    }
}

/// Two lines a session: an id alone fills a third of one.
fn table(items: &[Item]) -> String {
    let mut text = format!("{:32}  {:24}  {:24}\n", "SESSION", "CREATED", "REFRESHED");
    for item in items {
        text.push_str(&format!("{:32}  {:24}  {:24}\n", item.session_id, item.created_at, item.refreshed_at));
        let source = fitting(&item.source, 39);
        let agent = fitting(&item.user_agent, 28);
        text.push_str(&format!("    {:20}  from {source}  {agent}\n", item.state));
    }
    text
}

fn end(arguments: &EndArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let mut database = open_as_user(config)?;
    let now_ms = clock.now_ms();
    let (customer, ended) = match (&arguments.session, arguments.customer) {
        (Some(session), _) => {
            support::end_session(&mut database, session_id(session)?, now_ms)?.ok_or_else(|| {
                Failure::new(
                    Exit::NotFound,
                    "there is no session with this id; `suiftly admin session list --all` names a customer's",
                )
            })?
        }
        (None, Some(customer)) => (customer, support::end_all_sessions(&mut database, customer, now_ms)?),
        (None, None) => {
            return Err(Failure::new(
                Exit::Usage,
                "name what to end with --session, or --customer and --all",
            ));
        }
    };
    let text = lines(&[
        ("customer", customer.to_string()),
        ("ended", if ended == 0 { "none: nothing was open".to_owned() } else { format!("{ended} sessions") }),
    ]);
    Reply::new(&EndedAnswer { customer_id: customer.get(), ended }, text)
}
