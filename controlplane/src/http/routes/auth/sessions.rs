//! `/api/v1/auth/sessions`.

use crate::clock::rfc3339_ms;
use crate::db::sessions::{self as table, SessionRow};
use crate::domain::sessions::{self, EndReason};
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::page::{Page, PageQuery, created_and_id, is_id, key_of};
use crate::http::strict::StrictQuery;
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A session.
#[derive(Serialize, ToSchema)]
pub struct SessionItem {
    /// What names it
    session_id: String,
    /// Whether it is the one that asks
    current: bool,
    /// When it began
    #[schema(format = "date-time")]
    created_at: String,
    /// When its refresh token was exchanged last
    #[schema(format = "date-time")]
    refreshed_at: String,
    /// When it ends by itself if it is not refreshed
    #[schema(format = "date-time")]
    expires_at: String,
    /// The address that it began from
    source: String,
    /// What the browser or program called itself
    user_agent: String,
}

impl SessionItem {
    fn of(row: SessionRow, current: &str) -> Self {
        Self {
            current: row.session_id == current,
            session_id: row.session_id,
            created_at: rfc3339_ms(row.created_at_ms),
            refreshed_at: rfc3339_ms(row.refreshed_at_ms),
            expires_at: rfc3339_ms(row.expires_at_ms),
            source: row.source,
            user_agent: row.user_agent,
        }
    }
}

/// List the open sessions
///
/// Newest first.
#[utoipa::path(
    get, path = "/api/v1/auth/sessions", operation_id = "listSessions", tag = "Sign-in", params(PageQuery),
    security(("wallet_session" = [])),
    responses((status = 200, body = Page<SessionItem>, description = "The open sessions"),
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
            let rows = table::open_of(tx, account.customer.customer, after, most, now_ms)?;
            let key = |row: &SessionRow| key_of(row.created_at_ms, &row.session_id);
            Ok(Page::of(rows, limit, key, |row| SessionItem::of(row, account.bearer.id())))
        })
        .await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Which sessions end.
#[derive(Deserialize, IntoParams, Debug)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EndQuery {
    /// Whether the session that asks goes on
    #[serde(default)]
    #[param(required = false)]
    keep_current: bool,
}

/// How many sessions ended.
#[derive(Serialize, ToSchema)]
pub struct EndedAnswer {
    /// How many
    ended: usize,
}

/// End all sessions
///
/// Their access tokens are refused from the next request on. The one that asks ends, too, unless `keep_current=true`.
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions", operation_id = "endSessions", tag = "Sign-in", params(EndQuery),
    security(("wallet_session" = [])),
    responses((status = 200, body = EndedAnswer, description = "They have ended"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`")),
)]
pub async fn end_all(
    call: Call,
    state: web::Data<State>,
    query: StrictQuery<EndQuery>,
) -> Result<HttpResponse, ProblemDetails> {
    let keep_current = query.0.keep_current;
    let now_ms = state.clock.now_ms();
    let ended = state
        .api()?
        .write_even_suspended(call, Needs::WalletSession, move |tx, account| {
            let keep = if keep_current { account.bearer.id() } else { "" };
            let customer = account.customer.customer;
            Ok(sessions::end_others(tx, customer, keep, EndReason::EndedByCustomer, now_ms)?)
        })
        .await?;
    Ok(HttpResponse::Ok().json(EndedAnswer { ended }))
}

/// End a session
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions/{session_id}", operation_id = "endSession", tag = "Sign-in",
    params(("session_id" = String, Path, description = "The session", max_length = 64)),
    security(("wallet_session" = [])),
    responses((status = 204, description = "It has ended"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no open session of this account")),
)]
pub async fn end_one(
    call: Call,
    state: web::Data<State>,
    session_id: web::Path<String>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    state
        .api()?
        .write_even_suspended(call, Needs::WalletSession, move |tx, account| {
            let known = if is_id(&session_id) { table::find(tx, &session_id)? } else { None };
            let is_theirs = |session: &SessionRow| {
                session.customer == account.customer.customer && session.is_open(now_ms)
            };
            let session = known.filter(is_theirs).ok_or(Problem::NotFound)?;
            sessions::end(tx, &session, EndReason::EndedByCustomer, now_ms)?;
            Ok(())
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
