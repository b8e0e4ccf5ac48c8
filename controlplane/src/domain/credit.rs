//! Credit: what operators have given a customer to spend, and what was charged to it.
//!
//! Until there are payments it is the only thing that a customer can pay with. The balance is never negative.

use crate::db::credit_entries::{self, CreditEntryRow};
use crate::db::{CustomerLock, Database, DbError, ReadTx, WriteTx, customers, lock_customer};
use crate::domain::activity::{Action, note};
use crate::domain::gate::Charge;
use crate::domain::{DomainError, Tier};
use apikey::{CustomerId, Service};
use serde_json::json;

/// The most that one entry moves: a million dollars.
pub const AMOUNT_CENTS_MAX: i64 = 100_000_000;
/// How many entries a list shows.
const LISTED_MAX: i64 = 100;

crate::domain::words::words! {
    /// What an entry is.
    EntryKind: "granted, taken_back, subscription, upgrade" {
        /// An operator gave it.
        Granted = "granted",
        /// An operator took it back.
        TakenBack = "taken_back",
        /// A month of a subscription was charged.
        Subscription = "subscription",
        /// The rest of a month in a higher tier was charged.
        Upgrade = "upgrade",
    }
}

impl EntryKind {
    /// Whether the customer has spent it.
    pub const fn is_charge(self) -> bool {
        matches!(self, Self::Subscription | Self::Upgrade)
    }
}

/// A customer's credit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credit {
    /// What is left, in cents.
    pub balance_cents: i64,
    /// The newest entries, newest first.
    pub entries: Vec<CreditEntryRow>,
}

/// A customer's credit and its last 100 entries.
///
/// # Errors
/// [`DomainError::NoCustomer`].
pub fn show(database: &mut Database, customer: CustomerId) -> Result<Credit, DomainError> {
    database.read(|tx| {
        customers::find(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
        let entries = credit_entries::newest(tx, customer, LISTED_MAX)?;
        let balance_cents = entries.first().map_or(0, |newest| newest.balance_cents);
        Ok(Credit { balance_cents, entries })
    })
}

/// Gives a customer credit, or takes it back (a negative amount); answers the balance.
///
/// # Errors
/// [`DomainError::Refused`] for an amount out of range, or more than there is to take back.
pub fn grant(
    database: &mut Database,
    customer: CustomerId,
    amount_cents: i64,
    now_ms: i64,
) -> Result<i64, DomainError> {
    if amount_cents == 0 || amount_cents.abs() > AMOUNT_CENTS_MAX {
        return Err(DomainError::Refused(format!(
            "an amount is 1 to {AMOUNT_CENTS_MAX} cents, or as much taken back with a minus"
        )));
    }
    database.write(|tx| {
        let lock = lock_customer(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
        let kind = if amount_cents > 0 { EntryKind::Granted } else { EntryKind::TakenBack };
        let before = balance(tx, customer)?.unwrap_or(0);
        if before + amount_cents < 0 {
            return Err(DomainError::Refused(format!(
                "customer {customer} has {before} cents of credit; more cannot be taken back"
            )));
        }
        let after = add(tx, &lock, kind, amount_cents, None, now_ms)?;
        let detail = json!({"amount_cents": amount_cents, "balance_cents": after});
        note(tx, customer, Action::CreditChanged, &detail, now_ms)?;
        Ok(after)
    })
}

/// What is left, in cents; none where the customer never had any.
pub(in crate::domain) fn balance(tx: &mut ReadTx<'_>, customer: CustomerId) -> Result<Option<i64>, DbError> {
    let newest = credit_entries::newest(tx, customer, 1)?;
    Ok(newest.first().map(|entry| entry.balance_cents))
}

/// Takes a charge off; the gate has seen that there is enough.
pub(in crate::domain) fn charge(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    charge: &Charge,
    now_ms: i64,
) -> Result<(), DbError> {
    let what = Some((charge.service, charge.tier));
    add(tx, lock, charge.kind, -charge.amount_cents, what, now_ms)?;
    Ok(())
}

fn add(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    kind: EntryKind,
    amount_cents: i64,
    what: Option<(Service, Tier)>,
    now_ms: i64,
) -> Result<i64, DbError> {
    let customer = lock.customer();
    let newest = credit_entries::newest(tx, customer, 1)?;
    let (number, before) = newest.first().map_or((1, 0), |last| (last.number + 1, last.balance_cents));
    let entry = CreditEntryRow {
        customer,
        number,
        at_ms: now_ms,
        kind,
        amount_cents,
        balance_cents: before + amount_cents,
        service: what.map(|(service, _)| service),
        tier: what.map(|(_, tier)| tier),
    };
    credit_entries::insert(tx, lock, &entry)?;
    Ok(entry.balance_cents)
}
