//! `GET /api/v1/billing/pending`.

use crate::clock::rfc3339_ms;
use crate::domain::api_tokens::Scope;
use crate::domain::pending_usage::{self, PendingItem, PendingUsage};
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::problem::ProblemDetails;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Usage that is not invoiced yet.
#[derive(Serialize, ToSchema)]
pub struct PendingAnswer {
    /// From when on: usage until then is invoiced
    #[schema(format = "date-time")]
    since: String,
    /// When this was added up; it is kept for 30 seconds
    #[schema(format = "date-time")]
    as_of: String,
    /// By service and price: two of a service where its price has changed
    items: Vec<PendingAnswerItem>,
    /// What all of it costs, in micro-dollars
    #[schema(example = 123_400)]
    total_micro_usd: i64,
    /// The same in US cents, rounded down
    #[schema(example = 12)]
    total_cents: i64,
}

/// What was used of a service at a price.
#[derive(Serialize, ToSchema)]
pub struct PendingAnswerItem {
    /// The service
    #[schema(example = "seal")]
    service: String,
    /// Served at the guaranteed rate
    guaranteed: i64,
    /// Served above it
    burst: i64,
    /// Both together: what is billed
    billable_requests: i64,
    /// From when on the price holds. What was used before costs what it cost then, by the hour in which it was used
    #[schema(format = "date-time")]
    price_from: String,
    /// What a request costs, in micro-dollars
    #[schema(example = 100)]
    price_micro_usd: i64,
    /// `billable_requests` times `price_micro_usd`
    amount_micro_usd: i64,
}

impl PendingAnswer {
    fn of(pending: &PendingUsage) -> Self {
        Self {
            since: rfc3339_ms(pending.since_ms),
            as_of: rfc3339_ms(pending.as_of_ms),
            items: pending.items.iter().map(PendingAnswerItem::of).collect(),
            total_micro_usd: pending.total_micro_usd(),
            total_cents: pending.total_cents(),
        }
    }
}

impl PendingAnswerItem {
    fn of(item: &PendingItem) -> Self {
        Self {
            service: item.service.clone(),
            guaranteed: item.guaranteed,
            burst: item.burst,
            billable_requests: item.billable(),
            price_from: rfc3339_ms(item.price_from_ms),
            price_micro_usd: item.price_micro_usd,
            amount_micro_usd: item.amount_micro_usd(),
        }
    }
}

/// Read what is used and not invoiced yet
///
/// Usage since this month began (UTC), and what it costs. Rejected and unserved requests cost nothing. Kept for 30 seconds. Tokens need
/// the scope `billing:read`.
#[utoipa::path(
    get, path = "/api/v1/billing/pending", operation_id = "readPendingUsage", tag = "Billing",
    security(("wallet_session" = []), ("api_token" = ["billing:read"])),
    responses((status = 200, body = PendingAnswer, description = "Usage and what it costs")),
)]
pub async fn pending(call: Call, state: web::Data<State>) -> Result<HttpResponse, ProblemDetails> {
    let (cache, clock) = (Arc::clone(&state.pending), state.clock.clone());
    let pending = state
        .api()?
        .read(call, Needs::Scope(Scope::BillingRead), move |tx, account| {
            let customer = account.customer.customer;
            if let Some(pending) = cache.get(&clock, customer) {
                return Ok(pending);
            }
            let pending = Arc::new(pending_usage::pending(tx, customer, clock.now_ms())?);
            cache.put(&clock, customer, &pending);
            Ok(pending)
        })
        .await?;
    // Kept here and not in browsers, which would show one account's to the next that signs in.
    Ok(HttpResponse::Ok().json(PendingAnswer::of(&pending)))
}
