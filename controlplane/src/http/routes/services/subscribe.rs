//! `POST /api/v1/services`.

use crate::db::stream;
use crate::domain::Tier;
use crate::domain::api_tokens::Scope;
use crate::domain::gate::CreditBalance;
use crate::domain::services::subscriptions;
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::confirmation::{Confirmation, WaitQuery};
use crate::http::idempotency::{IdempotencyKey, Kept, Once, once};
use crate::http::routes::services::{ChangedService, ServiceItem, ServiceWord, TierWord};
use crate::http::strict::{StrictJson, StrictQuery};
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use edgeformat::PolicyKey;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

const KIND: &str = "service";

/// A service that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Subscription)]
pub struct Body {
    /// Which
    #[serde(alias = "service_type", alias = "type")]
    service: ServiceWord,
    /// Of which tier; `starter` where it is not said
    #[serde(default = "starter")]
    #[schema(required = false)]
    tier: TierWord,
    /// Switched on, it is paid for now: a full month. Switched off it costs nothing until it is switched on
    #[serde(default = "on")]
    #[schema(required = false)]
    enabled: bool,
}

const fn starter() -> TierWord {
    TierWord::Starter
}

const fn on() -> bool {
    true
}

/// Subscribe to a service
///
/// What it costs is checked before anything happens: 402 says what is missing. The answer comes when every edge serves it (201), or
/// after ten seconds, or at once with `wait=saved` (202): it is saved then, and the edges follow. Tokens need the scope
/// `services:write`.
#[utoipa::path(
    post, path = "/api/v1/services", operation_id = "subscribe", tag = "Services",
    request_body = Body,
    params(WaitQuery, ("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send the request again: 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    security(("wallet_session" = []), ("api_token" = ["services:write"])),
    responses((status = 201, body = ChangedService, description = "It is there, and every edge knows", headers(("Location" = String, description = "Where it is read"))),
        (status = 202, body = ChangedService, description = "It is there, and an edge does not know yet", headers(("Location" = String, description = "Where it is read"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`, `bad_query`, `bad_idempotency_key`"),
        (status = 402, body = ProblemBody, content_type = "application/problem+json", description = "`no_payment_method`, `insufficient_balance`, `spending_limit_exceeded`: the details have the amounts"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`already_subscribed`, `service_not_offered`, `service_cooling_down`, `idempotency_key_reused`")),
)]
pub async fn subscribe(
    call: Call,
    key: IdempotencyKey,
    state: web::Data<State>,
    query: StrictQuery<WaitQuery>,
    body: StrictJson<Body>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let StrictJson { value: Body { service, tier, enabled }, request_sha256 } = body;
    let service = apikey::Service::from(service);
    let (answer, position) = state
        .api()?
        .write(call, Needs::Scope(Scope::ServicesWrite), move |tx, account| {
            let customer = account.customer.customer;
            let made = once(tx, customer, &key, &request_sha256, now_ms, |tx| {
                let key = PolicyKey { customer, service };
                let moved =
                    subscriptions::subscribe(tx, key, Tier::from(tier), enabled, &CreditBalance, now_ms)?;
                let item = ServiceItem::load(tx, &moved.service, now_ms)?;
                let answer = serde_json::to_value(&item).map_err(|_| Problem::Internal)?;
                let kept = Kept {
                    kind: KIND,
                    made: service.name().to_owned(),
                    status: 201,
                    answer: answer.to_string(),
                };
                Ok((answer, kept))
            })?;
            let answer: Value = match made {
                Once::Now(answer) => answer,
                Once::Before(answered) => {
                    serde_json::from_str(&answered.answer).map_err(|_| Problem::Internal)?
                }
            };
            Ok((answer, stream::position(tx)?))
        })
        .await?;
    let confirmation = Confirmation::wait(&state, position, query.0.limit()).await?;
    Ok(confirmation.answer_with(
        StatusCode::CREATED,
        &[(LOCATION, format!("/api/v1/services/{service}"))],
        answer,
    ))
}
