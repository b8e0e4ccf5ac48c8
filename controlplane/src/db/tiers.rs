//! The catalogue: what a tier means from a moment on.

use crate::db::schema::tiers::dsl;
use crate::db::{DbError, ReadTx, number};
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

/// What a tier is and costs at a moment.
pub fn terms_at(tx: &mut ReadTx<'_>, tier: Tier, now_ms: i64) -> Result<TierTerms, DbError> {
    let row: Option<(i64, i64, i64, i64, i64, i64, i64, i64, i64)> = dsl::tiers
        .filter(dsl::tier.eq(tier.word()))
        .filter(dsl::valid_from_ms.le(now_ms))
        .order(dsl::valid_from_ms.desc())
        .select((
            dsl::guaranteed_per_s,
            dsl::burst_per_s,
            dsl::burst_priority,
            dsl::subscription_cents,
            dsl::allowlist_entries_max,
            dsl::api_keys_included,
            dsl::api_keys_max,
            dsl::seal_keys_included,
            dsl::packages_per_seal_key,
        ))
        .first(tx.connection())
        .optional()?;
    let row = row.ok_or_else(|| {
        DbError::unexpected("tiers", format!("{} has no row that is valid now", tier.word()))
    })?;
    Ok(TierTerms {
        rates: Rates {
            guaranteed_per_s: number("tiers", "guaranteed_per_s", row.0)?,
            burst_per_s: number("tiers", "burst_per_s", row.1)?,
            burst_priority: number("tiers", "burst_priority", row.2)?,
        },
        subscription_cents: row.3,
        allowlist_entries_max: number("tiers", "allowlist_entries_max", row.4)?,
        api_keys_included: number("tiers", "api_keys_included", row.5)?,
        api_keys_max: number("tiers", "api_keys_max", row.6)?,
        seal_keys_included: number("tiers", "seal_keys_included", row.7)?,
        packages_per_seal_key: number("tiers", "packages_per_seal_key", row.8)?,
    })
}
