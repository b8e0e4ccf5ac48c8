//! `POST /api/v1/services/{service}/keys/{id}/re-enable`.

use crate::domain::api_tokens::Scope;
use crate::domain::key_life;
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::confirmation::{Confirmation, WaitQuery};
use crate::http::etag;
use crate::http::routes::keys::{ChangedKey, KeyItem, find, named};
use crate::http::strict::StrictQuery;
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::StatusCode;
use actix_web::http::header::ETAG;
use actix_web::{HttpResponse, web};

/// Take the revocation of an API key back
///
/// An expiry stays, also one that is past. The answer comes when every edge knows (200), or after ten seconds, or at once with
/// `wait=saved` (202). Tokens need the scope `keys:write`.
#[utoipa::path(
    post, path = "/api/v1/services/{service}/keys/{id}/re-enable", operation_id = "reEnableKey", tag = "API keys",
    params(WaitQuery, ("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32),
        ("id" = String, Path, description = "The key's id: 16 hex digits", max_length = 64)),
    security(("wallet_session" = []), ("api_token" = ["keys:write"])),
    responses((status = 200, body = ChangedKey, description = "It is revoked no more, and every edge knows", headers(("ETag" = String, description = "Its version"))),
        (status = 202, body = ChangedKey, description = "It is revoked no more, and an edge does not know yet", headers(("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no key of this account and service"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`revoked_by_operator`")),
)]
pub async fn re_enable(
    call: Call,
    state: web::Data<State>,
    path: web::Path<(String, String)>,
    query: StrictQuery<WaitQuery>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let (service, fingerprint) = named(&path.0, &path.1)?;
    let (row, position) = state
        .api()?
        .write(call, Needs::Scope(Scope::KeysWrite), move |tx, account| {
            find(tx, account, service, fingerprint)?;
            let (_, position) = key_life::re_enable_in(tx, fingerprint, now_ms)?;
            Ok((find(tx, account, service, fingerprint)?, position))
        })
        .await?;
    let confirmation = Confirmation::wait(&state, position, query.0.limit()).await?;
    let body = serde_json::to_value(KeyItem::of(&row, now_ms)).map_err(|_| Problem::Internal)?;
    Ok(confirmation.answer_with(StatusCode::OK, &[(ETAG, etag::of_version(row.revision))], body))
}
