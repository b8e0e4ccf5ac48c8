//! `POST /api/v1/services/{service}/keys/{id}/revoke` and `…/keys/revoke-all`.

use crate::domain::api_tokens::Scope;
use crate::domain::key_life;
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::confirmation::{Confirmation, WaitQuery};
use crate::http::etag;
use crate::http::routes::keys::{ChangedKey, KeyItem, find, named};
use crate::http::routes::services::service_of;
use crate::http::strict::StrictQuery;
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::StatusCode;
use actix_web::http::header::ETAG;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// Revoke an API key
///
/// It is refused from now on, keeps its place, and can be re-enabled. The answer comes when every edge refuses it (200), or after ten
/// seconds, or at once with `wait=saved` (202). Tokens need the scope `keys:write`.
#[utoipa::path(
    post, path = "/api/v1/services/{service}/keys/{id}/revoke", operation_id = "revokeKey", tag = "API keys",
    params(WaitQuery, ("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32),
        ("id" = String, Path, description = "The key's id: 16 hex digits", max_length = 64)),
    security(("wallet_session" = []), ("api_token" = ["keys:write"])),
    responses((status = 200, body = ChangedKey, description = "It is revoked, and every edge refuses it", headers(("ETag" = String, description = "Its version"))),
        (status = 202, body = ChangedKey, description = "It is revoked, and an edge does not know yet", headers(("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no key of this account and service")),
)]
pub async fn one(
    call: Call,
    state: web::Data<State>,
    path: web::Path<(String, String)>,
    query: StrictQuery<WaitQuery>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let (service, fingerprint) = named(&path.0, &path.1)?;
    let (row, position) = state
        .api()?
        .write_even_suspended(call, Needs::Scope(Scope::KeysWrite), move |tx, account| {
            find(tx, account, service, fingerprint)?;
            let revoked = key_life::revoke_one_in(tx, fingerprint, now_ms)?;
            Ok((find(tx, account, service, fingerprint)?, revoked.position))
        })
        .await?;
    let confirmation = Confirmation::wait(&state, position, query.0.limit()).await?;
    let body = serde_json::to_value(KeyItem::of(&row, now_ms)).map_err(|_| Problem::Internal)?;
    Ok(confirmation.answer_with(StatusCode::OK, &[(ETAG, etag::of_version(row.revision))], body))
}

/// How many keys were revoked.
#[derive(Serialize, ToSchema)]
pub struct RevokedKeys {
    /// How many were not revoked before
    revoked: u64,
    /// How many were
    already: u64,
    /// Whether every edge has confirmed that it refuses them
    applied: bool,
}

/// Revoke all API keys of a service
///
/// All of them are refused from now on, in one step; each can be re-enabled. The answer comes when every edge refuses them (200), or
/// after ten seconds, or at once with `wait=saved` (202). Tokens need the scope `keys:write`.
#[utoipa::path(
    post, path = "/api/v1/services/{service}/keys/revoke-all", operation_id = "revokeAllKeys", tag = "API keys",
    params(WaitQuery, ("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32)),
    security(("wallet_session" = []), ("api_token" = ["keys:write"])),
    responses((status = 200, body = RevokedKeys, description = "They are revoked, and every edge refuses them"),
        (status = 202, body = RevokedKeys, description = "They are revoked, and an edge does not know yet"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: there is no such type of service")),
)]
pub async fn all(
    call: Call,
    state: web::Data<State>,
    service: web::Path<String>,
    query: StrictQuery<WaitQuery>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let service = service_of(&service)?;
    let revoked = state
        .api()?
        .write_even_suspended(call, Needs::Scope(Scope::KeysWrite), move |tx, account| {
            Ok(key_life::revoke_all_in(tx, account.customer.customer, Some(service), now_ms)?)
        })
        .await?;
    let confirmation = Confirmation::wait(&state, revoked.position, query.0.limit()).await?;
    Ok(confirmation.answer(&RevokedKeys {
        revoked: revoked.revoked,
        already: revoked.already,
        applied: confirmation.applied,
    }))
}
