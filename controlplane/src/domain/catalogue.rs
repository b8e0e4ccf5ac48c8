//! The catalogue: what is sold, at what price, from when on.
//!
//! A change is a new row with a moment of its own, so that it never rewrites history: what held at a moment can be asked for
//! ever ([`terms_at`], [`price_at`]). A row that is in force, or was, is never changed or deleted; one that is still to come can
//! be replaced and withdrawn. What a change of rates means for those who have the tier already is `tier_changes`' matter.

mod bounds;
mod changes;

pub use crate::db::prices::price_at;
pub use crate::db::service_types::ServiceTypeRow;
pub use crate::db::tiers::{TierTerms, terms_at};
pub use changes::{
    PriceSet, TermsChange, TermsSet, TypeChange, TypeSet, set_price, set_terms, set_type, withdraw_price,
    withdraw_terms,
};

use crate::db::{Database, DbError, prices, service_types, tiers};
use crate::domain::Tier;

/// What a tier means from a moment on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TierRow {
    /// Which tier.
    pub tier: Tier,
    /// From when on, unix milliseconds; until the next row of the tier.
    pub valid_from_ms: i64,
    /// What.
    pub terms: TierTerms,
}

crate::domain::words::words! {
    /// What has a price of its own, beside the subscription of a tier.
    PriceItem: "request, api_key_month, seal_key_month, package_month" {
        /// A request that was served, guaranteed or burst.
        Request = "request",
        /// An API key beyond those that are included, for a month.
        ApiKeyMonth = "api_key_month",
        /// A Seal key beyond those that are included, for a month.
        SealKeyMonth = "seal_key_month",
        /// A package beyond those that are included, for a month.
        PackageMonth = "package_month",
    }
}

/// What an item costs from a moment on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PriceRow {
    /// Which item.
    pub item: PriceItem,
    /// From when on, unix milliseconds; until the next row of the item.
    pub valid_from_ms: i64,
    /// Millionths of a US dollar.
    pub micro_usd: i64,
}

/// All rows of the catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Catalogue {
    /// By tier from the smallest, then by moment.
    pub tiers: Vec<TierRow>,
    /// By item, then by moment.
    pub prices: Vec<PriceRow>,
    /// By name.
    pub service_types: Vec<ServiceTypeRow>,
}

/// Everything that the catalogue holds, past and coming.
///
/// # Errors
/// [`DbError`].
pub fn all(database: &mut Database) -> Result<Catalogue, DbError> {
    database.read(|tx| {
        Ok(Catalogue {
            tiers: tiers::all(tx)?,
            prices: prices::all(tx)?,
            service_types: service_types::all(tx)?,
        })
    })
}
