//! Plans: the distinct rates that the edges know by a number.

use crate::db::schema::{plans::dsl, services};
use crate::db::{DbError, ReadTx, WriteTx, number};
use crate::domain::{Rates, ServiceState};
use diesel::prelude::*;
use edgeformat::{Plan, PlanNumber};

/// A plan, and whether the edges know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlanRow {
    /// Its number and rates.
    pub plan: Plan,
    /// No service names it: it has left the edges.
    pub is_retired: bool,
}

type Columns = (i64, i64, i64, i64, Option<i64>);

/// Every plan that there ever was, by number.
pub fn ever(tx: &mut ReadTx<'_>) -> Result<Vec<PlanRow>, DbError> {
    let rows: Vec<Columns> = dsl::plans
        .order(dsl::number)
        .select((
            dsl::number,
            dsl::guaranteed_per_s,
            dsl::burst_per_s,
            dsl::burst_priority,
            dsl::retired_at_ms,
        ))
        .load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// The plans that the edges know, by number.
pub fn in_force(tx: &mut ReadTx<'_>) -> Result<Vec<Plan>, DbError> {
    Ok(ever(tx)?.into_iter().filter(|row| !row.is_retired).map(|row| row.plan).collect())
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

/// Notes since when no service names a plan; `None`: one does again.
pub fn set_retired(
    tx: &mut WriteTx<'_>,
    number: PlanNumber,
    retired_at_ms: Option<i64>,
) -> Result<(), DbError> {
    let target = dsl::plans.find(i64::from(number.get()));
    diesel::update(target).set(dsl::retired_at_ms.eq(retired_at_ms)).execute(tx.connection())?;
    Ok(())
}

/// Whether any service that a customer has names a plan.
pub fn is_named(tx: &mut ReadTx<'_>, number: PlanNumber) -> Result<bool, DbError> {
    let naming = services::table
        .filter(services::plan.eq(i64::from(number.get())))
        .filter(services::state.ne(ServiceState::NotProvisioned.word()))
        .select(services::plan);
    Ok(naming.first::<i64>(tx.connection()).optional()?.is_some())
}

fn row((no, guaranteed, burst, priority, retired_at_ms): Columns) -> Result<PlanRow, DbError> {
    let number_of_plan = PlanNumber::new(number("plans", "number", no)?)
        .ok_or_else(|| DbError::unexpected("plans", format!("number is {no}")))?;
    let plan = Plan {
        number: number_of_plan,
        guaranteed_per_s: number("plans", "guaranteed_per_s", guaranteed)?,
        burst_per_s: number("plans", "burst_per_s", burst)?,
        burst_priority: number("plans", "burst_priority", priority)?,
    };
    Ok(PlanRow { plan, is_retired: retired_at_ms.is_some() })
}
