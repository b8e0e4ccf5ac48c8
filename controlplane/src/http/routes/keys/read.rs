//! `GET /api/v1/services/{service}/keys` and `…/{id}`.

use crate::db::api_keys;
use crate::domain::api_tokens::Scope;
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::etag;
use crate::http::page::Page;
use crate::http::routes::keys::{KeyItem, find, named};
use crate::http::routes::services::service_of;
use crate::problem::{ProblemBody, ProblemDetails};
use actix_web::http::header::ETAG;
use actix_web::{HttpResponse, web};

/// List a service's API keys
///
/// Oldest first, without deleted ones; there are never more than a few, so that one page holds them all. Tokens need the scope
/// `keys:read`.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/keys", operation_id = "listKeys", tag = "API keys",
    params(("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32)),
    security(("wallet_session" = []), ("api_token" = ["keys:read"])),
    responses((status = 200, body = Page<KeyItem>, description = "The keys, without their texts"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: there is no such type of service")),
)]
pub async fn list(
    call: Call,
    state: web::Data<State>,
    service: web::Path<String>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let service = service_of(&service)?;
    let rows = state
        .api()?
        .read(call, Needs::Scope(Scope::KeysRead), move |tx, account| {
            Ok(api_keys::of_customer(tx, account.customer.customer, Some(service))?)
        })
        .await?;
    let items: Vec<KeyItem> = rows.iter().map(|row| KeyItem::of(row, now_ms)).collect();
    Ok(HttpResponse::Ok().json(Page { items, next_cursor: None }))
}

/// Read an API key
///
/// Tokens need the scope `keys:read`.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/keys/{id}", operation_id = "readKey", tag = "API keys",
    params(("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32),
        ("id" = String, Path, description = "The key's id: 16 hex digits", max_length = 64)),
    security(("wallet_session" = []), ("api_token" = ["keys:read"])),
    responses((status = 200, body = KeyItem, description = "The key, without its text", headers(("ETag" = String, description = "Its version"))),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no key of this account and service")),
)]
pub async fn one(
    call: Call,
    state: web::Data<State>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let (service, fingerprint) = named(&path.0, &path.1)?;
    let row = state
        .api()?
        .read(call, Needs::Scope(Scope::KeysRead), move |tx, account| find(tx, account, service, fingerprint))
        .await?;
    Ok(HttpResponse::Ok()
        .insert_header((ETAG, etag::of_version(row.revision)))
        .json(KeyItem::of(&row, now_ms)))
}
