//! The gate: what costs more is checked before it happens.
//!
//! It asks [`Payment`] and knows nothing else of money. Today there is one way to pay, [`CreditBalance`]: what operators have
//! credited. A service that an operator granted does not come here at all.

use crate::db::{CustomerLock, Database, DbError, ReadTx, WriteTx, credit_entries, customers, lock_customer};
use crate::domain::activity::{Action, note};
use crate::domain::credit::{self, EntryKind};
use crate::domain::{DomainError, Tier};
use apikey::{CustomerId, Service};
use serde_json::json;

/// The time in which a spending limit counts, from the account's creation on: 28 days (DESIGN section 7).
pub const SPENDING_PERIOD_MS: i64 = 28 * 24 * 3_600 * 1_000;

/// Something that costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charge {
    /// For which service.
    pub service: Service,
    /// For which tier of it.
    pub tier: Tier,
    /// What of it.
    pub kind: EntryKind,
    /// How much, in cents; 0 costs nothing and passes.
    pub amount_cents: i64,
}

/// Why something is declined; nothing has happened then. Amounts are in cents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Declined {
    /// The customer has nothing to pay with.
    NoPaymentMethod {
        /// What it would cost.
        estimated_cents: i64,
    },
    /// The subscription is not paid for yet: nothing more can be had of it before.
    SubscriptionPending {
        /// What has to be paid first.
        estimated_cents: i64,
    },
    /// There is not enough.
    InsufficientBalance {
        /// What there is.
        current_cents: i64,
        /// What it would cost.
        estimated_cents: i64,
    },
    /// The customer's own limit would be exceeded.
    SpendingLimitExceeded {
        /// The limit in 28 days.
        limit_cents: i64,
        /// What was charged in this period.
        charged_cents: i64,
        /// What it would cost.
        estimated_cents: i64,
    },
}

/// A way to pay.
pub trait Payment {
    /// How much it could pay now, in cents; none where the customer has not set it up.
    ///
    /// # Errors
    /// [`DbError`].
    fn available_cents(&self, tx: &mut ReadTx<'_>, customer: CustomerId) -> Result<Option<i64>, DbError>;

    /// Pays, in the same transaction as what is paid for.
    ///
    /// # Errors
    /// [`DbError`]; the transaction must then be given up.
    fn pay(
        &self,
        tx: &mut WriteTx<'_>,
        lock: &CustomerLock,
        charge: &Charge,
        now_ms: i64,
    ) -> Result<(), DbError>;
}

/// What operators have credited.
#[derive(Clone, Copy, Debug)]
pub struct CreditBalance;

impl Payment for CreditBalance {
    fn available_cents(&self, tx: &mut ReadTx<'_>, customer: CustomerId) -> Result<Option<i64>, DbError> {
        credit::balance(tx, customer)
    }

    fn pay(
        &self,
        tx: &mut WriteTx<'_>,
        lock: &CustomerLock,
        charge: &Charge,
        now_ms: i64,
    ) -> Result<(), DbError> {
        credit::charge(tx, lock, charge, now_ms)
    }
}

/// Lets something through and pays for it, or says why not.
///
/// # Errors
/// [`DomainError`]; the transaction must then be given up.
pub fn pass(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    payment: &dyn Payment,
    charge: &Charge,
    now_ms: i64,
) -> Result<Result<(), Declined>, DomainError> {
    let checked = check(tx, lock, payment, charge.amount_cents, now_ms)?;
    if checked.is_ok() && charge.amount_cents != 0 {
        payment.pay(tx, lock, charge, now_ms)?;
    }
    Ok(checked)
}

/// Whether something that costs so much, in cents, could be paid for now; nothing is paid.
///
/// # Errors
/// [`DomainError`].
pub fn check(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    payment: &dyn Payment,
    estimated_cents: i64,
    now_ms: i64,
) -> Result<Result<(), Declined>, DomainError> {
    if estimated_cents == 0 {
        return Ok(Ok(()));
    }
    let Some(current_cents) = payment.available_cents(tx, lock.customer())? else {
        return Ok(Err(Declined::NoPaymentMethod { estimated_cents }));
    };
    if current_cents < estimated_cents {
        return Ok(Err(Declined::InsufficientBalance { current_cents, estimated_cents }));
    }
    let Spending { limit_cents, charged_cents } = spending(tx, lock.customer(), now_ms)?;
    if limit_cents != 0 && charged_cents + estimated_cents > limit_cents {
        return Ok(Err(Declined::SpendingLimitExceeded { limit_cents, charged_cents, estimated_cents }));
    }
    Ok(Ok(()))
}

/// What a customer may spend, and has spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spending {
    /// How much may be charged in a period, in cents; 0 is without limit.
    pub limit_cents: i64,
    /// How much was, in this one.
    pub charged_cents: i64,
}

/// What a customer may spend, and has spent in the period of 28 days that runs now.
///
/// # Errors
/// [`DomainError::NoCustomer`].
pub fn spending(tx: &mut ReadTx<'_>, customer: CustomerId, now_ms: i64) -> Result<Spending, DomainError> {
    let (created_at_ms, limit_cents) =
        customers::spending_limit(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
    let since_ms =
        created_at_ms + (now_ms - created_at_ms).div_euclid(SPENDING_PERIOD_MS) * SPENDING_PERIOD_MS;
    let entries = credit_entries::since(tx, customer, since_ms)?;
    let charged_cents =
        entries.iter().filter(|entry| entry.kind.is_charge()).map(|entry| -entry.amount_cents).sum();
    Ok(Spending { limit_cents, charged_cents })
}

/// The least that a spending limit can be, in cents: $10 (DESIGN section 7).
pub const LIMIT_CENTS_MIN: i64 = 1_000;

/// Sets how much may be charged to a customer in 28 days, in cents; 0 is without limit.
///
/// # Errors
/// [`DomainError::Refused`] for an amount that is no limit.
pub fn set_spending_limit(
    database: &mut Database,
    customer: CustomerId,
    limit_cents: i64,
    now_ms: i64,
) -> Result<Spending, DomainError> {
    if limit_cents != 0 && !(LIMIT_CENTS_MIN..=credit::AMOUNT_CENTS_MAX).contains(&limit_cents) {
        return Err(DomainError::Refused(format!(
            "a spending limit is {LIMIT_CENTS_MIN} to {} cents, or 0 for none",
            credit::AMOUNT_CENTS_MAX
        )));
    }
    database.write(|tx| {
        let lock = lock_customer(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
        let before = spending(tx, customer, now_ms)?;
        if before.limit_cents != limit_cents {
            customers::set_spending_limit(tx, &lock, limit_cents)?;
            let detail = json!({"from_cents": before.limit_cents, "to_cents": limit_cents});
            note(tx, customer, Action::SpendingLimitChanged, &detail, now_ms)?;
        }
        Ok(Spending { limit_cents, ..before })
    })
}
