//! `suiftly admin credit …`: what operators give customers to spend.

use crate::cli::as_user::open_as_user;
use crate::cli::reply::lines;
use crate::cli::{Failure, Reply};
use crate::clock::{Clock, rfc3339_ms};
use crate::config::Config;
use crate::db::credit_entries::CreditEntryRow;
use crate::domain::credit::{self, Credit};
use apikey::{CustomerId, Service};
use clap::Subcommand;
use serde::Serialize;

/// What can be done with credit.
#[derive(Subcommand, Debug)]
pub enum CreditCommand {
    /// Give a customer credit, which pays for subscriptions and upgrades; a negative amount takes it back
    #[command(
        allow_negative_numbers = true,
        after_help = "Examples:\n  suiftly admin credit grant --customer 305419896 --cents 5000\n  \
            suiftly admin credit grant --customer 305419896 --cents -500"
    )]
    Grant {
        /// The customer's id
        #[arg(long, value_name = "N")]
        customer: CustomerId,
        /// How much, in US cents
        #[arg(long, value_name = "N")]
        cents: i64,
    },
    /// Show a customer's credit, and what it was charged for; newest first
    #[command(after_help = "Example:\n  suiftly admin credit show --customer 305419896")]
    Show {
        /// The customer's id
        #[arg(long, value_name = "N")]
        customer: CustomerId,
    },
}

#[derive(Serialize)]
struct Granted {
    customer_id: u32,
    granted_cents: i64,
    balance_cents: i64,
}

#[derive(Serialize)]
struct Shown {
    customer_id: u32,
    balance_cents: i64,
    items: Vec<Item>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Item {
    number: i64,
    at: String,
    kind: &'static str,
    amount_cents: i64,
    balance_cents: i64,
    service: Option<&'static str>,
    tier: Option<&'static str>,
}

impl Item {
    fn of(row: &CreditEntryRow) -> Self {
        Self {
            number: row.number,
            at: rfc3339_ms(row.at_ms),
            kind: row.kind.word(),
            amount_cents: row.amount_cents,
            balance_cents: row.balance_cents,
            service: row.service.map(Service::name),
            tier: row.tier.map(crate::domain::Tier::word),
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &CreditCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    match *command {
        CreditCommand::Grant { customer, cents } => {
            let balance_cents = credit::grant(&mut open_as_user(config)?, customer, cents, clock.now_ms())?;
            let text = lines(&[
                ("customer", customer.to_string()),
                ("granted", dollars(cents)),
                ("balance", dollars(balance_cents)),
            ]);
            Reply::new(&Granted { customer_id: customer.get(), granted_cents: cents, balance_cents }, text)
        }
        CreditCommand::Show { customer } => {
            let credit = credit::show(&mut open_as_user(config)?, customer)?;
            let items: Vec<Item> = credit.entries.iter().map(Item::of).collect();
            let text = text_of(&credit, &items);
            let balance_cents = credit.balance_cents;
            Reply::new(&Shown { customer_id: customer.get(), balance_cents, items, next_cursor: None }, text)
        }
    }
}

fn text_of(credit: &Credit, items: &[Item]) -> String {
    let mut text = format!("balance  {}\n", dollars(credit.balance_cents));
    if !items.is_empty() {
        text.push_str(&format!(
            "\n{:24}  {:12}  {:7}  {:10}  {:>13}  {:>13}\n",
            "AT", "KIND", "SERVICE", "TIER", "AMOUNT", "BALANCE"
        ));
    }
    for item in items {
        text.push_str(&format!(
            "{:24}  {:12}  {:7}  {:10}  {:>13}  {:>13}\n",
            item.at,
            item.kind,
            item.service.unwrap_or("-"),
            item.tier.unwrap_or("-"),
            dollars(item.amount_cents),
            dollars(item.balance_cents)
        ));
    }
    text
}

/// Cents as dollars, for people.
fn dollars(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}${}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100)
}
