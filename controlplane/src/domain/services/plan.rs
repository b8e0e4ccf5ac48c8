//! Which plan a service has: its customer's own rates, else those of its tier, with or without burst.

use crate::changes::record::record;
use crate::db::services::ServiceRow;
use crate::db::{WriteTx, plans, tiers};
use crate::domain::{DomainError, Rates, Tier};
use edgeformat::{Change, Plan, PlanNumber};

/// The rates that a service should have now.
pub(super) fn rates_for(
    tx: &mut WriteTx<'_>,
    service: &ServiceRow,
    now_ms: i64,
) -> Result<Rates, DomainError> {
    let rates = match service.own_rates {
        Some(own) => own,
        None => tiers::terms_at(tx, service.tier, now_ms)?.rates,
    };
    Ok(if service.burst && rates.burst_per_s > 0 { rates } else { without_burst(rates) })
}

/// The number of the plan with these rates; a new one, told to the edge before any policy that names it,
/// where there is none. A number never gets another meaning: an edge that lags behind would apply the new
/// rates to old customers.
pub(super) fn plan_with(tx: &mut WriteTx<'_>, rates: Rates, now_ms: i64) -> Result<PlanNumber, DomainError> {
    let known = plans::ever(tx)?;
    if let Some(row) = known.iter().find(|row| rates_in(&row.plan) == rates) {
        if row.is_retired {
            plans::set_retired(tx, row.plan.number, None)?;
            record(tx, &Change::SetPlan(row.plan), now_ms)?;
        }
        return Ok(row.plan.number);
    }
    let is_free = |number: &PlanNumber| known.iter().all(|row| row.plan.number != *number);
    let free = (1..=PlanNumber::MAX).filter_map(PlanNumber::new).find(is_free);
    let number = free.ok_or_else(|| {
        DomainError::Refused(format!(
            "all {} plan numbers are in use, and none gets another meaning; use rates that were used before",
            PlanNumber::MAX
        ))
    })?;
    plans::insert(tx, number, rates)?;
    let Rates { guaranteed_per_s, burst_per_s, burst_priority } = rates;
    record(tx, &Change::SetPlan(Plan { number, guaranteed_per_s, burst_per_s, burst_priority }), now_ms)?;
    Ok(number)
}

/// Takes a plan from the edges that no service names any more: HAProxy reads the list of plans from its beginning for each
/// request. Those that a tier means now stay: they would come and go.
pub(super) fn retire_if_unnamed(
    tx: &mut WriteTx<'_>,
    number: PlanNumber,
    now_ms: i64,
) -> Result<(), DomainError> {
    if plans::is_named(tx, number)? {
        return Ok(());
    }
    let found = plans::ever(tx)?.into_iter().find(|row| row.plan.number == number);
    let Some(rates) = found.map(|row| rates_in(&row.plan)) else { return Ok(()) };
    for tier in Tier::ALL {
        let of_tier = tiers::terms_at(tx, *tier, now_ms)?.rates;
        if rates == of_tier || rates == without_burst(of_tier) {
            return Ok(());
        }
    }
    plans::set_retired(tx, number, Some(now_ms))?;
    record(tx, &Change::RemovePlan(number), now_ms)?;
    Ok(())
}

const fn without_burst(rates: Rates) -> Rates {
    Rates { burst_per_s: 0, burst_priority: 0, ..rates }
}

/// The rates of a plan.
pub(super) const fn rates_in(plan: &Plan) -> Rates {
    Rates {
        guaranteed_per_s: plan.guaranteed_per_s,
        burst_per_s: plan.burst_per_s,
        burst_priority: plan.burst_priority,
    }
}
