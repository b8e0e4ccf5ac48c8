//! `suiftly admin customer activity`: what was changed in an account.

use crate::cli::fitting::fitting;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::rfc3339_ms;
use crate::config::Config;
use crate::db::Database;
use crate::db::activity::ActivityRow;
use crate::domain::support;
use apikey::CustomerId;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

/// Whose account, and which part of its log.
#[derive(Args, Clone, Copy, Debug)]
pub struct ActivityArguments {
    /// The customer's id
    #[arg(long, visible_alias = "id", value_name = "N")]
    customer: CustomerId,
    /// The most that are listed
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Only those before this number: the `next_cursor` of the list before
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    before: Option<i64>,
}

#[derive(Serialize)]
struct Listed {
    items: Vec<Item>,
    /// What `--before` goes on with; none at the end.
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Item {
    number: i64,
    time: String,
    action: &'static str,
    actor_kind: &'static str,
    actor: String,
    source: Option<String>,
    request_id: Option<String>,
    detail: Value,
}

/// Lists them, newest first.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: &ActivityArguments, config: &Config) -> Result<Reply, Failure> {
    let mut database = Database::open(&config.database)?;
    let before = arguments.before.unwrap_or(i64::MAX);
    let limit = i64::from(arguments.limit);
    let rows = support::activity_before(&mut database, arguments.customer, before, limit)?;
    // Numbers have no gap, so the last one that is not 1 has one before it.
    let last = rows.last().map(|row| row.number).filter(|number| *number > 1);
    let items: Vec<Item> = rows.into_iter().map(item).collect::<Result<_, _>>()?;
    let mut text = if items.is_empty() { "no changes".to_owned() } else { table(&items) };
    if let Some(last) = last {
        text.push_str(&format!("older ones: --before {last}\n"));
    }
    Reply::new(&Listed { items, next_cursor: last.map(|last| last.to_string()) }, text)
}

fn item(row: ActivityRow) -> Result<Item, Failure> {
    let detail = serde_json::from_str(&row.detail).map_err(|error| {
        let (customer, number) = (row.customer, row.number);
        Failure::new(
            Exit::Other,
            format!("the detail of change {number} of customer {customer} is no JSON: {error}; restore it from a backup"),
        )
    })?;
    Ok(Item {
        number: row.number,
        time: rfc3339_ms(row.at_ms),
        action: row.action.word(),
        actor_kind: row.actor_kind.word(),
        actor: row.actor,
        source: row.source,
        request_id: row.request_id,
        detail,
    })
}

/// Two lines a change: who and what, and the details.
fn table(items: &[Item]) -> String {
    let mut text = format!("{:>7}  {:24}  {:19}  {}\n", "NUMBER", "TIME", "ACTION", "BY");
    for item in items {
        let source = item.source.as_ref().map(|source| format!(" from {source}")).unwrap_or_default();
        let by = fitting(&format!("{} {}{source}", item.actor_kind, item.actor), 44);
        text.push_str(&format!("{:>7}  {:24}  {:19}  {by}\n", item.number, item.time, item.action));
        let detail = fitting(&detail_text(&item.detail), 91);
        if !detail.is_empty() {
            text.push_str(&format!("{:9}{detail}\n", ""));
        }
    }
    text
}

/// `service=seal from_tier=- to_tier=pro`.
fn detail_text(detail: &Value) -> String {
    let Value::Object(fields) = detail else { return detail.to_string() };
    let field = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name}={text}"),
        Value::Null => format!("{name}=-"),
        other => format!("{name}={other}"),
    };
    fields.iter().map(field).collect::<Vec<_>>().join(" ")
}
