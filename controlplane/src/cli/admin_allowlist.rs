//! `suiftly admin service allowlist`.

use crate::cli::as_user::open_as_user;
use crate::cli::confirm::{Confirmed, WaitArguments, confirm};
use crate::cli::reply::lines;
use crate::cli::{Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::allowlists::{self, Allowlist, ListChange};
use apikey::{CustomerId, Service};
use clap::Args;
use edgeformat::{PolicyKey, Prefix};
use serde::Serialize;

/// Which list, and what is to become of it; without any of the latter it is shown.
#[derive(Args, Clone, Debug)]
pub struct AllowlistArguments {
    /// The customer's id
    #[arg(long, value_name = "N")]
    customer: CustomerId,
    /// seal, grpc or graphql
    #[arg(long, value_name = "NAME")]
    service: Service,
    /// The list is exactly these blocks or addresses, separated by commas
    #[arg(long, value_name = "CIDR", value_delimiter = ',', conflicts_with_all = ["add", "remove"])]
    set: Vec<Prefix>,
    /// These come on the list
    #[arg(long, value_name = "CIDR", value_delimiter = ',', conflicts_with = "remove")]
    add: Vec<Prefix>,
    /// These leave the list
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    remove: Vec<Prefix>,
    /// From now on only addresses on the list are served
    #[arg(long)]
    on: bool,
    /// Every address is served; the list is kept
    #[arg(long, conflicts_with = "on")]
    off: bool,
    #[command(flatten)]
    wait: WaitArguments,
}

#[derive(Serialize)]
struct Answer {
    customer_id: u32,
    service: &'static str,
    /// Whether addresses are checked.
    checked: bool,
    entries: Vec<String>,
    tier: &'static str,
    entries_max: u32,
    #[serde(flatten)]
    confirmed: Option<Confirmed>,
}

/// Runs it.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: &AllowlistArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let key = PolicyKey { customer: arguments.customer, service: arguments.service };
    let mut database = open_as_user(config)?;
    if arguments.only_asks() {
        let list = allowlists::show(&mut database, key, clock.now_ms())?;
        return Reply::new(&answer_of(key, &list, None), text_of(key, &list, ""));
    }
    let list = allowlists::change(
        &mut database,
        key,
        &arguments.list_change(),
        arguments.checked(),
        clock.now_ms(),
    )?;
    // The connection is given back before the wait.
    drop(database);
    let confirmed = confirm(config, list.position, arguments.wait);
    let done = match list.changed {
        true => confirmed.text(),
        false => format!("nothing to change; {}", confirmed.text()),
    };
    let answer = answer_of(key, &list, Some(confirmed.clone()));
    let reply = Reply::new(&answer, text_of(key, &list, &done))?;
    let reply = match (list.checked, list.prefixes.is_empty()) {
        (true, true) => reply.with_note("the list is empty and checked: every request is refused"),
        (false, false) => {
            reply.with_note("the list is not checked: every address is served; --on changes that")
        }
        _ => reply,
    };
    Ok(confirmed.conclude(reply))
}

impl AllowlistArguments {
    fn only_asks(&self) -> bool {
        self.list_change() == ListChange::Keep && self.checked().is_none()
    }

    fn list_change(&self) -> ListChange {
        let all = |prefixes: &[Prefix]| prefixes.iter().copied().collect();
        // At most one of the three is there, and then it is not empty.
        if !self.set.is_empty() {
            ListChange::Set(all(&self.set))
        } else if !self.add.is_empty() {
            ListChange::Add(all(&self.add))
        } else if !self.remove.is_empty() {
            ListChange::Remove(all(&self.remove))
        } else {
            ListChange::Keep
        }
    }

    const fn checked(&self) -> Option<bool> {
        match (self.on, self.off) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }
}

fn answer_of(key: PolicyKey, list: &Allowlist, confirmed: Option<Confirmed>) -> Answer {
    Answer {
        customer_id: key.customer.get(),
        service: key.service.name(),
        checked: list.checked,
        entries: list.prefixes.iter().map(ToString::to_string).collect(),
        tier: list.tier.word(),
        entries_max: list.entries_max,
        confirmed,
    }
}

fn text_of(key: PolicyKey, list: &Allowlist, done: &str) -> String {
    let checked = if list.checked { "checked: only these addresses" } else { "not checked: every address" };
    let mut text = lines(&[
        ("customer", key.customer.to_string()),
        ("service", key.service.to_string()),
        ("addresses", checked.to_owned()),
        ("entries", format!("{} of {} ({})", list.prefixes.len(), list.entries_max, list.tier)),
    ]);
    for prefix in &list.prefixes {
        text.push_str(&format!("           {prefix}\n"));
    }
    text + done
}
