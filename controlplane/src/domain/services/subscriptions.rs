//! What customers do with their services: subscribe, change, cancel. What costs more goes through the gate first.
//!
//! Before the first payment every change is immediate and free. After it an upgrade is paid for at once, for the days that are left
//! of the month; a downgrade and a cancellation wait for its end and can be taken back until then (DESIGN section 7).

use crate::clock::Month;
use crate::db::services::ServiceRow;
use crate::db::{
    CustomerLock, DbError, ReadTx, WriteTx, allowlist_entries, credit_entries, lock_customer, service_types,
    services, tiers,
};
use crate::domain::allowlists::{self, ListChange};
use crate::domain::credit::EntryKind;
use crate::domain::gate::{self, Charge, Declined, Payment};
use crate::domain::services::moves::{Event, Forbidden, Standing};
use crate::domain::services::{Moved, new_row, pending, store};
use crate::domain::{DomainError, GrantSource, ServiceState, Tier};
use edgeformat::{PolicyKey, Prefix};
use std::collections::BTreeSet;

/// An upgrade costs nothing when no more days than this are left of the month.
const FREE_DAYS_LEFT: i64 = 2;

/// Why a customer's wish is not fulfilled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The customer does not have the service.
    NoService,
    /// The customer has it already.
    AlreadySubscribed,
    /// Nobody can subscribe to it now.
    NotOffered,
    /// It was cancelled, and can be had again from this moment on, unix milliseconds.
    CoolingDown(i64),
    /// The table of moves forbids it; how the service stands, and what to do instead.
    Rule(ServiceState, &'static str),
    /// The tier has no burst.
    NoBurst(Tier),
    /// The tier has no allowlist.
    NoAllowlist(Tier),
    /// The list is, or would be, longer than the tier allows: how many, and how many it allows.
    AllowlistTooLong {
        /// How many entries it has or would have.
        count: usize,
        /// How many the tier allows.
        entries_max: u32,
    },
    /// The gate declines it.
    Declined(Declined),
}

/// Nothing has happened.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// A rule that a customer can run into.
    #[error("refused")]
    Refused(Refusal),
    /// Anything else.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl From<DbError> for SubscriptionError {
    fn from(error: DbError) -> Self {
        Self::Domain(error.into())
    }
}

impl From<Refusal> for SubscriptionError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a customer wants to change; what is `None` stays.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Alteration {
    /// Another tier; the same one takes a downgrade back that has not happened yet.
    pub tier: Option<Tier>,
    /// On or off; on takes a cancellation back.
    pub enabled: Option<bool>,
    /// With or without the burst that the tier has.
    pub burst: Option<bool>,
    /// Whether callers' addresses are checked.
    pub allowlist_checked: Option<bool>,
    /// From which addresses: exactly these.
    pub allowlist: Option<BTreeSet<Prefix>>,
}

/// Subscribes to a service. Switched on it is paid for now, a full month; switched off it costs nothing until it is switched on.
///
/// # Errors
/// [`SubscriptionError`]; the transaction must then be given up.
pub fn subscribe(
    tx: &mut WriteTx<'_>,
    key: PolicyKey,
    tier: Tier,
    enabled: bool,
    payment: &dyn Payment,
    now_ms: i64,
) -> Result<Moved, SubscriptionError> {
    let lock = lock_customer(tx, key.customer)?.ok_or(DomainError::NoCustomer(key.customer))?;
    pending::catch_up(tx, key, now_ms)?;
    let before = services::find(tx, key)?;
    let standing = before.as_ref().map_or(Standing::NONE, Standing::of);
    let subscribed = standing.after(Event::Subscribe).map_err(|_| Refusal::AlreadySubscribed)?;
    if let Some(until_ms) = before.and_then(|row| row.pending_until_ms).filter(|until_ms| *until_ms > now_ms)
    {
        return Err(Refusal::CoolingDown(until_ms).into());
    }
    if !service_types::is_open(tx, key.service)? {
        return Err(Refusal::NotOffered.into());
    }
    let row = new_row(key, tier, GrantSource::Subscription, before.as_ref());
    let (row, standing) = if enabled {
        (paid_for(tx, &lock, row, payment, now_ms)?, subscribed)
    } else {
        (row, subscribed.after(Event::SwitchOff).unwrap_or(subscribed))
    };
    Ok(store(tx, &lock, before.as_ref(), standing.write_to(row), now_ms)?)
}

/// Changes a service. All of it happens, or nothing.
///
/// # Errors
/// [`SubscriptionError`]; the transaction must then be given up.
pub fn alter(
    tx: &mut WriteTx<'_>,
    key: PolicyKey,
    wanted: &Alteration,
    payment: &dyn Payment,
    now_ms: i64,
) -> Result<Moved, SubscriptionError> {
    let lock = lock_customer(tx, key.customer)?.ok_or(DomainError::NoCustomer(key.customer))?;
    pending::catch_up(tx, key, now_ms)?;
    let before = find(tx, key)?;
    let mut row = before;
    if let Some(tier) = wanted.tier {
        row = with_tier(tx, &lock, row, tier, wanted, payment, now_ms)?;
    }
    if let Some(burst) = wanted.burst {
        row = with_burst(tx, row, burst, now_ms)?;
    }
    let end = with_state(tx, &lock, row, wanted.enabled, payment, now_ms)?;
    if wanted.allowlist.is_none() && wanted.allowlist_checked.is_none() {
        return Ok(store(tx, &lock, Some(&before), end, now_ms)?);
    }
    // A switch-off comes before the list is opened, a switch-on after it is closed: at no moment is the edge more open than before
    // or afterwards.
    let first = if end.state == ServiceState::Enabled { row } else { end };
    let first = store(tx, &lock, Some(&before), first, now_ms)?;
    let changed = change_list(tx, &lock, &first.service, wanted, now_ms)? || first.changed;
    let listed = find(tx, key)?;
    let end = ServiceRow { allowlist: listed.allowlist, version: listed.version, ..end };
    let moved = store(tx, &lock, Some(&listed), end, now_ms)?;
    Ok(Moved { changed: moved.changed || changed, ..moved })
}

/// Cancels a service. One that was paid for is served until the month ends; any other is given up at once.
///
/// # Errors
/// [`SubscriptionError`]; the transaction must then be given up.
pub fn cancel(tx: &mut WriteTx<'_>, key: PolicyKey, now_ms: i64) -> Result<Moved, SubscriptionError> {
    let lock = lock_customer(tx, key.customer)?.ok_or(DomainError::NoCustomer(key.customer))?;
    pending::catch_up(tx, key, now_ms)?;
    let before = find(tx, key)?;
    let standing = Standing::of(&before);
    if !before.paid {
        let given_up = after(&before, standing, Event::GiveUp)?;
        let row = ServiceRow { next_tier: None, pending_until_ms: None, ..given_up.write_to(before) };
        return Ok(store(tx, &lock, Some(&before), row, now_ms)?);
    }
    if standing.is_cancelled() {
        return Ok(store(tx, &lock, Some(&before), before, now_ms)?);
    }
    let cancelled = after(&before, standing, Event::Cancel)?;
    let period_end_ms = Month::of(now_ms).end_ms;
    let pending_until_ms =
        if cancelled.is_cancelled() { period_end_ms + pending::KEPT_AFTER_END_MS } else { period_end_ms };
    let row = ServiceRow {
        next_tier: None,
        pending_until_ms: Some(pending_until_ms),
        ..cancelled.write_to(before)
    };
    Ok(store(tx, &lock, Some(&before), row, now_ms)?)
}

/// A service that the customer has.
///
/// # Errors
/// [`Refusal::NoService`].
pub fn find(tx: &mut ReadTx<'_>, key: PolicyKey) -> Result<ServiceRow, SubscriptionError> {
    let found = services::find(tx, key)?.filter(|row| row.state != ServiceState::NotProvisioned);
    found.ok_or_else(|| Refusal::NoService.into())
}

fn after(row: &ServiceRow, standing: Standing, event: Event) -> Result<Standing, SubscriptionError> {
    standing.after(event).map_err(|forbidden| {
        let refusal = match forbidden {
            Forbidden::NoService => Refusal::NoService,
            Forbidden::Rule(what) => Refusal::Rule(row.state, what),
        };
        refusal.into()
    })
}

/// Pays for the first month.
fn paid_for(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    row: ServiceRow,
    payment: &dyn Payment,
    now_ms: i64,
) -> Result<ServiceRow, SubscriptionError> {
    let amount_cents = tiers::terms_at(tx, row.tier, now_ms)?.subscription_cents;
    let charge =
        Charge { service: row.key.service, tier: row.tier, kind: EntryKind::Subscription, amount_cents };
    gate::pass(tx, lock, payment, &charge, now_ms)?.map_err(Refusal::Declined)?;
    Ok(ServiceRow { paid: true, ..row })
}

const TIER_WHILE_CANCELLED: &str =
    "it is cancelled, and keeps its tier until it ends; switch it on to take that back";
const TIER_WHILE_SUSPENDED: &str = "it is suspended, and keeps its tier until that is ended";

fn with_tier(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    row: ServiceRow,
    tier: Tier,
    wanted: &Alteration,
    payment: &dyn Payment,
    now_ms: i64,
) -> Result<ServiceRow, SubscriptionError> {
    match row.state {
        ServiceState::CancellationPending => {
            return Err(Refusal::Rule(row.state, TIER_WHILE_CANCELLED).into());
        }
        _ if row.cancelled => return Err(Refusal::Rule(row.state, TIER_WHILE_CANCELLED).into()),
        ServiceState::Disabled | ServiceState::Enabled => {}
        _ => return Err(Refusal::Rule(row.state, TIER_WHILE_SUSPENDED).into()),
    }
    if tier == row.tier {
        return Ok(ServiceRow { next_tier: None, pending_until_ms: None, ..row });
    }
    list_fits(tx, &row, tier, wanted, now_ms)?;
    let paid_at_ms = if row.paid { paid_at_ms(tx, &row, now_ms)? } else { now_ms };
    let old_cents = tiers::terms_at(tx, row.tier, paid_at_ms)?.subscription_cents;
    let new_cents = tiers::terms_at(tx, tier, now_ms)?.subscription_cents;
    let at_once = ServiceRow { tier, next_tier: None, pending_until_ms: None, ..row };
    let is_granted = row.source == GrantSource::OperatorGrant;
    if new_cents < old_cents {
        let month = Month::of(now_ms);
        let later = ServiceRow { next_tier: Some(tier), pending_until_ms: Some(month.end_ms), ..row };
        return Ok(if row.paid { later } else { at_once });
    }
    if !row.paid {
        // What was granted is subscribed to with this, from the beginning as everywhere: a full month.
        let subscribed = ServiceRow { source: GrantSource::Subscription, ..at_once };
        return if is_granted { paid_for(tx, lock, subscribed, payment, now_ms) } else { Ok(at_once) };
    }
    let charge = Charge {
        service: row.key.service,
        tier,
        kind: EntryKind::Upgrade,
        amount_cents: upgrade_cents(old_cents, new_cents, now_ms),
    };
    gate::pass(tx, lock, payment, &charge, now_ms)?.map_err(Refusal::Declined)?;
    Ok(ServiceRow { source: GrantSource::Subscription, paid: true, ..at_once })
}

/// When this month of the tier was paid for, unix milliseconds: what it cost then is what an upgrade is reckoned against.
fn paid_at_ms(tx: &mut ReadTx<'_>, row: &ServiceRow, now_ms: i64) -> Result<i64, DbError> {
    let month = Month::of(now_ms);
    let of_month = credit_entries::since(tx, row.key.customer, month.start_ms)?;
    let paid = of_month.iter().find(|entry| {
        entry.kind.is_charge() && entry.service == Some(row.key.service) && entry.tier == Some(row.tier)
    });
    Ok(paid.map_or(month.start_ms, |entry| entry.at_ms))
}

/// What the rest of this month costs in a higher tier: `(new - old) x days_left / days_in_month`, rounded down; today counts.
fn upgrade_cents(old_cents: i64, new_cents: i64, now_ms: i64) -> i64 {
    let month = Month::of(now_ms);
    let days_left = month.days_left(now_ms);
    if days_left <= FREE_DAYS_LEFT { 0 } else { (new_cents - old_cents) * days_left / month.days() }
}

fn with_burst(
    tx: &mut WriteTx<'_>,
    row: ServiceRow,
    burst: bool,
    now_ms: i64,
) -> Result<ServiceRow, SubscriptionError> {
    let rates = match row.own_rates {
        Some(own) => own,
        None => tiers::terms_at(tx, row.tier, now_ms)?.rates,
    };
    if burst && rates.burst_per_s == 0 {
        return Err(Refusal::NoBurst(row.tier).into());
    }
    Ok(ServiceRow { burst, ..row })
}

fn with_state(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    row: ServiceRow,
    enabled: Option<bool>,
    payment: &dyn Payment,
    now_ms: i64,
) -> Result<ServiceRow, SubscriptionError> {
    let Some(enabled) = enabled else { return Ok(row) };
    let event = if enabled { Event::SwitchOn } else { Event::SwitchOff };
    let mut standing = Standing::of(&row);
    // One that was off when it was cancelled: until its period ends that can be taken back as any.
    let runs_until_ms = row.pending_until_ms.map(|until_ms| until_ms - pending::KEPT_AFTER_END_MS);
    let is_taken_back =
        enabled && standing.is_cancelled() && runs_until_ms.is_some_and(|until_ms| now_ms < until_ms);
    if is_taken_back {
        standing = standing.not_cancelled();
    }
    let standing = after(&row, standing, event)?;
    let is_unpaid = row.source == GrantSource::Subscription && !row.paid;
    let was_cancelled = is_taken_back || row.state == ServiceState::CancellationPending;
    let row = if enabled && is_unpaid { paid_for(tx, lock, row, payment, now_ms)? } else { row };
    let row = if was_cancelled { ServiceRow { pending_until_ms: None, ..row } } else { row };
    Ok(standing.write_to(row))
}

/// Whether the list, as it is to be, fits another tier. What was dropped or cut would open keys that their owner has closed.
fn list_fits(
    tx: &mut ReadTx<'_>,
    row: &ServiceRow,
    tier: Tier,
    wanted: &Alteration,
    now_ms: i64,
) -> Result<(), SubscriptionError> {
    let entries_max = tiers::terms_at(tx, tier, now_ms)?.allowlist_entries_max;
    let count = match &wanted.allowlist {
        Some(list) => list.len(),
        None => allowlist_entries::of(tx, row.key)?.len(),
    };
    let checked = wanted.allowlist_checked.unwrap_or(row.allowlist);
    if entries_max == 0 && (checked || count > 0) {
        return Err(Refusal::NoAllowlist(tier).into());
    }
    if count > entries_max as usize {
        return Err(Refusal::AllowlistTooLong { count, entries_max }.into());
    }
    Ok(())
}

fn change_list(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    row: &ServiceRow,
    wanted: &Alteration,
    now_ms: i64,
) -> Result<bool, SubscriptionError> {
    let had = allowlist_entries::of(tx, row.key)?;
    let list = wanted.allowlist.as_ref().unwrap_or(&had);
    let checked = wanted.allowlist_checked.unwrap_or(row.allowlist);
    let grows = !list.is_subset(&had) || (checked && !row.allowlist);
    // Less of it is always allowed.
    if grows {
        let tier = row.next_tier.unwrap_or(row.tier);
        list_fits(tx, row, tier, wanted, now_ms)?;
    }
    let set = ListChange::Set(list.clone());
    Ok(allowlists::change_in(tx, lock, row.key, &set, Some(checked), now_ms)?.changed)
}
