//! `suiftly admin usage-set-aside …`: usage that edges have reported and nobody believes until a person has looked.

use crate::cli::as_user::open_as_user;
use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::{Clock, rfc3339_ms};
use crate::config::Config;
use crate::db::Database;
use crate::db::usage_set_aside::{Decision, SetAsideRow};
use crate::domain::usage::set_aside;
use clap::Subcommand;
use edgeformat::ledger::Counter;
use serde::Serialize;
use std::collections::BTreeMap;

/// What can be done with it.
#[derive(Subcommand, Debug)]
pub enum SetAsideCommand {
    /// List what nobody has decided on, the oldest first
    #[command(after_help = "Example:\n  suiftly admin usage-set-aside list")]
    List,
    /// Count it, in the minute that it belongs to
    #[command(after_help = "Example:\n  suiftly admin usage-set-aside accept --id 17")]
    Accept {
        /// Its number in the list
        #[arg(long, value_name = "N")]
        id: i64,
    },
    /// Count it nowhere
    #[command(after_help = "Example:\n  suiftly admin usage-set-aside discard --id 17")]
    Discard {
        /// Its number in the list
        #[arg(long, value_name = "N")]
        id: i64,
    },
}

#[derive(Serialize)]
struct Listed {
    items: Vec<Item>,
    /// How many there are; the list ends after a thousand.
    total: i64,
    /// What was decided on leaves the list, so that the next ones move up.
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Item {
    id: i64,
    edge: String,
    ledger: Option<String>,
    customer_id: u32,
    service: &'static str,
    window_start: String,
    why: String,
    set_aside_at: String,
    counters: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Decided {
    id: i64,
    decision: &'static str,
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &SetAsideCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let mut database = open_as_user(config)?;
    let (id, decision) = match command {
        SetAsideCommand::List => return list(&mut database),
        SetAsideCommand::Accept { id } => (*id, Decision::Accepted),
        SetAsideCommand::Discard { id } => (*id, Decision::Discarded),
    };
    let Some(row) = set_aside::decide(&mut database, id, decision, clock.now_ms())? else {
        let text = format!(
            "nothing is set aside under the number {id}; `suiftly admin usage-set-aside list` has them"
        );
        return Err(Failure::new(Exit::NotFound, text));
    };
    let text = lines(&[
        ("number", id.to_string()),
        ("customer", row.key.customer.to_string()),
        ("service", row.key.service.to_string()),
        ("decision", decision.word().to_owned()),
    ]);
    Reply::new(&Decided { id, decision: decision.word() }, text)
}

fn list(database: &mut Database) -> Result<Reply, Failure> {
    let (rows, total) = set_aside::list(database)?;
    let items: Vec<Item> = rows.into_iter().map(item).collect();
    let mut text = String::new();
    if items.is_empty() {
        text.push_str("nothing is set aside");
    } else {
        text.push_str(&format!(
            "{:>8}  {:16}  {:>10}  {:8}  {:16}  {:17}  {:>10}\n",
            "NUMBER", "EDGE", "CUSTOMER", "SERVICE", "WHY", "MINUTE", "ADMITTED"
        ));
        for item in &items {
            let edge: String = item.edge.chars().take(16).collect();
            let minute = item.window_start.get(..16).unwrap_or_default();
            let admitted = item.counters.get(Counter::Admitted.word()).copied().unwrap_or(0);
            text.push_str(&format!(
                "{:>8}  {edge:16}  {:>10}  {:8}  {:16}  {minute}Z  {admitted:>10}\n",
                item.id, item.customer_id, item.service, item.why
            ));
        }
        text.push_str(&format!("{total} in all\n"));
    }
    Reply::new(&Listed { items, total, next_cursor: None }, text)
}

fn item(row: SetAsideRow) -> Item {
    let counters = Counter::ALL.into_iter().map(|counter| (counter.word(), row.counters.get(counter)));
    Item {
        id: row.id,
        edge: row.edge,
        ledger: row.ledger.map(|ledger| ledger.to_string()),
        customer_id: row.key.customer.get(),
        service: row.key.service.name(),
        window_start: rfc3339_ms(row.window_start_s.saturating_mul(1_000)),
        why: row.why,
        set_aside_at: rfc3339_ms(row.created_at_ms),
        counters: counters.filter(|(_, count)| *count > 0).collect(),
    }
}
