//! `GET /api/v1/services` and `GET /api/v1/services/{service}`.

use crate::db::services;
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::etag;
use crate::http::page::Page;
use crate::http::routes::services::{ServiceItem, item_of, service_of};
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::header::ETAG;
use actix_web::{HttpResponse, web};
use edgeformat::PolicyKey;

/// List the account's services
///
/// There is at most one of each type, so that one page holds them all.
#[utoipa::path(
    get, path = "/api/v1/services", operation_id = "listServices", tag = "Services",
    security(("wallet_session" = []), ("api_token" = [])),
    responses((status = 200, body = Page<ServiceItem>, description = "The services")),
)]
pub async fn list(call: Call, state: web::Data<State>) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let items = state
        .api()?
        .read(call, Needs::AnyToken, move |tx, account| {
            let rows = services::of_customer(tx, account.customer.customer)?;
            let items: Result<Vec<ServiceItem>, _> =
                rows.iter().map(|row| ServiceItem::load(tx, row, now_ms)).collect();
            Ok(items?)
        })
        .await?;
    Ok(HttpResponse::Ok().json(Page { items, next_cursor: None }))
}

/// Read a service
#[utoipa::path(
    get, path = "/api/v1/services/{service}", operation_id = "readService", tag = "Services",
    params(("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32)),
    security(("wallet_session" = []), ("api_token" = [])),
    responses((status = 200, body = ServiceItem, description = "The service", headers(("ETag" = String, description = "Its version"))),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`no_service`, `not_found`: there is no such type")),
)]
pub async fn one(
    call: Call,
    state: web::Data<State>,
    service: web::Path<String>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let service = service_of(&service)?;
    let (row, item) = state
        .api()?
        .read(call, Needs::AnyToken, move |tx, account| {
            let key = PolicyKey { customer: account.customer.customer, service };
            item_of(tx, key, now_ms)?.ok_or_else(|| Problem::NoService.into())
        })
        .await?;
    Ok(HttpResponse::Ok().insert_header((ETAG, etag::of_version(row.version))).json(item))
}
