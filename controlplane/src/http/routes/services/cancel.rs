//! `DELETE /api/v1/services/{service}`.

use crate::domain::api_tokens::Scope;
use crate::domain::services::subscriptions;
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::confirmation::{Confirmation, WaitQuery};
use crate::http::etag::IfMatch;
use crate::http::routes::services::{ChangedService, ServiceItem, service_of};
use crate::http::strict::StrictQuery;
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use edgeformat::PolicyKey;

/// Cancel a service
///
/// One that was paid for is served until the month ends, and `PATCH` with `"enabled": true` takes the cancellation back until then;
/// after it, it is switched off, gone seven days later, and can be had again seven days after that. One that was never paid for is
/// gone at once. Its API keys stay, and are refused. Tokens need the scope `services:write`.
#[utoipa::path(
    delete, path = "/api/v1/services/{service}", operation_id = "cancelService", tag = "Services",
    params(WaitQuery, ("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was read")),
    security(("wallet_session" = []), ("api_token" = ["services:write"])),
    responses((status = 200, body = ChangedService, description = "It is cancelled, and every edge knows"),
        (status = 202, body = ChangedService, description = "It is cancelled, and an edge does not know yet"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`no_service`, `not_found`: there is no such type"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`service_state`"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "`changed_meanwhile`")),
)]
pub async fn cancel(
    request: HttpRequest,
    call: Call,
    state: web::Data<State>,
    service: web::Path<String>,
    query: StrictQuery<WaitQuery>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let condition = IfMatch::of(&request);
    let service = service_of(&service)?;
    let (position, item) = state
        .api()?
        .write(call, Needs::Scope(Scope::ServicesWrite), move |tx, account| {
            let key = PolicyKey { customer: account.customer.customer, service };
            condition.check(subscriptions::find(tx, key)?.version)?;
            let moved = subscriptions::cancel(tx, key, now_ms)?;
            Ok((moved.position, ServiceItem::load(tx, &moved.service, now_ms)?))
        })
        .await?;
    let confirmation = Confirmation::wait(&state, position, query.0.limit()).await?;
    let item = serde_json::to_value(&item).map_err(|_| Problem::Internal)?;
    Ok(confirmation.answer_with(StatusCode::OK, &[], item))
}
