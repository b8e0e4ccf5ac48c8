//! `suiftly admin demo …`: made-up data, so that there is something to see.

use crate::cli::as_user::open_as_user;
use crate::cli::reply::lines;
use crate::cli::{Failure, Reply};
use crate::clock::{Clock, rfc3339_ms};
use crate::config::Config;
use crate::db::Database;
use crate::domain::demo::{self, Made, Mark, Seeded};
use crate::{jobs, keyring, random};
use clap::Subcommand;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Every reader of JSON has the same number up to here: 2^53 - 1.
const SEED_MAX: u64 = (1 << 53) - 1;

/// What can be done with demo data.
#[derive(Subcommand, Debug)]
pub enum DemoCommand {
    /// Fill an empty database with a believable month; one that holds anything else is refused
    #[command(after_help = "Examples:\n  SUIFTLY_STATE=var-demo suiftly admin demo seed\n  \
        SUIFTLY_STATE=var-demo suiftly admin demo seed --seed 7\n\n\
        The database is marked for ever as holding demo data (`suiftly admin demo status`). Doing it again changes nothing.\n\
        The wallets of demo customers begin with 0xde30de30.")]
    Seed {
        /// The number that everything is made from; without it any
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=SEED_MAX))]
        seed: Option<u64>,
    },
    /// Whether this database holds demo data
    #[command(after_help = "Example:\n  suiftly admin demo status --json")]
    Status,
    /// Make an API token of the first demo customer that reads everything for a day
    #[command(after_help = "Example:\n  suiftly admin demo token\n\n\
        Only on a database with demo data: true customers make tokens themselves, signed in with their wallets.")]
    Token,
}

#[derive(Serialize)]
struct Status {
    demo: bool,
    seed: Option<u64>,
    begun_at: Option<String>,
    finished_at: Option<String>,
}

#[derive(Serialize)]
struct SeedAnswer {
    seeded: bool,
    #[serde(flatten)]
    status: Status,
    customers: Option<u64>,
    keys: Option<u64>,
    requests: Option<u64>,
    log_lines: Option<u64>,
}

#[derive(Serialize)]
struct TokenAnswer<'t> {
    customer_id: u32,
    token: &'t str,
    expires_at: String,
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &DemoCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    match command {
        DemoCommand::Seed { seed } => self::seed(*seed, config, clock),
        DemoCommand::Status => status(config),
        DemoCommand::Token => token(config, clock),
    }
}

fn seed(seed: Option<u64>, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let mut database = open_as_user(config)?;
    let keyring = keyring::load_or_make(&config.keyring)?;
    let now_ms = clock.now_ms();
    let seed = seed.map_or_else(|| random::any_u32().map(u64::from), Ok);
    let seed = seed.map_err(|error| Failure::from(crate::domain::DomainError::from(error)))?;
    let mut progress = shown_progress();
    let seeded = demo::seed(&mut database, &keyring, seed, now_ms, &mut *progress)?;
    let (mark, made) = match seeded {
        Seeded::Before(mark) => return before(&mark),
        Seeded::Now(mark, made) => (mark, made),
    };
    // What is old becomes hours and days now, and not in the first minutes of `suiftly serve`.
    for mut job in jobs::all(&config.usage, config.request_log.keep) {
        while (job.run)(&mut database, now_ms)?.more {}
    }
    let Made { customers, keys, requests, lines: log_lines } = made;
    let text = lines(&[
        ("seed", mark.seed.to_string()),
        ("customers", customers.to_string()),
        ("keys", keys.to_string()),
        ("requests", format!("{requests} in 30 days")),
        ("request log", format!("{log_lines} lines of the last day")),
        ("", "this database is marked as demo data".to_owned()),
    ]);
    let answer = SeedAnswer {
        seeded: true,
        status: status_of(Some(&mark)),
        customers: Some(customers),
        keys: Some(keys),
        requests: Some(requests),
        log_lines: Some(log_lines),
    };
    Reply::new(&answer, text)
}

fn before(mark: &Mark) -> Result<Reply, Failure> {
    let status = status_of(Some(mark));
    let answer =
        SeedAnswer { seeded: false, status, customers: None, keys: None, requests: None, log_lines: None };
    let text = format!(
        "this database was filled with demo data on {} (seed {}); nothing was changed",
        rfc3339_ms(mark.begun_at_ms),
        mark.seed
    );
    Reply::new(&answer, text)
}

fn status(config: &Config) -> Result<Reply, Failure> {
    let mark = demo::status(&mut Database::open(&config.database)?)?;
    let text = match &mark {
        None => "this database holds no demo data".to_owned(),
        Some(mark) if mark.finished_at_ms.is_none() => {
            format!("demo data, cut off while it was made on {}: begin anew", rfc3339_ms(mark.begun_at_ms))
        }
        Some(mark) => format!("demo data, made on {} from seed {}", rfc3339_ms(mark.begun_at_ms), mark.seed),
    };
    Reply::new(&status_of(mark.as_ref()), text)
}

fn token(config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let mut database = open_as_user(config)?;
    let (customer, token, expires_at_ms) = demo::token(&mut database, clock.now_ms())?;
    let (token, expires_at) = (token.expose(), rfc3339_ms(expires_at_ms));
    let text = lines(&[
        ("customer", customer.to_string()),
        ("token", token.to_owned()),
        ("until", expires_at.clone()),
    ]);
    Reply::new(&TokenAnswer { customer_id: customer.get(), token, expires_at }, text)
}

fn status_of(mark: Option<&Mark>) -> Status {
    Status {
        demo: mark.is_some(),
        seed: mark.map(|mark| mark.seed),
        begun_at: mark.map(|mark| rfc3339_ms(mark.begun_at_ms)),
        finished_at: mark.and_then(|mark| mark.finished_at_ms).map(rfc3339_ms),
    }
}

/// On a terminal one line that is written over; elsewhere nothing.
fn shown_progress() -> Box<demo::Progress<'static>> {
    if !std::io::stderr().is_terminal() {
        return Box::new(|_, _, _| {});
    }
    Box::new(|what, done, of| {
        let end = if done == of { "\n" } else { "" };
        let mut stderr = std::io::stderr().lock();
        // Where stderr is gone nobody looks.
        let _ = write!(stderr, "\r{what}: {done} of {of} {end}").and_then(|()| stderr.flush());
    })
}
