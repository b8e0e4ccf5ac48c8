//! `suiftly admin requests`: the newest requests of a customer, from the request log.

use crate::cli::{Exit, Failure, Reply, moment};
use crate::clock::{Clock, rfc3339_from, rfc3339_ms};
use crate::config::Config;
use crate::db::{Database, customers};
use crate::domain::DomainError;
use crate::domain::requests::{self, Class, RequestLine};
use apikey::{CustomerId, Fingerprint};
use clap::Args;
use serde::Serialize;

/// Whose requests, and how many.
#[derive(Args, Debug)]
pub struct RequestsArguments {
    /// The customer
    #[arg(long)]
    customer: CustomerId,
    /// Only those since then: a duration until now, or a time in UTC
    #[arg(long, value_name = "24h|TIME")]
    since: Option<String>,
    /// The most that are listed
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
}

#[derive(Serialize)]
struct Listed {
    items: Vec<Item>,
    /// The newest only; the field is there because every list has it.
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Item {
    time: String,
    request_id: String,
    client: String,
    service: Option<String>,
    fingerprint: Option<String>,
    class: Option<&'static str>,
    reason: Option<String>,
    status: i64,
    received_bytes: i64,
    sent_bytes: i64,
    queue_ms: i64,
    connect_ms: i64,
    response_ms: i64,
    total_ms: i64,
    server: String,
    ending: String,
}

/// Lists them, newest first.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: &RequestsArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let since_ms = arguments.since.as_deref().map_or(Ok(0), |text| since_ms(text, clock))?;
    let mut database = Database::open(&config.database)?;
    let lines = requests::newest(&mut database, arguments.customer, since_ms, arguments.limit)?;
    if lines.is_empty() && database.read(|tx| customers::find(tx, arguments.customer))?.is_none() {
        return Err(DomainError::NoCustomer(arguments.customer).into());
    }
    let items: Vec<Item> = lines.into_iter().map(item).collect();
    let text = if items.is_empty() { "no requests".to_owned() } else { table(&items) };
    Reply::new(&Listed { items, next_cursor: None }, text)
}

fn since_ms(text: &str, clock: &Clock) -> Result<i64, Failure> {
    if let Ok(seconds) = moment::duration_s(text) {
        let ms = i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        return Ok(clock.now_ms().saturating_sub(ms));
    }
    rfc3339_from(text).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("`{text}` is no time; write one such as 2027-01-31T00:00:00Z, or 24h"),
        )
    })
}

fn item(line: RequestLine) -> Item {
    Item {
        time: rfc3339_ms(line.time_ms),
        request_id: line.request_id,
        client: line.client.to_string(),
        service: line.service,
        fingerprint: line.fingerprint.map(|bits| Fingerprint::from_u64(bits).to_string()),
        class: line.class.map(Class::word),
        reason: line.reason,
        status: line.status,
        received_bytes: line.received_bytes,
        sent_bytes: line.sent_bytes,
        queue_ms: line.queue_ms,
        connect_ms: line.connect_ms,
        response_ms: line.response_ms,
        total_ms: line.total_ms,
        server: line.server,
        ending: line.ending,
    }
}

fn table(items: &[Item]) -> String {
    let mut text = format!(
        "{:24}  {:7}  {:16}  {:19}  {:>6}  {:>8}\n",
        "TIME", "SERVICE", "KEY", "CLASS OR REASON", "STATUS", "MS"
    );
    for item in items {
        let or_dash = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".to_owned());
        // The longest reason has 24 letters; the table is to stay below 100 columns.
        let what: String = item.reason.as_deref().or(item.class).unwrap_or("-").chars().take(19).collect();
        let (service, key) = (or_dash(&item.service), or_dash(&item.fingerprint));
        text.push_str(&format!(
            "{:24}  {service:7}  {key:16}  {what:19}  {:>6}  {:>8}\n",
            item.time, item.status, item.total_ms
        ));
    }
    text
}
