//! `/api/v1/activity`.

use crate::clock::rfc3339_ms;
use crate::db::activity::{self, ActivityRow};
use crate::domain::api_tokens::Scope;
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::page::{Page, PageQuery};
use crate::http::strict::StrictQuery;
use crate::problem::{ProblemBody, ProblemDetails};
use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Something that changed the account.
#[derive(Serialize, ToSchema)]
pub struct ActivityItem {
    /// Counts the changes of this account from 1
    #[schema(example = "17")]
    id: String,
    /// When
    #[schema(format = "date-time")]
    at: String,
    /// What: docs/API.md lists the words
    #[schema(example = "key_revoked")]
    action: &'static str,
    /// Who: `wallet`, `token`, `operator`, `command` or `system`
    #[schema(example = "wallet")]
    actor_kind: &'static str,
    /// Of `wallet` the session's id, of `token` the token's id, of others a name; may be empty
    actor: String,
    /// From which address; `null` where it did not come over a network
    source: Option<String>,
    /// With which request
    request_id: Option<String>,
    /// The details, by the action
    #[schema(value_type = Object)]
    detail: Value,
}

impl ActivityItem {
    fn of(row: ActivityRow) -> Self {
        // The column is written from a JSON value only; should it ever hold something else, the rest still shows.
        let detail =
            serde_json::from_str(&row.detail).unwrap_or_else(|_| Value::Object(serde_json::Map::new()));
        Self {
            id: row.number.to_string(),
            at: rfc3339_ms(row.at_ms),
            action: row.action.word(),
            actor_kind: row.actor_kind.word(),
            actor: row.actor,
            source: row.source,
            request_id: row.request_id,
            detail,
        }
    }
}

/// List what changed the account
///
/// Newest first. Tokens need the scope `audit:read`.
#[utoipa::path(
    get, path = "/api/v1/activity", operation_id = "listActivity", tag = "Account", params(PageQuery),
    security(("wallet_session" = []), ("api_token" = ["audit:read"])),
    responses((status = 200, body = Page<ActivityItem>, description = "The changes"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`")),
)]
pub async fn list(
    call: Call,
    state: web::Data<State>,
    query: StrictQuery<PageQuery>,
) -> Result<HttpResponse, ProblemDetails> {
    let limit = query.0.limit()?;
    let before = query.0.after(|key| key.parse::<i64>().ok())?.unwrap_or(i64::MAX);
    let page = state
        .api()?
        .read(call, Needs::Scope(Scope::AuditRead), move |tx, account| {
            let most = i64::try_from(limit + 1).unwrap_or(i64::MAX);
            let rows = activity::page(tx, account.customer.customer, before, most)?;
            Ok(Page::of(rows, limit, |row| row.number.to_string(), ActivityItem::of))
        })
        .await?;
    Ok(HttpResponse::Ok().json(page))
}
