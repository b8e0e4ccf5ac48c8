//! A customer's services: what becomes of them, and what the edge is told of it.
//!
//! Everything goes through `store`: the row, the edge's policy and the account's activity log change in one transaction.

pub mod moves;
pub mod pending;
mod plan;
pub mod subscriptions;

use crate::changes::record::record;
use crate::db::services::ServiceRow;
use crate::db::stream::Position;
use crate::db::{CustomerLock, Database, DbError, ReadTx, WriteTx, lock_customer, plans, services, stream};
use crate::domain::activity::{Action, note};
use crate::domain::allowlists::fits_tier;
use crate::domain::customer_status::must_not_be_closed;
use crate::domain::{DomainError, GrantSource, Rates, ServiceState, Tier, policy_of};
use edgeformat::{Change, PlanNumber, PolicyKey};
use moves::{Event, Forbidden, Standing};
use plan::{plan_with, rates_for, retire_if_unnamed};
use serde_json::{Value, json};

/// What an operator, or billing, can do to a service.
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
    /// Suspend it since it is unpaid.
    StopUnpaid,
    /// Suspend it since the spending limit is reached.
    StopAtLimit,
    /// End billing's suspension: back to the state before.
    Settle,
}

impl Move {
    const fn event(self) -> Event {
        match self {
            Self::Enable(_) => Event::Grant,
            Self::Disable => Event::Disable,
            Self::Suspend => Event::Suspend,
            Self::Resume => Event::Resume,
            Self::StopUnpaid => Event::StopUnpaid,
            Self::StopAtLimit => Event::StopAtLimit,
            Self::Settle => Event::Settle,
        }
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
        pending::catch_up(tx, key, now_ms)?;
        let before = services::find(tx, key)?;
        let standing = before.as_ref().map_or(Standing::NONE, Standing::of);
        let standing = standing.after(wanted.event()).map_err(|forbidden| {
            refusal_of(key, before.map_or(ServiceState::NotProvisioned, |row| row.state), forbidden)
        })?;
        let after = match wanted {
            Move::Enable(tier) => granted(tx, key, before.as_ref(), tier, now_ms)?,
            _ => before.ok_or(DomainError::NoService { customer: key.customer, service: key.service })?,
        };
        let has_ended = standing.is_cancelled() && !after.cancelled;
        let kept_until_ms = after.pending_until_ms.map(|end_ms| end_ms + pending::KEPT_AFTER_END_MS);
        let after = if has_ended { ServiceRow { pending_until_ms: kept_until_ms, ..after } } else { after };
        store(tx, &lock, before.as_ref(), standing.write_to(after), now_ms)
    })
}

/// Gives a customer rates of its own, or takes them away again (`None`).
///
/// # Errors
/// [`DomainError`]; then nothing has happened.
pub fn set_own_rates(
    database: &mut Database,
    key: PolicyKey,
    own_rates: Option<Rates>,
    now_ms: i64,
) -> Result<Moved, DomainError> {
    database.write(|tx| {
        let lock = lock_customer(tx, key.customer)?.ok_or(DomainError::NoCustomer(key.customer))?;
        must_not_be_closed(&lock, "keeps its services as they are")?;
        let before = services::find(tx, key)?.filter(|row| row.state != ServiceState::NotProvisioned);
        let before = before.ok_or(DomainError::NoService { customer: key.customer, service: key.service })?;
        let own_rates = own_rates.map(checked).transpose()?;
        store(tx, &lock, Some(&before), ServiceRow { own_rates, ..before }, now_ms)
    })
}

/// Rates that mean something: without a priority class a burst would be served before what is guaranteed.
fn checked(rates: Rates) -> Result<Rates, DomainError> {
    const PER_S_MAX: u32 = (1 << 20) - 1;
    if rates.guaranteed_per_s > PER_S_MAX || rates.burst_per_s > PER_S_MAX {
        return Err(DomainError::Refused(format!("a rate is at most {PER_S_MAX} requests per second")));
    }
    match (rates.burst_per_s, rates.burst_priority) {
        (0, _) => Ok(Rates { burst_priority: 0, ..rates }),
        (_, 0) => Err(DomainError::Refused(
            "burst needs a priority class of 1 or more: class 0 is what is guaranteed".to_owned(),
        )),
        _ => Ok(rates),
    }
}

/// Gives a service the plan that its tier, its own rates and its burst switch mean now; answers whether that was another one.
///
/// # Errors
/// [`DomainError`].
pub(in crate::domain) fn refresh_plan(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    service: &ServiceRow,
    now_ms: i64,
) -> Result<bool, DomainError> {
    Ok(store(tx, lock, Some(service), *service, now_ms)?.changed)
}

/// The rates of a service's plan.
///
/// # Errors
/// [`DomainError::Db`].
pub fn rates_of(tx: &mut ReadTx<'_>, service: &ServiceRow) -> Result<Rates, DomainError> {
    let plans = plans::in_force(tx)?;
    // That of a service which the edges do not know may be retired.
    let known = plans.iter().find(|plan| plan.number == service.plan).copied();
    let plan = match known {
        Some(plan) => Some(plan),
        None => plans::ever(tx)?.into_iter().map(|row| row.plan).find(|plan| plan.number == service.plan),
    };
    plan.as_ref().map(plan::rates_in).ok_or_else(|| {
        DbError::Unexpected { table: "plans", detail: format!("plan {} is missing", service.plan) }.into()
    })
}

/// A service as an operator grants it: without payment and charge, and with nothing pending.
fn granted(
    tx: &mut WriteTx<'_>,
    key: PolicyKey,
    before: Option<&ServiceRow>,
    tier: Option<Tier>,
    now_ms: i64,
) -> Result<ServiceRow, DomainError> {
    // What was removed is begun anew, so that nothing of it comes back by surprise.
    let removed = before.filter(|row| row.state == ServiceState::NotProvisioned);
    let before = before.filter(|row| row.state != ServiceState::NotProvisioned);
    let tier = tier.or(before.map(|row| row.tier)).unwrap_or(Tier::Starter);
    if let Some(before) = before.filter(|before| before.tier != tier) {
        fits_tier(tx, before, tier, now_ms)?;
    }
    let row =
        before.map_or_else(|| new_row(key, tier, GrantSource::OperatorGrant, removed), |before| *before);
    Ok(ServiceRow {
        tier,
        source: GrantSource::OperatorGrant,
        next_tier: None,
        pending_until_ms: None,
        ..row
    })
}

/// A service that is begun, anew where it was `removed`: keys of before open it again, so a list of before restricts them still.
/// [`store`] gives it its plan, a move its state.
fn new_row(key: PolicyKey, tier: Tier, source: GrantSource, removed: Option<&ServiceRow>) -> ServiceRow {
    ServiceRow {
        key,
        state: ServiceState::NotProvisioned,
        state_before_suspension: None,
        state_before_billing: None,
        tier,
        plan: PlanNumber::NONE,
        source,
        allowlist: removed.is_some_and(|row| row.allowlist),
        burst: true,
        own_rates: None,
        paid: false,
        next_tier: None,
        cancelled: false,
        pending_until_ms: None,
        version: 0,
    }
}

/// Stores a service as it is now, with the plan that it should have; tells the edge what differs for it, and the activity log.
/// Nothing is done where nothing differs.
///
/// # Errors
/// [`DomainError`].
fn store(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    before: Option<&ServiceRow>,
    after: ServiceRow,
    now_ms: i64,
) -> Result<Moved, DomainError> {
    let rates = rates_for(tx, &after, now_ms)?;
    let after = ServiceRow { plan: plan_with(tx, rates, now_ms)?, ..after };
    let changed = before != Some(&after);
    if !changed {
        return Ok(Moved { service: after, rates, position: stream::position(tx)?, changed });
    }
    let after = ServiceRow { version: before.map_or(1, |before| before.version + 1), ..after };
    match before {
        None => services::insert(tx, lock, &after, now_ms)?,
        Some(_) => services::update(tx, lock, &after, now_ms)?,
    }
    tell_the_edge(tx, lock, before, &after, now_ms)?;
    if let Some(before) = before.filter(|before| before.plan != after.plan) {
        retire_if_unnamed(tx, before.plan, now_ms)?;
    }
    if after.state == ServiceState::NotProvisioned {
        retire_if_unnamed(tx, after.plan, now_ms)?;
    }
    note(tx, lock.customer(), Action::ServiceChanged, &detail_of(before, &after, rates), now_ms)?;
    Ok(Moved { service: after, rates, position: stream::position(tx)?, changed })
}

/// Appends what differs for the edge; a change that is none there appends nothing.
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

/// What was and what is, for the activity log.
fn detail_of(before: Option<&ServiceRow>, after: &ServiceRow, rates: Rates) -> Value {
    let from = before.map_or(ServiceState::NotProvisioned, |before| before.state);
    let mut detail = json!({
        "service": after.key.service.name(),
        "from_state": from.word(),
        "to_state": after.state.word(),
        "from_tier": before.map(|before| before.tier.word()),
        "to_tier": after.tier.word(),
        "guaranteed_per_s": rates.guaranteed_per_s,
        "burst_per_s": rates.burst_per_s,
    });
    if let (Some(next), Some(at_ms), Some(detail)) =
        (after.next_tier, after.pending_until_ms, detail.as_object_mut())
    {
        detail.insert("next_tier".to_owned(), next.word().into());
        detail.insert("next_tier_at".to_owned(), crate::clock::rfc3339_ms(at_ms).into());
    }
    detail
}

fn refusal_of(key: PolicyKey, state: ServiceState, forbidden: Forbidden) -> DomainError {
    match forbidden {
        Forbidden::NoService => DomainError::NoService { customer: key.customer, service: key.service },
        Forbidden::Rule(what) => DomainError::Refused(format!(
            "the service {} of customer {} is {state}: {what}",
            key.service, key.customer
        )),
    }
}
