//! The catalogue of tiers: what each means from a moment on. Rows are added; only one that is not in force yet is ever deleted.

use crate::db::schema::tiers::dsl;
use crate::db::{DbError, ReadTx, WriteTx, number, word};
use crate::domain::catalogue::TierRow;
use crate::domain::{Rates, Tier};
use diesel::prelude::*;

/// What a tier is and costs at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TierTerms {
    /// Its rates.
    pub rates: Rates,
    /// What a month costs, in cents.
    pub subscription_cents: i64,
    /// How many entries an allowlist can have; 0: there is none.
    pub allowlist_entries_max: u32,
    /// How many API keys of a service the price includes.
    pub api_keys_included: u32,
    /// How many there can be.
    pub api_keys_max: u32,
    /// How many Seal keys the price includes.
    pub seal_keys_included: u32,
    /// How many packages a Seal key includes.
    pub packages_per_seal_key: u32,
}

type Columns = (String, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);
const COLUMNS: (
    dsl::tier,
    dsl::valid_from_ms,
    dsl::guaranteed_per_s,
    dsl::burst_per_s,
    dsl::burst_priority,
    dsl::allowlist_entries_max,
    dsl::subscription_cents,
    dsl::api_keys_included,
    dsl::api_keys_max,
    dsl::seal_keys_included,
    dsl::packages_per_seal_key,
) = (
    dsl::tier,
    dsl::valid_from_ms,
    dsl::guaranteed_per_s,
    dsl::burst_per_s,
    dsl::burst_priority,
    dsl::allowlist_entries_max,
    dsl::subscription_cents,
    dsl::api_keys_included,
    dsl::api_keys_max,
    dsl::seal_keys_included,
    dsl::packages_per_seal_key,
);

/// Everything that a tier means at a moment. A tier without a row that is valid by then is an error: nothing can be sold then.
pub fn terms_at(tx: &mut ReadTx<'_>, tier: Tier, now_ms: i64) -> Result<TierTerms, DbError> {
    let found: Option<Columns> = dsl::tiers
        .filter(dsl::tier.eq(tier.word()))
        .filter(dsl::valid_from_ms.le(now_ms))
        .order(dsl::valid_from_ms.desc())
        .select(COLUMNS)
        .first(tx.connection())
        .optional()?;
    let columns = found.ok_or_else(|| {
        DbError::unexpected("tiers", format!("{} has no row that is valid now", tier.word()))
    })?;
    Ok(row(columns)?.terms)
}

/// Every row, past and coming, by tier from the smallest and then by its moment.
pub fn all(tx: &mut ReadTx<'_>) -> Result<Vec<TierRow>, DbError> {
    let rows: Vec<Columns> = dsl::tiers.select(COLUMNS).load(tx.connection())?;
    let mut rows = rows.into_iter().map(row).collect::<Result<Vec<TierRow>, DbError>>()?;
    rows.sort_by_key(|row| (row.tier, row.valid_from_ms));
    Ok(rows)
}

/// Adds a row.
pub fn insert(tx: &mut WriteTx<'_>, row: &TierRow) -> Result<(), DbError> {
    let terms = row.terms;
    let columns = (
        dsl::tier.eq(row.tier.word()),
        dsl::valid_from_ms.eq(row.valid_from_ms),
        dsl::guaranteed_per_s.eq(i64::from(terms.rates.guaranteed_per_s)),
        dsl::burst_per_s.eq(i64::from(terms.rates.burst_per_s)),
        dsl::burst_priority.eq(i64::from(terms.rates.burst_priority)),
        dsl::allowlist_entries_max.eq(i64::from(terms.allowlist_entries_max)),
        dsl::subscription_cents.eq(terms.subscription_cents),
        dsl::api_keys_included.eq(i64::from(terms.api_keys_included)),
        dsl::api_keys_max.eq(i64::from(terms.api_keys_max)),
        dsl::seal_keys_included.eq(i64::from(terms.seal_keys_included)),
        dsl::packages_per_seal_key.eq(i64::from(terms.packages_per_seal_key)),
    );
    diesel::insert_into(dsl::tiers).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Deletes the row of a tier with this moment if that is still to come. Answers whether there was one.
pub fn delete_coming(
    tx: &mut WriteTx<'_>,
    tier: Tier,
    valid_from_ms: i64,
    now_ms: i64,
) -> Result<bool, DbError> {
    let target = dsl::tiers.find((tier.word(), valid_from_ms)).filter(dsl::valid_from_ms.gt(now_ms));
    Ok(diesel::delete(target).execute(tx.connection())? > 0)
}

fn row(columns: Columns) -> Result<TierRow, DbError> {
    let (tier, valid_from_ms, guaranteed, burst, priority, allowlist, cents, included, max, seal, packages) =
        columns;
    let n = |name: &str, column: i64| number::<u32>("tiers", name, column);
    Ok(TierRow {
        tier: word("tiers", "tier", &tier)?,
        valid_from_ms,
        terms: TierTerms {
            rates: Rates {
                guaranteed_per_s: n("guaranteed_per_s", guaranteed)?,
                burst_per_s: n("burst_per_s", burst)?,
                burst_priority: number("tiers", "burst_priority", priority)?,
            },
            subscription_cents: cents,
            api_keys_included: n("api_keys_included", included)?,
            api_keys_max: n("api_keys_max", max)?,
            seal_keys_included: n("seal_keys_included", seal)?,
            packages_per_seal_key: n("packages_per_seal_key", packages)?,
            allowlist_entries_max: n("allowlist_entries_max", allowlist)?,
        },
    })
}
