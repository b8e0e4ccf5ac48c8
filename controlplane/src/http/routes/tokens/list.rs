//! `GET /api/v1/tokens`.

use crate::db::api_tokens::{self, ApiTokenRow};
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::page::{Page, PageQuery, created_and_id, key_of};
use crate::http::routes::tokens::TokenItem;
use crate::http::strict::StrictQuery;
use crate::problem::{ProblemBody, ProblemDetails};
use actix_web::{HttpResponse, web};

/// List the API tokens
///
/// Newest first, expired ones included; never their text. Of those that were revoked the activity log tells.
#[utoipa::path(
    get, path = "/api/v1/tokens", operation_id = "listTokens", tag = "API tokens", params(PageQuery),
    security(("wallet_session" = [])),
    responses((status = 200, body = Page<TokenItem>, description = "The tokens"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`")),
)]
pub async fn list(
    call: Call,
    state: web::Data<State>,
    query: StrictQuery<PageQuery>,
) -> Result<HttpResponse, ProblemDetails> {
    let (limit, after) = (query.0.limit()?, query.0.after(created_and_id)?);
    let now_ms = state.clock.now_ms();
    let page = state
        .api()?
        .read(call, Needs::WalletSession, move |tx, account| {
            let after = after.as_ref().map(|(created_at_ms, id)| (*created_at_ms, id.as_str()));
            let most = i64::try_from(limit + 1).unwrap_or(i64::MAX);
            let rows = api_tokens::of_customer(tx, account.customer.customer, after, most)?;
            let key = |row: &ApiTokenRow| key_of(row.created_at_ms, &row.token_id);
            Ok(Page::of(rows, limit, key, |row| TokenItem::of(&row, now_ms)))
        })
        .await?;
    Ok(HttpResponse::Ok().json(page))
}
