//! The commands that change the catalogue.

use crate::cli::admin_catalogue::show::{
    PriceAnswer, TierAnswer, Type, price_answer, price_table, tier_answer, tier_table, type_answer,
    type_table,
};
use crate::cli::admin_catalogue::{moment, moment_ms};
use crate::cli::as_user::open_as_user;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::Tier;
use crate::domain::catalogue::{
    PriceItem, PriceSet, TermsChange, TypeChange, set_price, set_terms, set_type, withdraw_price,
    withdraw_terms,
};
use apikey::Service;
use clap::Args;
use serde::Serialize;

const HOUR_MS: i64 = 3_600_000;
const UNCHANGED: &str = "nothing differs: no change was entered";

/// What is to change of which tier.
#[derive(Args, Clone, Debug)]
pub struct TierArguments {
    /// starter, pro or enterprise
    #[arg(long, value_name = "NAME")]
    tier: Tier,
    /// From when on: a time in UTC, 30d for in 30 days, or now
    #[arg(long, value_name = "TIME")]
    from: String,
    #[command(flatten)]
    terms: Terms,
}

/// At least one of them.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
struct Terms {
    /// The subscription of a month, in US cents
    #[arg(long, value_name = "N")]
    subscription_cents: Option<i64>,
    /// Guaranteed requests a second
    #[arg(long, value_name = "N")]
    guaranteed: Option<u32>,
    /// Further requests a second, served after guaranteed ones; 0 is none
    #[arg(long, value_name = "N")]
    burst: Option<u32>,
    /// HAProxy's priority class of burst, 1 to 255; a smaller one is served first
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
    /// The most entries of an allowlist; 0 is no allowlist. Longer lists that there are stay
    #[arg(long, value_name = "N")]
    allowlist_entries: Option<u32>,
    /// API keys that the subscription pays for
    #[arg(long, value_name = "N")]
    api_keys_included: Option<u32>,
    /// The most API keys. More that there are stay
    #[arg(long, value_name = "N")]
    api_keys_max: Option<u32>,
    /// Seal keys that the subscription pays for
    #[arg(long, value_name = "N")]
    seal_keys_included: Option<u32>,
    /// Packages with each Seal key that is included
    #[arg(long, value_name = "N")]
    packages_per_seal_key: Option<u32>,
}

impl Terms {
    const fn change(&self) -> TermsChange {
        TermsChange {
            subscription_cents: self.subscription_cents,
            guaranteed_per_s: self.guaranteed,
            burst_per_s: self.burst,
            burst_priority: self.priority,
            api_keys_included: self.api_keys_included,
            api_keys_max: self.api_keys_max,
            seal_keys_included: self.seal_keys_included,
            packages_per_seal_key: self.packages_per_seal_key,
            allowlist_entries_max: self.allowlist_entries,
        }
    }
}

#[derive(Serialize)]
struct TierSet {
    changed: bool,
    #[serde(flatten)]
    row: TierAnswer,
}

/// Changes a tier.
///
/// # Errors
/// [`Failure`].
pub(super) fn tier(arguments: &TierArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let now_ms = clock.now_ms();
    let from_ms = moment_ms(&arguments.from, now_ms)?;
    let mut database = open_as_user(config)?;
    let set = set_terms(&mut database, arguments.tier, arguments.terms.change(), from_ms, now_ms)?;
    let answer = TierSet { changed: set.changed, row: tier_answer(&set.row) };
    let reply = Reply::new(&answer, tier_table(&[set.row]))?;
    if !set.changed {
        return Ok(reply.with_note(UNCHANGED));
    }
    Ok(if set.row.terms.rates == set.before.rates {
        reply
    } else {
        reply.with_note("`suiftly serve` gives services that have the tier the new rates within a minute after that moment")
    })
}

/// What is to be the price of what.
#[derive(Args, Clone, Debug)]
pub struct PriceArguments {
    /// request, api_key_month, seal_key_month or package_month
    #[arg(long, value_name = "NAME")]
    item: PriceItem,
    /// Millionths of a US dollar
    #[arg(long, value_name = "N")]
    micro_usd: i64,
    /// From when on: a time in UTC, 30d for in 30 days, or now
    #[arg(long, value_name = "TIME")]
    from: String,
}

#[derive(Serialize)]
struct PriceChanged {
    changed: bool,
    #[serde(flatten)]
    row: PriceAnswer,
}

/// Changes a price.
///
/// # Errors
/// [`Failure`].
pub(super) fn price(arguments: &PriceArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let now_ms = clock.now_ms();
    let from_ms = moment_ms(&arguments.from, now_ms)?;
    let mut database = open_as_user(config)?;
    let set = set_price(&mut database, arguments.item, arguments.micro_usd, from_ms, now_ms)?;
    let answer = PriceChanged { changed: set.changed, row: price_answer(&set.row) };
    let reply = Reply::new(&answer, price_table(&[set.row]))?;
    Ok(notes_of(&set, from_ms).into_iter().fold(reply, Reply::with_note))
}

fn notes_of(set: &PriceSet, from_ms: i64) -> Vec<String> {
    if !set.changed {
        return vec![UNCHANGED.to_owned()];
    }
    let mut notes = Vec::new();
    if let Some(until_ms) = set.until_ms {
        notes
            .push(format!("it holds until {}, when a change that was entered before does", moment(until_ms)));
    }
    if set.row.item == PriceItem::Request && from_ms % HOUR_MS != 0 {
        notes.push(
            "usage that is older than two days is kept by the hour: only a change at a whole hour parts it exactly"
                .to_owned(),
        );
    }
    notes
}

/// What is to change of which service type.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("what").args(["open", "title"]).required(true).multiple(true))]
pub struct TypeArguments {
    /// seal, grpc or graphql
    #[arg(long, value_name = "NAME")]
    service: Service,
    /// Whether anybody can subscribe; who has it keeps it
    #[arg(long, value_name = "true|false")]
    open: Option<bool>,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
}

#[derive(Serialize)]
struct TypeChanged {
    changed: bool,
    #[serde(flatten)]
    row: Type,
}

/// Changes a service type.
///
/// # Errors
/// [`Failure`].
pub(super) fn service_type(arguments: &TypeArguments, config: &Config) -> Result<Reply, Failure> {
    let mut database = open_as_user(config)?;
    let change = TypeChange { open: arguments.open, title: arguments.title.clone() };
    let set = set_type(&mut database, arguments.service, &change)?;
    let answer = TypeChanged { changed: set.changed, row: type_answer(&set.service_type) };
    let reply = Reply::new(&answer, type_table(&[set.service_type]))?;
    Ok(if set.changed { reply } else { reply.with_note("nothing differs") })
}

/// Which change to take back.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("what").args(["tier", "item"]).required(true))]
pub struct WithdrawArguments {
    /// Of this tier
    #[arg(long, value_name = "NAME")]
    tier: Option<Tier>,
    /// Of the price of this item
    #[arg(long, value_name = "NAME")]
    item: Option<PriceItem>,
    /// The moment of the change, as `suiftly admin catalogue show` names it
    #[arg(long, value_name = "TIME")]
    from: String,
}

#[derive(Serialize)]
struct Withdrawn<Row: Serialize> {
    withdrawn: bool,
    #[serde(flatten)]
    row: Row,
}

/// Takes a change back.
///
/// # Errors
/// [`Failure`], `NotFound` where there is no such change.
pub(super) fn withdraw(
    arguments: &WithdrawArguments,
    config: &Config,
    clock: &Clock,
) -> Result<Reply, Failure> {
    let now_ms = clock.now_ms();
    let from_ms = moment_ms(&arguments.from, now_ms)?;
    let mut database = open_as_user(config)?;
    let not_found = |what: String| {
        let from = moment(from_ms);
        let hint = "`suiftly admin catalogue show` lists what is to come";
        Failure::new(Exit::NotFound, format!("{what} has no change from {from} on; {hint}"))
    };
    if let Some(tier) = arguments.tier {
        let row = withdraw_terms(&mut database, tier, from_ms, now_ms)?;
        let row = row.ok_or_else(|| not_found(format!("tier {tier}")))?;
        let answer = Withdrawn { withdrawn: true, row: tier_answer(&row) };
        return Reply::new(&answer, format!("withdrawn:\n\n{}", tier_table(&[row])));
    }
    let Some(item) = arguments.item else {
        return Err(Failure::new(Exit::Usage, "name a tier or an item"));
    };
    let row = withdraw_price(&mut database, item, from_ms, now_ms)?;
    let row = row.ok_or_else(|| not_found(format!("the price of {item}")))?;
    let answer = Withdrawn { withdrawn: true, row: price_answer(&row) };
    Reply::new(&answer, format!("withdrawn:\n\n{}", price_table(&[row])))
}
