//! A customer's services: which move leads from which state to which, and what the edge is told of it.

use crate::changes::record::record;
use crate::db::services::ServiceRow;
use crate::db::stream::Position;
use crate::db::{CustomerLock, Database, WriteTx, lock_customer, plans, services, stream, tiers};
use crate::domain::activity::{Action, note};
use crate::domain::allowlists::fits_tier;
use crate::domain::customer_status::must_not_be_closed;
use crate::domain::{DomainError, GrantSource, Rates, ServiceState, Tier, policy_of};
use edgeformat::{Change, Plan, PlanNumber, PolicyKey};
use serde_json::{Value, json};

/// What an operator can do to a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// Grant it, or grant another tier; none keeps the tier that it has, and is starter at first.
    Enable(Option<Tier>),
    /// Switch it off.
    Disable,
    /// Suspend it, whatever it was.
    Suspend,
    /// End the suspension: back to the state before.
    Resume,
}

/// Where a move leads.
enum Next {
    /// To a state.
    To(ServiceState),
    /// Back to the state before the suspension.
    Back,
    /// Nowhere: a rule forbids it, and the text says what to do instead.
    Refused(&'static str),
    /// The customer does not have the service.
    NoService,
}

const RESUME_FIRST: &str = "resume it first";
const BILLING_FIRST: &str =
    "it is suspended by billing, which lifts the suspension itself once that is settled";

/// The table of moves. A state that is not in the database is `NotProvisioned`.
const fn next(wanted: Move, state: ServiceState) -> Next {
    use ServiceState as S;
    match (wanted, state) {
        (Move::Enable(_), S::NotProvisioned | S::Disabled | S::Enabled | S::CancellationPending) => {
            Next::To(S::Enabled)
        }
        (Move::Enable(_) | Move::Disable, S::SuspendedOperator) => Next::Refused(RESUME_FIRST),
        (Move::Enable(_) | Move::Disable, S::SuspendedNoPayment | S::SuspendedSpendingLimit) => {
            Next::Refused(BILLING_FIRST)
        }
        (Move::Disable | Move::Suspend | Move::Resume, S::NotProvisioned) => Next::NoService,
        (Move::Disable, S::Disabled | S::Enabled | S::CancellationPending) => Next::To(S::Disabled),
        (Move::Suspend, _) => Next::To(S::SuspendedOperator),
        (Move::Resume, S::SuspendedOperator) => Next::Back,
        (Move::Resume, _) => Next::Refused("only a service in the state suspended_operator can be resumed"),
    }
}

/// How a service stands after a move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved {
    /// The service.
    pub service: ServiceRow,
    /// The rates of its plan.
    pub rates: Rates,
    /// The stream after the move.
    pub position: Position,
    /// Whether anything was changed.
    pub changed: bool,
}

/// Makes a move. One that leads where the service is already succeeds and changes nothing.
///
/// # Errors
/// [`DomainError`]; then nothing has happened.
pub fn make_move(
    database: &mut Database,
    key: PolicyKey,
    wanted: Move,
    now_ms: i64,
) -> Result<Moved, DomainError> {
    database.write(|tx| {
        let lock = lock_customer(tx, key.customer)?.ok_or(DomainError::NoCustomer(key.customer))?;
        must_not_be_closed(&lock, "gets no service, and keeps those that it has as they are")?;
        let before = services::find(tx, key)?;
        let (after, rates) = after_move(tx, key, before.as_ref(), wanted, now_ms)?;
        let changed = before != Some(after);
        match before {
            None => services::insert(tx, &lock, &after, now_ms)?,
            Some(_) if changed => services::update(tx, &lock, &after, now_ms)?,
            Some(_) => {}
        }
        tell_the_edge(tx, &lock, before.as_ref(), &after, now_ms)?;
        if changed {
            note(tx, key.customer, Action::ServiceChanged, &detail_of(before.as_ref(), &after), now_ms)?;
        }
        Ok(Moved { service: after, rates, position: stream::position(tx)?, changed })
    })
}

/// Gives a service the plan that its tier means now, and tells the edges; answers whether it had another one.
pub(in crate::domain) fn refresh_plan(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    service: &ServiceRow,
    now_ms: i64,
) -> Result<bool, DomainError> {
    let rates = tiers::rates_at(tx, service.tier, now_ms)?;
    let after = ServiceRow { plan: plan_with(tx, rates, now_ms)?, ..*service };
    if after.plan == service.plan {
        return Ok(false);
    }
    services::update(tx, lock, &after, now_ms)?;
    tell_the_edge(tx, lock, Some(service), &after, now_ms)?;
    Ok(true)
}

/// What was and what is, for the activity log.
fn detail_of(before: Option<&ServiceRow>, after: &ServiceRow) -> Value {
    let from = before.map_or(ServiceState::NotProvisioned, |before| before.state);
    json!({
        "service": after.key.service.name(),
        "from_state": from.word(),
        "to_state": after.state.word(),
        "from_tier": before.map(|before| before.tier.word()),
        "to_tier": after.tier.word(),
    })
}

fn after_move(
    tx: &mut WriteTx<'_>,
    key: PolicyKey,
    before: Option<&ServiceRow>,
    wanted: Move,
    now_ms: i64,
) -> Result<(ServiceRow, Rates), DomainError> {
    let state = before.map_or(ServiceState::NotProvisioned, |service| service.state);
    let no_service = DomainError::NoService { customer: key.customer, service: key.service };
    let refused = |what: &str| {
        let text = format!("the service {} of customer {} is {state}: {what}", key.service, key.customer);
        Err(DomainError::Refused(text))
    };
    let new_state = match next(wanted, state) {
        Next::To(new_state) => new_state,
        Next::Back => {
            before.and_then(|service| service.state_before_suspension).unwrap_or(ServiceState::Enabled)
        }
        Next::Refused(what) => return refused(what),
        Next::NoService => return Err(no_service),
    };
    if let Move::Enable(tier) = wanted {
        let tier = tier.or(before.map(|service| service.tier)).unwrap_or(Tier::Starter);
        if let Some(before) = before.filter(|before| before.tier != tier) {
            fits_tier(tx, before, tier, now_ms)?;
        }
        let rates = tiers::rates_at(tx, tier, now_ms)?;
        let plan = plan_with(tx, rates, now_ms)?;
        let source = GrantSource::OperatorGrant;
        let allowlist = before.is_some_and(|before| before.allowlist);
        let after = ServiceRow {
            key,
            state: new_state,
            state_before_suspension: None,
            tier,
            plan,
            source,
            allowlist,
        };
        return Ok((after, rates));
    }
    let Some(before) = before else { return Err(no_service) };
    let state_before_suspension = match (new_state, state) {
        // Suspended twice: the way back stays.
        (ServiceState::SuspendedOperator, ServiceState::SuspendedOperator) => before.state_before_suspension,
        (ServiceState::SuspendedOperator, _) => Some(state),
        _ => None,
    };
    let rates = rates_of(&plans::all(tx)?, before.plan)?;
    Ok((ServiceRow { state: new_state, state_before_suspension, ..*before }, rates))
}

/// Appends what differs for the edge; a move that changes nothing there appends nothing.
fn tell_the_edge(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    before: Option<&ServiceRow>,
    after: &ServiceRow,
    now_ms: i64,
) -> Result<(), DomainError> {
    let known = before.and_then(|service| policy_of(service, lock.status()));
    let wanted = policy_of(after, lock.status());
    match (known, wanted) {
        (known, Some(policy)) if known != Some(policy) => {
            record(tx, &Change::SetPolicy(policy), now_ms)?;
        }
        (Some(policy), None) => {
            record(tx, &Change::RemovePolicy(policy.key), now_ms)?;
        }
        _ => {}
    }
    Ok(())
}

/// The number of the plan with these rates; a new one, told to the edge before any policy that names it,
/// where there is none. A number never gets another meaning: an edge that lags behind would apply the new
/// rates to old customers.
fn plan_with(tx: &mut WriteTx<'_>, rates: Rates, now_ms: i64) -> Result<PlanNumber, DomainError> {
    let known = plans::all(tx)?;
    if let Some(plan) = known.iter().find(|plan| rates_in(plan) == rates) {
        return Ok(plan.number);
    }
    let is_free = |number: &PlanNumber| known.iter().all(|plan| plan.number != *number);
    let free = (1..=PlanNumber::MAX).filter_map(PlanNumber::new).find(is_free);
    let number = free.ok_or_else(|| {
        DomainError::Refused(format!(
            "all {} plan numbers are in use; no further rates can be told to the edges",
            PlanNumber::MAX
        ))
    })?;
    plans::insert(tx, number, rates)?;
    let Rates { guaranteed_per_s, burst_per_s, burst_priority } = rates;
    record(tx, &Change::SetPlan(Plan { number, guaranteed_per_s, burst_per_s, burst_priority }), now_ms)?;
    Ok(number)
}

fn rates_of(plans: &[Plan], number: PlanNumber) -> Result<Rates, DomainError> {
    let plan = plans.iter().find(|plan| plan.number == number);
    plan.map(rates_in).ok_or_else(|| {
        crate::db::DbError::Unexpected { table: "plans", detail: format!("plan {number} is missing") }.into()
    })
}

const fn rates_in(plan: &Plan) -> Rates {
    Rates {
        guaranteed_per_s: plan.guaranteed_per_s,
        burst_per_s: plan.burst_per_s,
        burst_priority: plan.burst_priority,
    }
}
