//! `DELETE /api/v1/services/{service}/keys/{id}`.

use crate::db::api_keys;
use crate::domain::api_tokens::Scope;
use crate::domain::key_life;
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::confirmation::{Confirmation, WaitQuery};
use crate::http::etag::IfMatch;
use crate::http::routes::keys::{ChangedKey, KeyItem, find, named};
use crate::http::strict::StrictQuery;
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

/// Delete an API key
///
/// It is refused for ever, takes no place any more and is not listed. The answer comes when every edge refuses it (200), or after ten
/// seconds, or at once with `wait=saved` (202). Tokens need the scope `keys:write`.
#[utoipa::path(
    delete, path = "/api/v1/services/{service}/keys/{id}", operation_id = "deleteKey", tag = "API keys",
    params(WaitQuery, ("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32),
        ("id" = String, Path, description = "The key's id: 16 hex digits", max_length = 64),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was read")),
    security(("wallet_session" = []), ("api_token" = ["keys:write"])),
    responses((status = 200, body = ChangedKey, description = "It is deleted, and every edge refuses it"),
        (status = 202, body = ChangedKey, description = "It is deleted, and an edge does not know yet"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no key of this account and service"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "`changed_meanwhile`")),
)]
pub async fn delete(
    request: HttpRequest,
    call: Call,
    state: web::Data<State>,
    path: web::Path<(String, String)>,
    query: StrictQuery<WaitQuery>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let condition = IfMatch::of(&request);
    let (service, fingerprint) = named(&path.0, &path.1)?;
    let (row, position) = state
        .api()?
        .write_even_suspended(call, Needs::Scope(Scope::KeysWrite), move |tx, account| {
            condition.check(find(tx, account, service, fingerprint)?.revision)?;
            let position = key_life::delete_in(tx, fingerprint, now_ms)?;
            let row = api_keys::find(tx, fingerprint)?.ok_or(Problem::NotFound)?;
            Ok((row, position))
        })
        .await?;
    let confirmation = Confirmation::wait(&state, position, query.0.limit()).await?;
    let body = serde_json::to_value(KeyItem::of(&row, now_ms)).map_err(|_| Problem::Internal)?;
    Ok(confirmation.answer_with(StatusCode::OK, &[], body))
}
