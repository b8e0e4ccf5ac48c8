//! Usage by service and price: what a bill is made from, so from `usage_records` themselves.

use crate::db::usage_records::{Sums, summed};
use crate::db::{DbError, ReadTx};
use crate::domain::catalogue::PriceRow;
use apikey::{CustomerId, Service};
use diesel::prelude::*;
use diesel::{QueryableByName, sql_types};
use std::ops::Range;

/// What was used of a service while a price was in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PricedUsage {
    /// The word of the service.
    pub service: String,
    /// The price.
    pub price: PriceRow,
    /// The counters.
    pub sums: Sums,
}

/// What a customer has used in a time (unix seconds; windows that begin in it), by service and by the price in force when the hour
/// began in which the window begins. By the hour, because minutes become hours: what was used must not cost something else then.
pub fn by_price(
    tx: &mut ReadTx<'_>,
    customer: CustomerId,
    time_s: &Range<i64>,
    prices: &[PriceRow],
) -> Result<Vec<PricedUsage>, DbError> {
    #[derive(QueryableByName)]
    struct Columns {
        #[diesel(sql_type = sql_types::Text)]
        service: String,
        #[diesel(sql_type = sql_types::BigInt)]
        place: i64,
        #[diesel(embed)]
        sums: Sums,
    }
    let rows: Vec<Columns> =
        diesel::sql_query(select_by_price(customer, time_s, prices)).load(tx.connection())?;
    let priced = |Columns { service, place, sums }| {
        let price = usize::try_from(place).ok().and_then(|place| prices.get(place)).copied();
        let price =
            price.ok_or_else(|| DbError::unexpected("prices", "no price of a request is in force"))?;
        Ok(PricedUsage { service, price, sums })
    };
    rows.into_iter().map(priced).collect()
}

/// The statement behind [`by_price()`]; public for the test that asks the databases how they run it.
pub fn select_by_price(customer: CustomerId, time_s: &Range<i64>, prices: &[PriceRow]) -> String {
    let hour_ms = "(window_start_s - window_start_s % 3600) * 1000";
    // The newest first: the first that had begun is the one in force.
    let newest_first = prices.iter().enumerate().skip(1).rev();
    let cases: String = newest_first
        .map(|(place, price)| format!("WHEN {hour_ms} >= {} THEN {place} ", price.valid_from_ms))
        .collect();
    let place = if cases.is_empty() { "0".to_owned() } else { format!("CASE {cases}ELSE 0 END") };
    format!(
        "SELECT service, CAST({place} AS BIGINT) AS place, {} FROM usage_records WHERE customer_id = {} AND service IN ({}) \
         AND window_start_s >= {} AND window_start_s < {} GROUP BY 1, 2 ORDER BY 1, 2",
        summed(),
        customer.get(),
        Service::ALL.map(|service| format!("'{}'", service.name())).join(", "),
        time_s.start,
        time_s.end
    )
}
