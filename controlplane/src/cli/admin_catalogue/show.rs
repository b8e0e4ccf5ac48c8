//! `suiftly admin catalogue show`.

use crate::cli::admin_catalogue::{dollars, moment, moment_ms};
use crate::cli::{Failure, Reply};
use crate::clock::{Clock, rfc3339_ms};
use crate::config::Config;
use crate::db::Database;
use crate::domain::catalogue::{self, Catalogue, PriceRow, ServiceTypeRow, TierRow};
use clap::Args;
use serde::Serialize;

/// Of which moment.
#[derive(Args, Clone, Debug)]
pub struct ShowArguments {
    /// Another moment than now: a time in UTC, or 30d for in 30 days
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// What held before that moment, too
    #[arg(long)]
    all: bool,
}

/// How a row stands at the moment that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    Past,
    InForce,
    Coming,
}

#[derive(Serialize)]
struct Answer {
    at: String,
    tiers: Vec<Tier>,
    prices: Vec<Price>,
    service_types: Vec<Type>,
}

/// A tier's row, as every command of the catalogue answers it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct TierAnswer {
    tier: &'static str,
    valid_from: String,
    subscription_cents: i64,
    guaranteed_per_s: u32,
    burst_per_s: u32,
    burst_priority: u8,
    allowlist_entries_max: u32,
    api_keys_included: u32,
    api_keys_max: u32,
    seal_keys_included: u32,
    packages_per_seal_key: u32,
}

/// A price's row, likewise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct PriceAnswer {
    item: &'static str,
    valid_from: String,
    micro_usd: i64,
}

#[derive(Serialize)]
struct Tier {
    standing: Standing,
    #[serde(flatten)]
    row: TierAnswer,
}

#[derive(Serialize)]
struct Price {
    standing: Standing,
    #[serde(flatten)]
    row: PriceAnswer,
}

/// A service type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Type {
    service: &'static str,
    title: String,
    open: bool,
}

/// Shows it.
///
/// # Errors
/// [`Failure`].
pub(super) fn run(arguments: &ShowArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let now_ms = clock.now_ms();
    let at_ms = arguments.at.as_deref().map_or(Ok(now_ms), |text| moment_ms(text, now_ms))?;
    let mut database = Database::open(&config.database)?;
    let Catalogue { tiers, prices, service_types } = catalogue::all(&mut database)?;
    let tiers = standing(tiers, |row| (row.tier, row.valid_from_ms), at_ms, arguments.all);
    let prices = standing(prices, |row| (row.item, row.valid_from_ms), at_ms, arguments.all);
    let text = text_of(at_ms, &tiers, &prices, &service_types);
    let answer = Answer {
        at: rfc3339_ms(at_ms),
        tiers: tiers
            .iter()
            .map(|(standing, row)| Tier { standing: *standing, row: tier_answer(row) })
            .collect(),
        prices: prices
            .iter()
            .map(|(standing, row)| Price { standing: *standing, row: price_answer(row) })
            .collect(),
        service_types: service_types.iter().map(type_answer).collect(),
    };
    Reply::new(&answer, text)
}

/// Says of each row how it stands at a moment, and drops what is past unless it is asked for.
fn standing<Row, Of: PartialEq>(
    rows: Vec<Row>,
    key: impl Fn(&Row) -> (Of, i64),
    at_ms: i64,
    with_past: bool,
) -> Vec<(Standing, Row)> {
    let keys: Vec<(Of, i64)> = rows.iter().map(&key).collect();
    let in_force_since = |of: &Of| {
        let valid = keys.iter().filter(|(other, from_ms)| other == of && *from_ms <= at_ms);
        valid.map(|(_, from_ms)| *from_ms).max()
    };
    let of_row = |row: &Row| match key(row) {
        (_, from_ms) if from_ms > at_ms => Standing::Coming,
        (of, from_ms) if in_force_since(&of) == Some(from_ms) => Standing::InForce,
        _ => Standing::Past,
    };
    let with_standing = rows.into_iter().map(|row| (of_row(&row), row));
    with_standing.filter(|(standing, _)| with_past || *standing != Standing::Past).collect()
}

pub(super) fn tier_answer(row: &TierRow) -> TierAnswer {
    let terms = row.terms;
    TierAnswer {
        tier: row.tier.word(),
        valid_from: rfc3339_ms(row.valid_from_ms),
        subscription_cents: terms.subscription_cents,
        guaranteed_per_s: terms.rates.guaranteed_per_s,
        burst_per_s: terms.rates.burst_per_s,
        burst_priority: terms.rates.burst_priority,
        allowlist_entries_max: terms.allowlist_entries_max,
        api_keys_included: terms.api_keys_included,
        api_keys_max: terms.api_keys_max,
        seal_keys_included: terms.seal_keys_included,
        packages_per_seal_key: terms.packages_per_seal_key,
    }
}

pub(super) fn price_answer(row: &PriceRow) -> PriceAnswer {
    PriceAnswer { item: row.item.word(), valid_from: rfc3339_ms(row.valid_from_ms), micro_usd: row.micro_usd }
}

pub(super) fn type_answer(of: &ServiceTypeRow) -> Type {
    Type { service: of.service.name(), title: of.title.clone(), open: of.is_open }
}

fn text_of(
    at_ms: i64,
    tiers: &[(Standing, TierRow)],
    prices: &[(Standing, PriceRow)],
    types: &[ServiceTypeRow],
) -> String {
    let mut text = String::new();
    let headings =
        [(Standing::Past, "Before"), (Standing::InForce, "In force at"), (Standing::Coming, "To come after")];
    for (standing, heading) in headings {
        let tiers: Vec<TierRow> = of_standing(tiers, standing);
        let prices: Vec<PriceRow> = of_standing(prices, standing);
        if !tiers.is_empty() || !prices.is_empty() {
            text.push_str(&format!("{heading} {}\n\n", moment(at_ms)));
        }
        if !tiers.is_empty() {
            text.push_str(&tier_table(&tiers));
            text.push('\n');
        }
        if !prices.is_empty() {
            text.push_str(&price_table(&prices));
            text.push('\n');
        }
    }
    text.push_str(&type_table(types));
    text
}

fn of_standing<Row: Copy>(rows: &[(Standing, Row)], standing: Standing) -> Vec<Row> {
    rows.iter().filter(|(other, _)| *other == standing).map(|(_, row)| *row).collect()
}

/// 99 columns. A priority class, the most allowlist entries, API keys included and most, Seal keys included, packages of each.
pub(super) fn tier_table(rows: &[TierRow]) -> String {
    let mut text = format!(
        "{:10}  {:24}  {:>8}  {:>7}  {:>7}  {:>5}  {:>5}  {:>7}  {:>4}  {:>4}\n",
        "TIER", "FROM", "A MONTH", "RATE/S", "BURST/S", "CLASS", "ALLOW", "KEYS", "SEAL", "PKGS"
    );
    for row in rows {
        let terms = row.terms;
        let keys = format!("{}/{}", terms.api_keys_included, terms.api_keys_max);
        text.push_str(&format!(
            "{:10}  {:24}  {:>8}  {:>7}  {:>7}  {:>5}  {:>5}  {keys:>7}  {:>4}  {:>4}\n",
            row.tier,
            moment(row.valid_from_ms),
            dollars(terms.subscription_cents, 2),
            terms.rates.guaranteed_per_s,
            terms.rates.burst_per_s,
            terms.rates.burst_priority,
            terms.allowlist_entries_max,
            terms.seal_keys_included,
            terms.packages_per_seal_key,
        ));
    }
    text
}

pub(super) fn price_table(rows: &[PriceRow]) -> String {
    let mut text = format!("{:16}  {:24}  {:>10}\n", "PRICE OF", "FROM", "");
    for row in rows {
        let (item, from) = (row.item, moment(row.valid_from_ms));
        text.push_str(&format!("{item:16}  {from:24}  {:>10}\n", dollars(row.micro_usd, 6)));
    }
    text
}

pub(super) fn type_table(types: &[ServiceTypeRow]) -> String {
    let mut text = format!("{:8}  {:6}  {}\n", "SERVICE", "", "TITLE");
    for of in types {
        let open = if of.is_open { "open" } else { "closed" };
        text.push_str(&format!("{:8}  {open:6}  {}\n", of.service.name(), of.title));
    }
    text
}
