//! Allowlists: from which addresses a customer's keys of a service may be used.
//!
//! At no moment is an edge more open than the list before or the list afterwards was: new prefixes come before old ones
//! go, checking begins after the list is there and ends before it goes. A tier's limit is obeyed here and at a change
//! of tier ([`fits_tier`]); nothing but an operator's word ends checking.

use crate::changes::record::record;
use crate::db::services::ServiceRow;
use crate::db::stream::Position;
use crate::db::{
    CustomerLock, Database, ReadTx, WriteTx, allowlist_entries, lock_customer, services, stream, tiers,
};
use crate::domain::activity::{Action, note};
use crate::domain::customer_status::must_not_be_closed;
use crate::domain::{DomainError, Tier, policy_of};
use edgeformat::{AllowlistEntry, Change, PolicyKey, Prefix};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How many added, and how many removed entries the activity log names.
const NOTED_MAX: usize = 20;

/// What is to become of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListChange {
    /// It stays.
    Keep,
    /// Exactly these.
    Set(BTreeSet<Prefix>),
    /// These as well; those that are there already stay.
    Add(BTreeSet<Prefix>),
    /// All but these; each must be there.
    Remove(BTreeSet<Prefix>),
}

/// How a list stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allowlist {
    /// Whether addresses are checked.
    pub checked: bool,
    /// The prefixes.
    pub prefixes: BTreeSet<Prefix>,
    /// What the customer has.
    pub tier: Tier,
    /// How many prefixes that tier allows.
    pub entries_max: u32,
    /// The stream afterwards.
    pub position: Position,
    /// Whether anything was changed.
    pub changed: bool,
}

/// The list of a customer's service.
///
/// # Errors
/// [`DomainError`].
pub fn show(database: &mut Database, key: PolicyKey, now_ms: i64) -> Result<Allowlist, DomainError> {
    database.read(|tx| {
        if crate::db::customers::find(tx, key.customer)?.is_none() {
            return Err(DomainError::NoCustomer(key.customer));
        }
        let service = find_service(tx, key)?;
        Ok(Allowlist {
            checked: service.allowlist,
            prefixes: allowlist_entries::of(tx, key)?,
            tier: service.tier,
            entries_max: tiers::terms_at(tx, service.tier, now_ms)?.allowlist_entries_max,
            position: stream::position(tx)?,
            changed: false,
        })
    })
}

/// Changes a list, and whether it is checked where `checked` says so. What is so already changes nothing.
///
/// # Errors
/// [`DomainError`]; then nothing has happened.
pub fn change(
    database: &mut Database,
    key: PolicyKey,
    list: &ListChange,
    checked: Option<bool>,
    now_ms: i64,
) -> Result<Allowlist, DomainError> {
    database.write(|tx| {
        let lock = lock_customer(tx, key.customer)?.ok_or(DomainError::NoCustomer(key.customer))?;
        must_not_be_closed(&lock, "keeps its lists as they are")?;
        change_in(tx, &lock, key, list, checked, now_ms)
    })
}

/// The same in a transaction that does more.
pub(in crate::domain) fn change_in(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    key: PolicyKey,
    list: &ListChange,
    checked: Option<bool>,
    now_ms: i64,
) -> Result<Allowlist, DomainError> {
    let before = find_service(tx, key)?;
    let had = allowlist_entries::of(tx, key)?;
    let prefixes = after_change(&had, list)?;
    let after = ServiceRow { allowlist: checked.unwrap_or(before.allowlist), ..before };
    let entries_max = tiers::terms_at(tx, after.tier, now_ms)?.allowlist_entries_max;
    let grows = !prefixes.is_subset(&had);
    if grows || (after.allowlist && !before.allowlist) {
        within_limit(after.tier, entries_max, prefixes.len())?;
    }
    // Checking ends before the list goes …
    if !after.allowlist {
        write_service(tx, lock, &before, &after, now_ms)?;
    }
    for prefix in prefixes.difference(&had) {
        allowlist_entries::insert(tx, lock, key.service, *prefix, now_ms)?;
        record(tx, &Change::SetAllowed(AllowlistEntry { key, prefix: *prefix }), now_ms)?;
    }
    for prefix in had.difference(&prefixes) {
        allowlist_entries::delete(tx, lock, key.service, *prefix)?;
        record(tx, &Change::RemoveAllowed(AllowlistEntry { key, prefix: *prefix }), now_ms)?;
    }
    // … and begins when it is there.
    if after.allowlist {
        write_service(tx, lock, &before, &after, now_ms)?;
    }
    let changed = had != prefixes || before != after;
    if changed {
        let detail = detail_of(&before, &after, &had, &prefixes);
        note(tx, key.customer, Action::AllowlistChanged, &detail, now_ms)?;
    }
    let (checked, tier, position) = (after.allowlist, after.tier, stream::position(tx)?);
    Ok(Allowlist { checked, prefixes, tier, entries_max, position, changed })
}

/// What was and what is, for the activity log. A long list does not fit there: of it the numbers and the first entries.
fn detail_of(
    before: &ServiceRow,
    after: &ServiceRow,
    had: &BTreeSet<Prefix>,
    has: &BTreeSet<Prefix>,
) -> Value {
    let first = |of: &BTreeSet<Prefix>, but: &BTreeSet<Prefix>| {
        of.difference(but).take(NOTED_MAX).map(ToString::to_string).collect::<Vec<_>>()
    };
    json!({
        "service": after.key.service.name(),
        "checked_before": before.allowlist,
        "checked": after.allowlist,
        "entries": has.len(),
        "added_count": has.difference(had).count(),
        "removed_count": had.difference(has).count(),
        "added": first(has, had),
        "removed": first(had, has),
    })
}

/// Whether a service with an allowlist may have another tier.
///
/// # Errors
/// [`DomainError::Refused`] where the tier allows fewer prefixes than the list has, or no checking while it is on. A
/// list that was dropped or cut would open keys that their owner has closed, or close what must stay open; so the
/// owner decides first.
pub fn fits_tier(
    tx: &mut ReadTx<'_>,
    service: &ServiceRow,
    tier: Tier,
    now_ms: i64,
) -> Result<(), DomainError> {
    let entries_max = tiers::terms_at(tx, tier, now_ms)?.allowlist_entries_max;
    let count = allowlist_entries::of(tx, service.key)?.len();
    if count <= entries_max as usize && (entries_max > 0 || !service.allowlist) {
        return Ok(());
    }
    let state = if service.allowlist { "checked" } else { "not checked" };
    Err(DomainError::Refused(format!(
        "the allowlist of service {} of customer {} has {count} entries and is {state}, the tier {tier} allows {}; take \
         entries out or switch it off first with `suiftly admin service allowlist`",
        service.key.service,
        service.key.customer,
        if entries_max == 0 { "none".to_owned() } else { entries_max.to_string() },
    )))
}

fn find_service(tx: &mut ReadTx<'_>, key: PolicyKey) -> Result<ServiceRow, DomainError> {
    let none = DomainError::NoService { customer: key.customer, service: key.service };
    services::find(tx, key)?.ok_or(none)
}

fn after_change(had: &BTreeSet<Prefix>, list: &ListChange) -> Result<BTreeSet<Prefix>, DomainError> {
    match list {
        ListChange::Keep => Ok(had.clone()),
        ListChange::Set(prefixes) => Ok(prefixes.clone()),
        ListChange::Add(prefixes) => Ok(had | prefixes),
        ListChange::Remove(prefixes) => match prefixes.difference(had).next() {
            None => Ok(had - prefixes),
            Some(missing) => Err(DomainError::Refused(format!(
                "{missing} is not on the list; `suiftly admin service allowlist` without --remove shows it"
            ))),
        },
    }
}

fn within_limit(tier: Tier, entries_max: u32, count: usize) -> Result<(), DomainError> {
    if entries_max == 0 {
        return Err(DomainError::Refused(format!(
            "the tier {tier} has no allowlist; pro and enterprise have one"
        )));
    }
    if count > entries_max as usize {
        return Err(DomainError::Refused(format!(
            "the tier {tier} allows {entries_max} entries of an allowlist, these would be {count}"
        )));
    }
    Ok(())
}

fn write_service(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    before: &ServiceRow,
    after: &ServiceRow,
    now_ms: i64,
) -> Result<(), DomainError> {
    if before == after {
        return Ok(());
    }
    let after = &ServiceRow { version: before.version + 1, ..*after };
    services::update(tx, lock, after, now_ms)?;
    if let Some(policy) = policy_of(after, lock.status()) {
        record(tx, &Change::SetPolicy(policy), now_ms)?;
    }
    Ok(())
}
