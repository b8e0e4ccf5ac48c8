//! `/api/v1/services`: what a customer has, and what it costs and gets.

pub mod cancel;
pub mod change;
pub mod read;
pub mod subscribe;

use crate::clock::rfc3339_ms;
use crate::db::services::ServiceRow;
use crate::db::{DbError, ReadTx, allowlist_entries, api_keys, tiers};
use crate::domain::gate::Declined;
use crate::domain::services::rates_of;
use crate::domain::services::subscriptions::{Refusal, SubscriptionError};
use crate::domain::{DomainError, Tier};
use crate::problem::{Problem, ProblemDetails};
use apikey::Service;
use edgeformat::PolicyKey;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// A type of service.
#[derive(Clone, Copy, Deserialize, Serialize, ToSchema, Debug)]
#[serde(rename_all = "snake_case")]
#[schema(as = ServiceType)]
pub enum ServiceWord {
    /// Seal key servers
    Seal,
    /// Sui gRPC
    Grpc,
    /// Sui GraphQL
    Graphql,
}

impl From<ServiceWord> for Service {
    fn from(word: ServiceWord) -> Self {
        match word {
            ServiceWord::Seal => Self::Seal,
            ServiceWord::Grpc => Self::Grpc,
            ServiceWord::Graphql => Self::Graphql,
        }
    }
}

/// What is bought of a service.
#[derive(Clone, Copy, Deserialize, Serialize, ToSchema, Debug)]
#[serde(rename_all = "snake_case")]
#[schema(as = Tier)]
pub enum TierWord {
    /// The smallest
    Starter,
    /// The middle one
    Pro,
    /// The largest
    Enterprise,
}

impl From<TierWord> for Tier {
    fn from(word: TierWord) -> Self {
        match word {
            TierWord::Starter => Self::Starter,
            TierWord::Pro => Self::Pro,
            TierWord::Enterprise => Self::Enterprise,
        }
    }
}

/// A service of the account.
#[derive(Serialize, ToSchema)]
#[schema(as = Service)]
pub struct ServiceItem {
    /// `seal`, `grpc` or `graphql`
    #[schema(example = "seal")]
    service: &'static str,
    /// `enabled`, `disabled`, `suspended_no_payment`, `suspended_spending_limit`, `suspended_operator`, `cancellation_pending`
    /// (served until `pending_until`), or `not_provisioned`: it was cancelled, and can be had again from `pending_until` on
    #[schema(example = "enabled")]
    state: &'static str,
    /// `starter`, `pro` or `enterprise`
    #[schema(example = "pro")]
    tier: &'static str,
    /// The tier that it gets at `pending_until`
    next_tier: Option<&'static str>,
    /// Whether its cancellation has taken effect: it is off, and will be gone at `pending_until`
    cancelled: bool,
    /// When what is pending happens
    #[schema(format = "date-time")]
    pending_until: Option<String>,
    /// `subscription`, or `operator_grant`: free, given by an operator
    #[schema(example = "subscription")]
    source: &'static str,
    /// Whether the subscription was paid for at least once; nothing is served before
    paid: bool,
    /// What a month of the tier costs, in US cents
    #[schema(minimum = 0)]
    subscription_cents: i64,
    /// Requests per second that are always served
    guaranteed_per_s: u32,
    /// Further requests per second, served after guaranteed ones; 0 is none
    burst_per_s: u32,
    /// Whether the account wants the burst that its tier has
    burst: bool,
    /// Whether the rates are the account's own, by an operator, in place of the tier's
    own_rates: bool,
    /// From which addresses it may be used
    allowlist: AllowlistItem,
    /// How many API keys it has, those that are revoked included
    #[schema(minimum = 0)]
    api_keys: usize,
    /// How many it can have
    api_keys_max: u32,
    /// How many of them the tier's price includes
    api_keys_included: u32,
}

/// From which addresses a service may be used.
#[derive(Serialize, ToSchema)]
#[schema(as = Allowlist)]
pub struct AllowlistItem {
    /// Whether addresses are checked; with an empty list nothing is served then
    enabled: bool,
    /// Addresses and networks
    #[schema(example = json!(["203.0.113.0/24", "2001:db8::/32"]))]
    entries: Vec<String>,
    /// How many there can be
    entries_max: u32,
}

impl ServiceItem {
    pub(in crate::http) fn load(
        tx: &mut ReadTx<'_>,
        row: &ServiceRow,
        now_ms: i64,
    ) -> Result<Self, DomainError> {
        let rates = rates_of(tx, row)?;
        let terms = tiers::terms_at(tx, row.tier, now_ms)?;
        let entries = allowlist_entries::of(tx, row.key)?;
        let keys = api_keys::of_customer(tx, row.key.customer, Some(row.key.service))?;
        Ok(Self {
            service: row.key.service.name(),
            state: row.state.word(),
            tier: row.tier.word(),
            next_tier: row.next_tier.map(Tier::word),
            cancelled: row.cancelled,
            pending_until: row.pending_until_ms.map(rfc3339_ms),
            source: row.source.word(),
            paid: row.paid,
            subscription_cents: terms.subscription_cents,
            guaranteed_per_s: rates.guaranteed_per_s,
            burst_per_s: rates.burst_per_s,
            burst: row.burst,
            own_rates: row.own_rates.is_some(),
            allowlist: AllowlistItem {
                enabled: row.allowlist,
                entries: entries.iter().map(ToString::to_string).collect(),
                entries_max: terms.allowlist_entries_max,
            },
            api_keys: keys.len(),
            api_keys_max: terms.api_keys_max,
            api_keys_included: terms.api_keys_included,
        })
    }
}

/// A service that was changed, and whether the edges know.
#[derive(Serialize, ToSchema)]
pub struct ChangedService {
    #[serde(flatten)]
    service: ServiceItem,
    /// Whether every edge has confirmed that it enforces this
    applied: bool,
}

/// The type that a path names.
pub(in crate::http) fn service_of(word: &str) -> Result<Service, ProblemDetails> {
    word.parse().map_err(|_| Problem::NotFound.into())
}

impl From<SubscriptionError> for ProblemDetails {
    fn from(error: SubscriptionError) -> Self {
        match error {
            SubscriptionError::Refused(refusal) => refusal.into(),
            SubscriptionError::Domain(error) => error.into(),
        }
    }
}

impl From<Refusal> for ProblemDetails {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoService => Problem::NoService.into(),
            Refusal::AlreadySubscribed => Problem::AlreadySubscribed.into(),
            Refusal::NotOffered => Problem::ServiceNotOffered.into(),
            Refusal::CoolingDown(until_ms) => Self::with_details(
                Problem::ServiceCoolingDown,
                json!({"available_again_at": rfc3339_ms(until_ms)}),
            ),
            Refusal::Rule(state, what) => Self {
                detail: Some(format!("the service is {state}: {what}").into()),
                ..Self::with_details(Problem::ServiceState, json!({"state": state.word()}))
            },
            Refusal::NoBurst(tier) => {
                Self::with_detail(Problem::NotInTier, format!("the tier {tier} has no burst"))
            }
            Refusal::NoAllowlist(tier) => {
                Self::with_detail(Problem::NotInTier, format!("the tier {tier} has no allowlist"))
            }
            Refusal::AllowlistTooLong { count, entries_max } => Self::with_details(
                Problem::AllowlistTooLong,
                json!({"entries": count, "entries_max": entries_max}),
            ),
            Refusal::Declined(declined) => declined.into(),
        }
    }
}

/// The document's bodies ("Balance and Spending Limit Validation"), in cents.
impl From<Declined> for ProblemDetails {
    fn from(declined: Declined) -> Self {
        match declined {
            Declined::NoPaymentMethod { estimated_cents } => {
                Self::with_details(Problem::NoPaymentMethod, json!({"estimated_cost_cents": estimated_cents}))
            }
            Declined::SubscriptionPending { estimated_cents } => Self::with_details(
                Problem::SubscriptionPending,
                json!({"estimated_cost_cents": estimated_cents}),
            ),
            Declined::InsufficientBalance { current_cents, estimated_cents } => Self::with_details(
                Problem::InsufficientBalance,
                json!({
                    "current_balance_cents": current_cents,
                    "estimated_cost_cents": estimated_cents,
                    "required_deposit_cents": estimated_cents - current_cents,
                }),
            ),
            Declined::SpendingLimitExceeded { limit_cents, charged_cents, estimated_cents } => {
                Self::with_details(
                    Problem::SpendingLimitExceeded,
                    json!({
                        "spending_limit_cents": limit_cents,
                        "current_period_charged_cents": charged_cents,
                        "estimated_cost_cents": estimated_cents,
                        "remaining_authorization_cents": (limit_cents - charged_cents).max(0),
                    }),
                )
            }
        }
    }
}

/// The item of a service of which something is known to be there.
pub(in crate::http) fn item_of(
    tx: &mut ReadTx<'_>,
    key: PolicyKey,
    now_ms: i64,
) -> Result<Option<(ServiceRow, ServiceItem)>, ProblemDetails> {
    let found: Result<Option<ServiceRow>, DbError> = crate::db::services::find(tx, key);
    let Some(row) = found? else { return Ok(None) };
    let item = ServiceItem::load(tx, &row, now_ms)?;
    Ok(Some((row, item)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_words_of_json_are_those_of_the_database() {
        for service in Service::ALL {
            let word: ServiceWord = serde_json::from_value(service.name().into()).unwrap();
            assert_eq!(Service::from(word), service);
            assert_eq!(serde_json::to_value(word).unwrap(), service.name());
        }
        for tier in Tier::ALL {
            let word: TierWord = serde_json::from_value(tier.word().into()).unwrap();
            assert_eq!(Tier::from(word), *tier);
        }
    }
}
