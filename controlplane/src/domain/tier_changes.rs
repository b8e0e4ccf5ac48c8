//! Other rates of a tier come into force: every service of it that has no rates of its own gets the plan that says so.
//!
//! Nothing is remembered and no date is looked at. Which plan is right depends on tier and burst alone, so the services fall into a
//! few groups (`db::services::plan_groups`), found in an index without reading the services; a group whose plan is not what its
//! tier means now is worked off. So it makes no difference whether `suiftly serve` ran at the moment of the change, or how often it
//! was cut off. What it costs when nothing is to be done: one query of 120 looks into an index with 20 plans, and 3 for the tiers.

use crate::db::services::PlanGroup;
use crate::db::{Database, lock_customer, plans, services, tiers};
use crate::domain::{DomainError, Rates, Tier};
use edgeformat::Plan;

/// How many services one transaction changes: with four or five statements each some ten milliseconds on SQLite.
const SERVICES_A_TRANSACTION: i64 = 100;

/// Gives the next services the plan that their tier means at `now_ms`, in one transaction. Answers how many got another plan: at
/// 0 none is left.
///
/// # Errors
/// [`DomainError::Refused`] when no plan number is free; then nothing has happened.
pub fn refresh_some(database: &mut Database, now_ms: i64) -> Result<u64, DomainError> {
    for group in groups_to_look_at(database, now_ms)? {
        let changed = refresh_group(database, &group, now_ms)?;
        if changed > 0 {
            return Ok(changed);
        }
    }
    Ok(0)
}

/// The groups whose plan may not be what their tier means; read without keeping writers waiting.
fn groups_to_look_at(database: &mut Database, now_ms: i64) -> Result<Vec<PlanGroup>, DomainError> {
    database.read(|tx| {
        let plans = plans::ever(tx)?;
        let mut meant = Vec::new();
        for tier in Tier::ALL {
            meant.push((*tier, tiers::terms_at(tx, *tier, now_ms)?.rates));
        }
        let is_right = |group: &PlanGroup| {
            let plan = plans.iter().map(|row| row.plan).find(|plan| plan.number == group.plan);
            let rates = meant.iter().find(|(tier, _)| *tier == group.tier).map(|(_, rates)| *rates);
            plan.zip(rates).is_some_and(|(plan, rates)| says(&plan, rates, group.burst))
        };
        let mut groups = services::plan_groups(tx)?;
        groups.retain(|group| !is_right(group));
        Ok(groups)
    })
}

/// Whether a plan says what is meant. Who does not want burst has the guaranteed rate alone.
fn says(plan: &Plan, rates: Rates, burst: bool) -> bool {
    let has_guaranteed = plan.guaranteed_per_s == rates.guaranteed_per_s;
    let has_burst = (plan.burst_per_s, plan.burst_priority) == (rates.burst_per_s, rates.burst_priority);
    has_guaranteed && if burst { has_burst } else { plan.burst_per_s == 0 }
}

fn refresh_group(database: &mut Database, group: &PlanGroup, now_ms: i64) -> Result<u64, DomainError> {
    database.write(|tx| {
        let mut changed = 0;
        for service in services::of_plan_group(tx, group, SERVICES_A_TRANSACTION)? {
            let customer = service.key.customer;
            let lock = lock_customer(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
            changed += u64::from(crate::domain::services::refresh_plan(tx, &lock, &service, now_ms)?);
        }
        Ok(changed)
    })
}
