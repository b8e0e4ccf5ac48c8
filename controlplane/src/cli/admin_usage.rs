//! `suiftly admin usage`: what a customer has used.

use crate::cli::moment::past_s;
use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Database;
use crate::db::usage_records::Asked;
use crate::domain::usage::figures;
use apikey::{CustomerId, Service};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;

/// Whose usage, and when.
#[derive(Args, Clone, Debug)]
pub struct UsageArguments {
    /// The customer's id
    #[arg(long, value_name = "N")]
    customer: CustomerId,
    /// seal, grpc or graphql; without it all of them
    #[arg(long, value_name = "NAME")]
    service: Option<Service>,
    /// From when on: 24h or 7d ago, or a time in UTC; without it from the beginning
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Until when, in the same way; without it until now
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    guaranteed: u64,
    burst: u64,
    rejected: u64,
    unserved: u64,
    rejected_by: BTreeMap<String, u64>,
}

/// Runs it.
///
/// # Errors
/// [`Failure`]; exit code 3 where there is no such customer.
pub fn run(arguments: &UsageArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let time_s = second(arguments.since.as_deref(), clock)?.unwrap_or(0)
        ..second(arguments.until.as_deref(), clock)?.unwrap_or(i64::MAX);
    let asked = Asked { customer: arguments.customer, service: arguments.service, time_s };
    let mut database = Database::open(&config.database)?;
    let (figures, rejected_by) = figures::of_customer(&mut database, &asked)?;
    // Between two readings an outcome can be ahead of its request; nobody has used less than nothing.
    let shown = |figure: i64| u64::try_from(figure).unwrap_or(0);
    let answer = Answer {
        guaranteed: shown(figures.guaranteed),
        burst: shown(figures.burst),
        rejected: shown(figures.rejected),
        unserved: shown(figures.unserved),
        rejected_by,
    };
    Reply::new(&answer, text_of(&answer))
}

fn second(text: Option<&str>, clock: &Clock) -> Result<Option<i64>, Failure> {
    let moment = text.map(|text| past_s(text, clock)).transpose();
    let second = moment.map_err(|reason| Failure::new(Exit::Usage, reason))?;
    Ok(second.map(|second| i64::try_from(second).unwrap_or(i64::MAX)))
}

fn text_of(answer: &Answer) -> String {
    let figures = lines(&[
        ("guaranteed", format!("{:>16}", answer.guaranteed)),
        ("burst", format!("{:>16}", answer.burst)),
        ("unserved", format!("{:>16}  not billed", answer.unserved)),
        ("rejected", format!("{:>16}  not billed", answer.rejected)),
    ]);
    let reasons: String =
        answer.rejected_by.iter().map(|(code, count)| format!("  {code:24}  {count:>16}\n")).collect();
    figures + &reasons
}
