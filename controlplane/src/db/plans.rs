//! Plans: the distinct triples of rates, numbered for the edge. Rows are never changed or removed here.

use crate::db::schema::plans::dsl;
use crate::db::{DbError, ReadTx, WriteTx, number};
use crate::domain::Rates;
use diesel::prelude::*;
use edgeformat::{Plan, PlanNumber};

type Columns = (i64, i64, i64, i64);

/// Every plan, by rising number.
pub fn all(tx: &mut ReadTx<'_>) -> Result<Vec<Plan>, DbError> {
    let rows: Vec<Columns> = dsl::plans
        .order(dsl::number)
        .select((dsl::number, dsl::guaranteed_per_s, dsl::burst_per_s, dsl::burst_priority))
        .load(tx.connection())?;
    rows.into_iter().map(plan).collect()
}

/// Adds a plan.
pub fn insert(tx: &mut WriteTx<'_>, number: PlanNumber, rates: Rates) -> Result<(), DbError> {
    let row = (
        dsl::number.eq(i64::from(number.get())),
        dsl::guaranteed_per_s.eq(i64::from(rates.guaranteed_per_s)),
        dsl::burst_per_s.eq(i64::from(rates.burst_per_s)),
        dsl::burst_priority.eq(i64::from(rates.burst_priority)),
    );
    diesel::insert_into(dsl::plans).values(row).execute(tx.connection())?;
    Ok(())
}

fn plan((no, guaranteed, burst, priority): Columns) -> Result<Plan, DbError> {
    let number_of_plan = PlanNumber::new(number("plans", "number", no)?)
        .ok_or_else(|| DbError::unexpected("plans", format!("number is {no}")))?;
    Ok(Plan {
        number: number_of_plan,
        guaranteed_per_s: number("plans", "guaranteed_per_s", guaranteed)?,
        burst_per_s: number("plans", "burst_per_s", burst)?,
        burst_priority: number("plans", "burst_priority", priority)?,
    })
}
