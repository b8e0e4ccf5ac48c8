//! From a service to what the edge is told of it.

use crate::db::services::ServiceRow;
use crate::domain::{CustomerStatus, ServiceState};
use edgeformat::{Policy, PolicyState};

/// The policy of a service; `None` where the edge must not know the service. The customer comes first:
/// nothing of a suspended or closed customer is served, whatever the state of the service.
pub fn policy_of(service: &ServiceRow, customer: CustomerStatus) -> Option<Policy> {
    let of_service = match service.state {
        ServiceState::NotProvisioned => return None,
        // Cancelled is served until the period ends; a job disables it then.
        ServiceState::Enabled | ServiceState::CancellationPending => PolicyState::Enabled,
        ServiceState::Disabled => PolicyState::Disabled,
        ServiceState::SuspendedNoPayment => PolicyState::SuspendedNoPayment,
        ServiceState::SuspendedSpendingLimit => PolicyState::SuspendedSpendingLimit,
        ServiceState::SuspendedOperator => PolicyState::SuspendedOperator,
    };
    let state = match customer {
        CustomerStatus::Active => of_service,
        CustomerStatus::Suspended | CustomerStatus::Closed => PolicyState::CustomerSuspended,
    };
    Some(Policy { key: service.key, state, plan: service.plan, allowlist: service.allowlist })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::{GrantSource, Tier};
    use edgeformat::{PlanNumber, PolicyKey};

    fn state(service: ServiceState, customer: CustomerStatus) -> Option<&'static str> {
        let key = PolicyKey { customer: apikey::CustomerId::new(7).unwrap(), service: apikey::Service::Seal };
        let row = ServiceRow {
            key,
            state: service,
            state_before_suspension: None,
            state_before_billing: None,
            tier: Tier::Starter,
            plan: PlanNumber::new(1).unwrap(),
            source: GrantSource::OperatorGrant,
            allowlist: false,
            burst: true,
            own_rates: None,
            paid: false,
            next_tier: None,
            cancelled: false,
            pending_until_ms: None,
            version: 1,
        };
        policy_of(&row, customer).map(|policy| policy.state.word())
    }

    #[test]
    fn each_state_is_told_as_the_design_says() {
        let active = |service| state(service, CustomerStatus::Active);
        assert_eq!(active(ServiceState::NotProvisioned), None);
        assert_eq!(active(ServiceState::Enabled), Some("enabled"));
        assert_eq!(active(ServiceState::CancellationPending), Some("enabled"));
        for service in ["disabled", "suspended_no_payment", "suspended_spending_limit", "suspended_operator"]
        {
            assert_eq!(active(service.parse().unwrap()), Some(service));
        }
    }

    #[test]
    fn the_customer_comes_before_the_service() {
        for customer in [CustomerStatus::Suspended, CustomerStatus::Closed] {
            assert_eq!(state(ServiceState::Enabled, customer), Some("customer_suspended"));
            assert_eq!(state(ServiceState::Disabled, customer), Some("customer_suspended"));
            assert_eq!(state(ServiceState::NotProvisioned, customer), None);
        }
    }
}
