//! The catalogue: what a tier means from a moment on.

use crate::db::schema::tiers::dsl;
use crate::db::{DbError, ReadTx, number};
use crate::domain::{Rates, Tier};
use diesel::prelude::*;

/// What a tier means at a moment.
pub fn rates_at(tx: &mut ReadTx<'_>, tier: Tier, now_ms: i64) -> Result<Rates, DbError> {
    let row: Option<(i64, i64, i64)> = dsl::tiers
        .filter(dsl::tier.eq(tier.word()))
        .filter(dsl::valid_from_ms.le(now_ms))
        .order(dsl::valid_from_ms.desc())
        .select((dsl::guaranteed_per_s, dsl::burst_per_s, dsl::burst_priority))
        .first(tx.connection())
        .optional()?;
    let (guaranteed, burst, priority) = row.ok_or_else(|| {
        DbError::unexpected("tiers", format!("{} has no row that is valid now", tier.word()))
    })?;
    Ok(Rates {
        guaranteed_per_s: number("tiers", "guaranteed_per_s", guaranteed)?,
        burst_per_s: number("tiers", "burst_per_s", burst)?,
        burst_priority: number("tiers", "burst_priority", priority)?,
    })
}

/// How many entries a tier's allowlists may have at a moment; 0 is no allowlist.
pub fn allowlist_entries_max_at(tx: &mut ReadTx<'_>, tier: Tier, now_ms: i64) -> Result<u32, DbError> {
    let most: Option<i64> = dsl::tiers
        .filter(dsl::tier.eq(tier.word()))
        .filter(dsl::valid_from_ms.le(now_ms))
        .order(dsl::valid_from_ms.desc())
        .select(dsl::allowlist_entries_max)
        .first(tx.connection())
        .optional()?;
    let most = most.ok_or_else(|| {
        DbError::unexpected("tiers", format!("{} has no row that is valid now", tier.word()))
    })?;
    number("tiers", "allowlist_entries_max", most)
}
