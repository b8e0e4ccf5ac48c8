//! Usage that is not invoiced yet, and what it will cost.

use crate::clock::Month;
use crate::db::pending_usage::{self as table, PricedUsage};
use crate::db::{DbError, ReadTx, prices};
use crate::domain::catalogue::PriceItem;
use crate::domain::usage::figures::Figures;
use apikey::CustomerId;

/// A cent, in micro-dollars.
const MICRO_USD_PER_CENT: i64 = 10_000;

/// What was used of a service at a price.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingItem {
    /// The word of the service.
    pub service: String,
    /// Billed requests at the guaranteed rate; a true number.
    pub guaranteed: i64,
    /// Billed requests above it; a true number.
    pub burst: i64,
    /// From when on the price holds, unix milliseconds.
    pub price_from_ms: i64,
    /// What a request costs, in micro-dollars.
    pub price_micro_usd: i64,
}

impl PendingItem {
    /// Requests that cost something.
    pub const fn billable(&self) -> i64 {
        self.guaranteed.saturating_add(self.burst)
    }

    /// What they cost, in micro-dollars.
    pub const fn amount_micro_usd(&self) -> i64 {
        self.billable().saturating_mul(self.price_micro_usd)
    }
}

/// Usage that is not invoiced yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingUsage {
    /// From when on, unix milliseconds.
    pub since_ms: i64,
    /// When it was added up, unix milliseconds.
    pub as_of_ms: i64,
    /// By service and price, where anything was used.
    pub items: Vec<PendingItem>,
}

impl PendingUsage {
    /// What all of it costs, in micro-dollars.
    pub fn total_micro_usd(&self) -> i64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(item.amount_micro_usd()))
    }

    /// The same in whole cents, rounded down: in the customer's favour.
    pub fn total_cents(&self) -> i64 {
        self.total_micro_usd().div_euclid(MICRO_USD_PER_CENT)
    }
}

/// Adds it up.
///
/// # Errors
/// [`DbError`]; also where no price of a request is in force.
pub fn pending(tx: &mut ReadTx<'_>, customer: CustomerId, now_ms: i64) -> Result<PendingUsage, DbError> {
    let since_ms = not_yet_invoiced_since_ms(now_ms);
    let prices = prices::in_force(tx, PriceItem::Request, &(since_ms..now_ms.saturating_add(1)))?;
    let until_s = now_ms.div_euclid(1_000).saturating_add(1);
    let rows = table::by_price(tx, customer, &(since_ms.div_euclid(1_000)..until_s), &prices)?;
    let item = |row: PricedUsage| {
        let figures = Figures::of(&row.sums);
        PendingItem {
            service: row.service,
            guaranteed: figures.guaranteed,
            burst: figures.burst,
            price_from_ms: row.price.valid_from_ms,
            price_micro_usd: row.price.micro_usd,
        }
    };
    Ok(PendingUsage { since_ms, as_of_ms: now_ms, items: rows.into_iter().map(item).collect() })
}

/// From when on nothing is invoiced yet, unix milliseconds: usage is invoiced by the month, so since this month began. Where there are
/// invoices, the end of the last one.
fn not_yet_invoiced_since_ms(now_ms: i64) -> i64 {
    Month::of(now_ms).start_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(guaranteed: i64, price_micro_usd: i64) -> PendingItem {
        PendingItem { service: "seal".to_owned(), guaranteed, burst: 0, price_from_ms: 0, price_micro_usd }
    }

    #[test]
    fn cents_are_rounded_down_once_for_all() {
        // Each 100 micro-dollars short of 2 cents.
        let pending = |items| PendingUsage { since_ms: 0, as_of_ms: 0, items };
        let two = pending(vec![item(199, 100), item(199, 100)]);
        assert_eq!((two.total_micro_usd(), two.total_cents()), (39_800, 3));
        assert_eq!(pending(vec![item(99, 100)]).total_cents(), 0);
        assert_eq!(pending(vec![item(100, 100)]).total_cents(), 1);
        assert_eq!(pending(vec![]).total_cents(), 0);
        assert_eq!(item(1 << 50, 1_000_000_000).amount_micro_usd(), i64::MAX, "and not a wrong number");
    }

    #[test]
    fn nothing_of_this_month_is_invoiced() {
        assert_eq!(not_yet_invoiced_since_ms(1_795_251_900_123), 1_793_491_200_000, "2026-11-01T00:00Z");
    }
}
