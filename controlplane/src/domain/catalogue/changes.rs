//! Changes of the catalogue, each one write transaction.

use crate::clock::rfc3339_ms;
use crate::db::{Database, prices, service_types, tiers};
use crate::domain::catalogue::{PriceItem, PriceRow, ServiceTypeRow, TierRow, TierTerms, bounds};
use crate::domain::{DomainError, Rates, Tier};
use apikey::Service;

/// What is to change of a tier; none stays as it is then.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TermsChange {
    /// The subscription of a month, in US cents.
    pub subscription_cents: Option<i64>,
    /// Guaranteed requests a second.
    pub guaranteed_per_s: Option<u32>,
    /// Burst requests a second; 0 is no burst.
    pub burst_per_s: Option<u32>,
    /// The priority class of burst, 1 to 255.
    pub burst_priority: Option<u8>,
    /// API keys that are included.
    pub api_keys_included: Option<u32>,
    /// The most API keys.
    pub api_keys_max: Option<u32>,
    /// Seal keys that are included.
    pub seal_keys_included: Option<u32>,
    /// Packages with each of these.
    pub packages_per_seal_key: Option<u32>,
    /// The most allowlist entries.
    pub allowlist_entries_max: Option<u32>,
}

/// How a tier stands after a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TermsSet {
    /// The row that holds from the moment on.
    pub row: TierRow,
    /// What held, or would have held, at that moment before.
    pub before: TierTerms,
    /// False where nothing differs; then no row was added.
    pub changed: bool,
}

/// Changes a tier from a moment on. What it was until then stays as it was; a row for the same moment that is still to come is
/// replaced, with what this change does not name taken from it.
///
/// # Errors
/// [`DomainError::Refused`]: the moment is past, a value is out of bounds, a larger tier would have less than a smaller one, or a
/// later row is there already, which was made without knowing of this change; then nothing has happened.
pub fn set_terms(
    database: &mut Database,
    tier: Tier,
    change: TermsChange,
    from_ms: i64,
    now_ms: i64,
) -> Result<TermsSet, DomainError> {
    bounds::moment(from_ms, now_ms)?;
    database.write(|tx| {
        let rows = tiers::all(tx)?;
        none_later(&rows, tier, from_ms)?;
        let before = tiers::terms_at(tx, tier, from_ms)?;
        let terms = changed(before, change);
        if terms == before {
            let in_force = |row: &&TierRow| row.tier == tier && row.valid_from_ms <= from_ms;
            let known = rows.iter().filter(in_force).max_by_key(|row| row.valid_from_ms);
            let row = known.copied().unwrap_or(TierRow { tier, valid_from_ms: from_ms, terms });
            return Ok(TermsSet { row, before, changed: false });
        }
        bounds::terms(tier, &terms)?;
        if from_ms == now_ms && rows.iter().any(|row| (row.tier, row.valid_from_ms) == (tier, from_ms)) {
            return Err(this_very_moment());
        }
        let row = TierRow { tier, valid_from_ms: from_ms, terms };
        let others = rows.into_iter().filter(|other| (other.tier, other.valid_from_ms) != (tier, from_ms));
        let rows: Vec<TierRow> = others.chain([row]).collect();
        bounds::rising(&rows, from_ms)?;
        tiers::delete_coming(tx, tier, from_ms, now_ms)?;
        tiers::insert(tx, &row)?;
        Ok(TermsSet { row, before, changed: true })
    })
}

/// Takes back a change of a tier that is still to come, and answers what it was; `None` where there is no such change.
///
/// # Errors
/// [`DomainError::Refused`]: it is in force, a later row was made on top of it, or without it a larger tier
/// would have less than a smaller one; then nothing has happened.
pub fn withdraw_terms(
    database: &mut Database,
    tier: Tier,
    from_ms: i64,
    now_ms: i64,
) -> Result<Option<TierRow>, DomainError> {
    must_be_coming(from_ms, now_ms)?;
    database.write(|tx| {
        let rows = tiers::all(tx)?;
        let is_it = |row: &TierRow| (row.tier, row.valid_from_ms) == (tier, from_ms);
        let Some(row) = rows.iter().copied().find(is_it) else { return Ok(None) };
        none_later(&rows, tier, from_ms)?;
        let rest: Vec<TierRow> = rows.into_iter().filter(|row| !is_it(row)).collect();
        bounds::rising(&rest, from_ms)?;
        tiers::delete_coming(tx, tier, from_ms, now_ms)?;
        Ok(Some(row))
    })
}

/// How a price stands after a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PriceSet {
    /// The row that holds from the moment on.
    pub row: PriceRow,
    /// The price at that moment before the change.
    pub before_micro_usd: i64,
    /// The next change of this price that was entered already, unix milliseconds.
    pub until_ms: Option<i64>,
    /// False where nothing differs; then no row was added.
    pub changed: bool,
}

/// Changes a price from a moment on, until the next row of the item; a row for the same moment that is still to come is replaced.
///
/// # Errors
/// [`DomainError::Refused`]: the moment is past, or the price is out of bounds; then nothing has happened.
pub fn set_price(
    database: &mut Database,
    item: PriceItem,
    micro_usd: i64,
    from_ms: i64,
    now_ms: i64,
) -> Result<PriceSet, DomainError> {
    bounds::moment(from_ms, now_ms)?;
    bounds::price(micro_usd)?;
    database.write(|tx| {
        let rows = prices::all(tx)?;
        let before_micro_usd = prices::price_at(tx, item, from_ms)?;
        let of_item = || rows.iter().filter(|row| row.item == item).map(|row| row.valid_from_ms);
        let until_ms = of_item().find(|moment_ms| *moment_ms > from_ms);
        let row = PriceRow { item, valid_from_ms: from_ms, micro_usd };
        if before_micro_usd == micro_usd {
            let known_ms = of_item().filter(|moment_ms| *moment_ms <= from_ms).max();
            let row = PriceRow { valid_from_ms: known_ms.unwrap_or(from_ms), ..row };
            return Ok(PriceSet { row, before_micro_usd, until_ms, changed: false });
        }
        if from_ms == now_ms && of_item().any(|moment_ms| moment_ms == from_ms) {
            return Err(this_very_moment());
        }
        prices::delete_coming(tx, item, from_ms, now_ms)?;
        prices::insert(tx, &row)?;
        Ok(PriceSet { row, before_micro_usd, until_ms, changed: true })
    })
}

/// Takes back a change of a price that is still to come, and answers what it was; `None` where there is no such change.
///
/// # Errors
/// [`DomainError::Refused`]: it is in force; then nothing has happened.
pub fn withdraw_price(
    database: &mut Database,
    item: PriceItem,
    from_ms: i64,
    now_ms: i64,
) -> Result<Option<PriceRow>, DomainError> {
    must_be_coming(from_ms, now_ms)?;
    database.write(|tx| {
        let rows = prices::all(tx)?;
        let found = rows.into_iter().find(|row| (row.item, row.valid_from_ms) == (item, from_ms));
        if found.is_some() {
            prices::delete_coming(tx, item, from_ms, now_ms)?;
        }
        Ok(found)
    })
}

/// What is to change of a service type; none stays as it is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TypeChange {
    /// Whether anybody can subscribe.
    pub open: Option<bool>,
    /// What people call it.
    pub title: Option<String>,
}

/// How a service type stands after a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypeSet {
    /// The type.
    pub service_type: ServiceTypeRow,
    /// Whether anything was changed.
    pub changed: bool,
}

/// Changes a service type, at once.
///
/// # Errors
/// [`DomainError::Refused`]: the title cannot be used, or this type is not in the catalogue; then nothing has happened.
pub fn set_type(
    database: &mut Database,
    service: Service,
    change: &TypeChange,
) -> Result<TypeSet, DomainError> {
    change.title.as_deref().map_or(Ok(()), bounds::title)?;
    database.write(|tx| {
        let found = service_types::all(tx)?.into_iter().find(|row| row.service == service);
        let before = found.ok_or_else(|| {
            DomainError::Refused(format!("the service type {service} is not in the catalogue"))
        })?;
        let service_type = ServiceTypeRow {
            service,
            title: change.title.clone().unwrap_or_else(|| before.title.clone()),
            is_open: change.open.unwrap_or(before.is_open),
        };
        let is_changed = service_type != before;
        if is_changed {
            service_types::update(tx, &service_type)?;
        }
        Ok(TypeSet { service_type, changed: is_changed })
    })
}

fn changed(before: TierTerms, change: TermsChange) -> TierTerms {
    let burst_per_s = change.burst_per_s.unwrap_or(before.rates.burst_per_s);
    // Without burst it has no class: who switches burst off need not say so.
    let kept_priority = if burst_per_s == 0 { 0 } else { before.rates.burst_priority };
    TierTerms {
        rates: Rates {
            guaranteed_per_s: change.guaranteed_per_s.unwrap_or(before.rates.guaranteed_per_s),
            burst_per_s,
            burst_priority: change.burst_priority.unwrap_or(kept_priority),
        },
        subscription_cents: change.subscription_cents.unwrap_or(before.subscription_cents),
        api_keys_included: change.api_keys_included.unwrap_or(before.api_keys_included),
        api_keys_max: change.api_keys_max.unwrap_or(before.api_keys_max),
        seal_keys_included: change.seal_keys_included.unwrap_or(before.seal_keys_included),
        packages_per_seal_key: change.packages_per_seal_key.unwrap_or(before.packages_per_seal_key),
        allowlist_entries_max: change.allowlist_entries_max.unwrap_or(before.allowlist_entries_max),
    }
}

/// A row says everything of its tier, also what was not changed with it: one that was made earlier for later would take this
/// change back without anybody having said so.
fn none_later(rows: &[TierRow], tier: Tier, from_ms: i64) -> Result<(), DomainError> {
    let later = rows.iter().filter(|row| row.tier == tier && row.valid_from_ms > from_ms);
    match later.map(|row| rfc3339_ms(row.valid_from_ms)).next() {
        None => Ok(()),
        Some(moment) => Err(DomainError::Refused(format!(
            "tier {tier} has a later change already, from {moment} on, which says everything of the tier; withdraw that first \
             (`suiftly admin catalogue withdraw --tier {tier} --from {moment}`), and give the changes in the order of their dates"
        ))),
    }
}

fn must_be_coming(from_ms: i64, now_ms: i64) -> Result<(), DomainError> {
    if from_ms > now_ms {
        return Ok(());
    }
    Err(DomainError::Refused(format!(
        "{} is not in the future: what was sold from then on stays as it was; give a new change instead",
        rfc3339_ms(from_ms)
    )))
}

fn this_very_moment() -> DomainError {
    DomainError::Refused("another change has taken effect in this very millisecond; give it again".to_owned())
}
