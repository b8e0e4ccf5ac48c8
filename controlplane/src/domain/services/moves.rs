//! Which move leads a service from which state to which: the one table of it.
//!
//! A service stands on a base (had or not, on or off, cancelled); over it can lie a suspension by billing, and over both one by an
//! operator. What is shown is the uppermost. So whoever ends a suspension need not know what else happened meanwhile.

use crate::db::services::ServiceRow;
use crate::domain::ServiceState;

/// What can happen to a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// An operator grants it, or switches it on.
    Grant,
    /// An operator switches it off.
    Disable,
    /// An operator suspends it, whatever it was.
    Suspend,
    /// An operator ends that.
    Resume,
    /// The customer subscribes.
    Subscribe,
    /// The customer switches it on, or takes a cancellation back.
    SwitchOn,
    /// The customer switches it off.
    SwitchOff,
    /// The customer cancels it at the end of the period.
    Cancel,
    /// The customer gives it up before it was ever paid for: nothing has to be waited for.
    GiveUp,
    /// Billing suspends it: it is unpaid.
    StopUnpaid,
    /// Billing suspends it: the spending limit is reached.
    StopAtLimit,
    /// Billing ends its suspension.
    Settle,
    /// The period ends in which it was cancelled.
    EndPeriod,
    /// The time after its end is over.
    Remove,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Grant,
        Self::Disable,
        Self::Suspend,
        Self::Resume,
        Self::Subscribe,
        Self::SwitchOn,
        Self::SwitchOff,
        Self::Cancel,
        Self::GiveUp,
        Self::StopUnpaid,
        Self::StopAtLimit,
        Self::Settle,
        Self::EndPeriod,
        Self::Remove,
    ];
}

/// What an event does to how a service stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The base becomes this, and a cancellation is forgotten.
    Base(ServiceState),
    /// It is switched off, and cannot be switched on again: its cancellation takes effect.
    Ended,
    /// Billing suspends it with this, or not any more.
    Billing(Option<ServiceState>),
    /// An operator suspends it, or not any more.
    Operator(bool),
    /// Nowhere: it is so already.
    Stay,
    /// Nowhere: a rule forbids it, and the text says what to do instead.
    Refused(&'static str),
    /// The customer does not have the service.
    NoService,
}

const RESUME_FIRST: &str = "resume it first";
const BILLING_FIRST: &str =
    "it is suspended by billing, which lifts the suspension itself once that is settled";
const OPERATOR_ONLY: &str = "only an operator can end this suspension; ask support";
const CANCELLED: &str = "it is cancelled; take the cancellation back first, by switching it on";

/// The table of moves. A service that is not in the database is `NotProvisioned`.
pub const fn next(event: Event, state: ServiceState) -> Next {
    use Event as E;
    use ServiceState as S;
    match (event, state) {
        (E::Subscribe, S::NotProvisioned) => Next::Base(S::Enabled),
        (E::Subscribe, _) => Next::Refused("the customer has it already"),
        (E::Grant, S::NotProvisioned | S::Disabled | S::Enabled | S::CancellationPending) => {
            Next::Base(S::Enabled)
        }
        (_, S::NotProvisioned) => Next::NoService,

        (E::Suspend, S::SuspendedOperator) => Next::Stay,
        (E::Suspend, _) => Next::Operator(true),
        (E::Resume, S::SuspendedOperator) => Next::Operator(false),
        (E::Resume, _) => Next::Refused("only a service in the state suspended_operator can be resumed"),

        (E::StopUnpaid, S::SuspendedNoPayment) | (E::StopAtLimit, S::SuspendedSpendingLimit) => Next::Stay,
        (E::StopUnpaid, _) => Next::Billing(Some(S::SuspendedNoPayment)),
        // What is unpaid stays so, whatever the limit.
        (E::StopAtLimit, S::SuspendedNoPayment) => Next::Stay,
        (E::StopAtLimit, _) => Next::Billing(Some(S::SuspendedSpendingLimit)),
        (E::Settle, S::SuspendedNoPayment | S::SuspendedSpendingLimit | S::SuspendedOperator) => {
            Next::Billing(None)
        }
        (E::Settle, _) => Next::Refused("only a service that billing has suspended can be settled"),

        (E::EndPeriod, S::Disabled | S::Enabled) => Next::Refused("it is not cancelled"),
        // A suspension may lie over the cancellation.
        (E::EndPeriod, _) => Next::Ended,
        (E::Remove, S::Disabled) => Next::Base(S::NotProvisioned),
        (E::Remove, S::Enabled | S::CancellationPending) => Next::Refused("it has not ended"),
        (E::Remove, _) => Next::Refused("it is suspended, and stays so until that is ended"),

        (E::Grant | E::Disable, S::SuspendedOperator) => Next::Refused(RESUME_FIRST),
        (E::Grant | E::Disable, S::SuspendedNoPayment | S::SuspendedSpendingLimit) => {
            Next::Refused(BILLING_FIRST)
        }
        (_, S::SuspendedOperator) => Next::Refused(OPERATOR_ONLY),
        (_, S::SuspendedNoPayment | S::SuspendedSpendingLimit) => Next::Refused(BILLING_FIRST),

        (E::Disable, S::Disabled | S::Enabled) => Next::Base(S::Disabled),
        // What the customer cancelled stays so.
        (E::Disable, S::CancellationPending) => Next::Ended,
        (E::SwitchOn, S::Disabled | S::Enabled | S::CancellationPending) => Next::Base(S::Enabled),
        (E::SwitchOff, S::Disabled | S::Enabled) => Next::Base(S::Disabled),
        (E::SwitchOff, S::CancellationPending) => Next::Refused(CANCELLED),
        (E::Cancel, S::Enabled) => Next::Base(S::CancellationPending),
        (E::Cancel, S::CancellationPending) => Next::Stay,
        // It is off already; to wait for the period's end would only switch it on.
        (E::Cancel, S::Disabled) => Next::Ended,
        (E::GiveUp, S::Disabled | S::Enabled | S::CancellationPending) => Next::Base(S::NotProvisioned),
    }
}

/// Why nothing has moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forbidden {
    /// The customer does not have the service.
    NoService,
    /// A rule; the text says what to do instead.
    Rule(&'static str),
}

const HAS_ENDED: &str =
    "its cancellation has taken effect; it can be had again when the time after that is over";
const NOT_CANCELLED: &str = "it is not cancelled";

/// How a service stands, in its layers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    base: ServiceState,
    billing: Option<ServiceState>,
    operator: bool,
    cancelled: bool,
}

impl Standing {
    /// Of one that the customer never had.
    pub const NONE: Self =
        Self { base: ServiceState::NotProvisioned, billing: None, operator: false, cancelled: false };

    /// Of a row.
    pub fn of(row: &ServiceRow) -> Self {
        let operator = row.state == ServiceState::SuspendedOperator;
        let below = row.state_before_suspension.unwrap_or(row.state);
        let (base, billing) = match row.state_before_billing {
            Some(base) => (base, Some(below)),
            None => (below, None),
        };
        Self { base, billing, operator, cancelled: row.cancelled }
    }

    /// What is shown, and enforced.
    pub fn state(&self) -> ServiceState {
        if self.operator { ServiceState::SuspendedOperator } else { self.below_operator() }
    }

    fn below_operator(&self) -> ServiceState {
        self.billing.unwrap_or(self.base)
    }

    /// The same without its cancellation: taken back, while the period runs that was paid for.
    pub const fn not_cancelled(self) -> Self {
        Self { cancelled: false, ..self }
    }

    /// Whether its cancellation has taken effect.
    pub const fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// What it stands on, whatever lies over it.
    pub const fn base(&self) -> ServiceState {
        self.base
    }

    /// After an event, by the table.
    ///
    /// # Errors
    /// The table forbids it, or what cannot be seen from the state alone does.
    pub fn after(self, event: Event) -> Result<Self, Forbidden> {
        if self.cancelled && event == Event::SwitchOn {
            return Err(Forbidden::Rule(HAS_ENDED));
        }
        // It is off already, and its cancellation is not forgotten for that.
        if self.cancelled
            && self.state() == ServiceState::Disabled
            && matches!(event, Event::SwitchOff | Event::Disable)
        {
            return Ok(self);
        }
        if event == Event::EndPeriod && self.base != ServiceState::CancellationPending {
            return Err(Forbidden::Rule(NOT_CANCELLED));
        }
        Ok(match next(event, self.state()) {
            Next::Base(base) => Self { base, cancelled: false, ..self },
            Next::Ended => Self { base: ServiceState::Disabled, cancelled: true, ..self },
            // An operator's suspension hides what billing's says: what is unpaid stays so, whatever the limit.
            Next::Billing(Some(_)) if self.billing == Some(ServiceState::SuspendedNoPayment) => self,
            Next::Billing(billing) => Self { billing, ..self },
            Next::Operator(operator) => Self { operator, ..self },
            Next::Stay => self,
            Next::Refused(what) => return Err(Forbidden::Rule(what)),
            Next::NoService => return Err(Forbidden::NoService),
        })
    }

    /// The row, standing so.
    pub fn write_to(self, row: ServiceRow) -> ServiceRow {
        ServiceRow {
            state: self.state(),
            state_before_suspension: self.operator.then(|| self.below_operator()),
            state_before_billing: self.billing.map(|_| self.base),
            cancelled: self.cancelled,
            ..row
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// One letter a state of [`ServiceState::ALL`]: where the event leads from there. `.` stays, `!` is refused, `?` has no service;
    /// n, d, e, c are the bases, x is ended, u and l are billing's suspensions, s is settled, o and r are the operator's.
    const TABLE: [(Event, &str); 14] = [
        // not_provisioned, disabled, enabled, no_payment, spending_limit, operator, cancellation_pending
        (Event::Grant, "eee!!!e"),
        (Event::Disable, "?dd!!!x"),
        (Event::Suspend, "?oooo.o"),
        (Event::Resume, "?!!!!r!"),
        (Event::Subscribe, "e!!!!!!"),
        (Event::SwitchOn, "?ee!!!e"),
        (Event::SwitchOff, "?dd!!!!"),
        (Event::Cancel, "?xc!!!."),
        (Event::GiveUp, "?nn!!!n"),
        (Event::StopUnpaid, "?uu.uuu"),
        (Event::StopAtLimit, "?ll..ll"),
        (Event::Settle, "?!!sss!"),
        (Event::EndPeriod, "?!!xxxx"),
        (Event::Remove, "?n!!!!!"),
    ];

    fn letter(next: Next) -> char {
        match next {
            Next::Base(ServiceState::NotProvisioned) => 'n',
            Next::Base(ServiceState::Disabled) => 'd',
            Next::Base(ServiceState::Enabled) => 'e',
            Next::Base(ServiceState::CancellationPending) => 'c',
            Next::Base(_) => '#',
            Next::Ended => 'x',
            Next::Billing(Some(ServiceState::SuspendedNoPayment)) => 'u',
            Next::Billing(Some(ServiceState::SuspendedSpendingLimit)) => 'l',
            Next::Billing(Some(_)) => '#',
            Next::Billing(None) => 's',
            Next::Operator(true) => 'o',
            Next::Operator(false) => 'r',
            Next::Stay => '.',
            Next::Refused(_) => '!',
            Next::NoService => '?',
        }
    }

    #[test]
    fn every_move_leads_where_the_table_says_and_every_other_is_refused() {
        assert_eq!(TABLE.map(|(event, _)| event), Event::ALL);
        for (event, row) in TABLE {
            let found: String = ServiceState::ALL.iter().map(|state| letter(next(event, *state))).collect();
            assert_eq!(found, row, "{event:?}");
        }
    }

    #[test]
    fn suspensions_lie_over_each_other_and_each_ends_by_itself() {
        use ServiceState as S;
        for base in [Event::SwitchOn, Event::SwitchOff, Event::Cancel] {
            let apply = |standing: Standing, event| standing.after(event).unwrap();
            let before = apply(apply(Standing::NONE, Event::Subscribe), base);
            let unpaid = apply(before, Event::StopUnpaid);
            assert_eq!(unpaid.state(), S::SuspendedNoPayment);
            let both = apply(unpaid, Event::Suspend);
            assert_eq!(both.state(), S::SuspendedOperator);
            assert_eq!(apply(both, Event::StopAtLimit), both, "what is unpaid stays so");
            assert_eq!(apply(both, Event::Resume), unpaid);
            let settled = apply(both, Event::Settle);
            assert_eq!(settled.state(), S::SuspendedOperator);
            assert_eq!(apply(settled, Event::Resume), before);
            assert_eq!(apply(unpaid, Event::Settle), before);
            assert_eq!(apply(apply(before, Event::Suspend), Event::StopUnpaid), both);
        }
    }

    #[test]
    fn a_cancelled_service_ends_with_its_period_and_cannot_be_switched_on_after_it() {
        let after = |standing: Standing, event| standing.after(event).unwrap();
        let on = after(Standing::NONE, Event::Subscribe);
        assert_eq!(on.after(Event::EndPeriod), Err(Forbidden::Rule(NOT_CANCELLED)));
        let cancelled = after(on, Event::Cancel);
        assert_eq!(after(cancelled, Event::SwitchOn), on, "a cancellation can be taken back");
        let ended = after(cancelled, Event::EndPeriod);
        assert_eq!(ended.state(), ServiceState::Disabled);
        assert_eq!(ended.after(Event::SwitchOn), Err(Forbidden::Rule(HAS_ENDED)));
        for off in [Event::SwitchOff, Event::Disable] {
            assert_eq!(after(ended, off), ended, "it is off already, and stays cancelled");
        }
        assert_eq!(after(cancelled, Event::Disable), ended, "an operator's switch does not take it back");
        assert_eq!(after(ended, Event::Remove), Standing::NONE);
        // Suspended while its period ends: it ends all the same, and stays suspended.
        let suspended = after(after(cancelled, Event::Suspend), Event::EndPeriod);
        assert_eq!(suspended.state(), ServiceState::SuspendedOperator);
        assert_eq!(after(suspended, Event::Resume), ended);
        // One that is off is not switched on by its cancellation.
        assert_eq!(after(after(on, Event::SwitchOff), Event::Cancel), ended);
        assert_eq!(after(ended, Event::Grant), on, "an operator can grant it again");
    }
}
