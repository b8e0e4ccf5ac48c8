//! `/api/v1/tokens/{id}`.

use crate::db::ReadTx;
use crate::db::api_tokens::{self as table, ApiTokenRow};
use crate::domain::api_tokens::{self, NAME_LEN_MAX, TokenName};
use crate::http::State;
use crate::http::caller::{Account, Call, Needs};
use crate::http::etag::{self, IfMatch};
use crate::http::page::is_id;
use crate::http::routes::tokens::TokenItem;
use crate::http::strict::{StrictJson, invalid};
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::header::ETAG;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::ToSchema;

/// Read an API token
#[utoipa::path(
    get, path = "/api/v1/tokens/{id}", operation_id = "readToken", tag = "API tokens",
    params(("id" = String, Path, description = "The token's id", max_length = 64)),
    security(("wallet_session" = [])),
    responses((status = 200, body = TokenItem, description = "The token, without its text", headers(("ETag" = String, description = "Its version"))),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no token of this account")),
)]
pub async fn read(
    call: Call,
    state: web::Data<State>,
    id: web::Path<String>,
) -> Result<HttpResponse, ProblemDetails> {
    let row =
        state.api()?.read(call, Needs::WalletSession, move |tx, account| find(tx, account, &id)).await?;
    Ok(answer(&row, state.clock.now_ms()))
}

/// What changes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenChange)]
pub struct Change {
    /// What its owner calls it from now on
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$",
        example = "weekly report"
    )]
    name: String,
}

/// Rename an API token
///
/// With `If-Match` only if it still is the version that was read.
#[utoipa::path(
    patch, path = "/api/v1/tokens/{id}", operation_id = "renameToken", tag = "API tokens",
    request_body = Change,
    params(("id" = String, Path, description = "The token's id", max_length = 64),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was read")),
    security(("wallet_session" = [])),
    responses((status = 200, body = TokenItem, description = "Renamed", headers(("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no token of this account"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "`changed_meanwhile`")),
)]
pub async fn rename(
    request: HttpRequest,
    call: Call,
    state: web::Data<State>,
    id: web::Path<String>,
    body: StrictJson<Change>,
) -> Result<HttpResponse, ProblemDetails> {
    let condition = IfMatch::of(&request);
    let name = TokenName::new(&body.value.name).ok_or_else(|| {
        invalid(
            "name",
            &format!(
                "a name has 1 to {NAME_LEN_MAX} characters, no control characters and no blanks around it"
            ),
        )
    })?;
    let now_ms = state.clock.now_ms();
    let row = state
        .api()?
        .write(call, Needs::WalletSession, move |tx, account| {
            let row = find(tx, account, &id)?;
            condition.check(row.version)?;
            Ok(api_tokens::rename(tx, &row, &name, now_ms)?)
        })
        .await?;
    Ok(answer(&row, now_ms))
}

/// Revoke an API token
///
/// It is refused from the next request on, and no longer listed; the activity log keeps when and by whom.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", operation_id = "revokeToken", tag = "API tokens",
    params(("id" = String, Path, description = "The token's id", max_length = 64),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was read")),
    security(("wallet_session" = [])),
    responses((status = 204, description = "It is revoked"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no token of this account"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "`changed_meanwhile`")),
)]
pub async fn revoke(
    request: HttpRequest,
    call: Call,
    state: web::Data<State>,
    id: web::Path<String>,
) -> Result<HttpResponse, ProblemDetails> {
    let condition = IfMatch::of(&request);
    let now_ms = state.clock.now_ms();
    state
        .api()?
        .write_even_suspended(call, Needs::WalletSession, move |tx, account| {
            let row = find(tx, account, &id)?;
            condition.check(row.version)?;
            Ok(api_tokens::revoke(tx, &row, now_ms)?)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A token of this account that was not revoked; that somebody else has one with this id is not told.
fn find(tx: &mut ReadTx<'_>, account: &Account, id: &str) -> Result<ApiTokenRow, ProblemDetails> {
    if !is_id(id) {
        return Err(Problem::NotFound.into());
    }
    let found = table::find(tx, account.customer.customer, id)?.filter(|token| token.revoked_at_ms.is_none());
    found.ok_or_else(|| Problem::NotFound.into())
}

fn answer(row: &ApiTokenRow, now_ms: i64) -> HttpResponse {
    HttpResponse::Ok().insert_header((ETAG, etag::of_version(row.version))).json(TokenItem::of(row, now_ms))
}
