//! `PATCH /api/v1/services/{service}/keys/{id}`.

use crate::db::stream;
use crate::domain::api_tokens::Scope;
use crate::domain::key_life;
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::confirmation::{Confirmation, WaitQuery};
use crate::http::etag::{self, IfMatch};
use crate::http::routes::keys::{ChangedKey, KeyItem, find, moment_ahead_s, name_of, named};
use crate::http::strict::{StrictJson, StrictQuery};
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::StatusCode;
use actix_web::http::header::ETAG;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

/// What changes; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyChange)]
pub struct Change {
    /// What its owner calls it from now on; empty: nothing
    #[schema(
        max_length = 64,
        pattern = r"^([^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?)?$",
        example = "backend"
    )]
    name: Option<String>,
    /// From when on it is refused: RFC 3339, UTC, in the future; `null`: never
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "date-time", example = "2027-01-31T00:00:00Z")]
    expires_at: Option<Option<String>>,
}

/// A field that is there, be it `null`.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Rename an API key, or change when it expires
///
/// The answer comes when every edge knows (200), or after ten seconds, or at once with `wait=saved` (202). With `If-Match` only if it
/// still is the version that was read. Tokens need the scope `keys:write`.
#[utoipa::path(
    patch, path = "/api/v1/services/{service}/keys/{id}", operation_id = "changeKey", tag = "API keys",
    request_body = Change,
    params(WaitQuery, ("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32),
        ("id" = String, Path, description = "The key's id: 16 hex digits", max_length = 64),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was read")),
    security(("wallet_session" = []), ("api_token" = ["keys:write"])),
    responses((status = 200, body = ChangedKey, description = "Changed, and every edge knows", headers(("ETag" = String, description = "Its version"))),
        (status = 202, body = ChangedKey, description = "Changed, and an edge does not know yet", headers(("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`, `bad_query`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no key of this account and service"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "`changed_meanwhile`")),
)]
pub async fn change(
    request: HttpRequest,
    call: Call,
    state: web::Data<State>,
    path: web::Path<(String, String)>,
    query: StrictQuery<WaitQuery>,
    body: StrictJson<Change>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let condition = IfMatch::of(&request);
    let (service, fingerprint) = named(&path.0, &path.1)?;
    let name = body.value.name.as_deref().map(name_of).transpose()?;
    let expiry = body.value.expires_at;
    let expiry = expiry
        .map(|at| at.map(|text| moment_ahead_s("expires_at", &text, now_ms)).transpose())
        .transpose()?;
    let (row, position) = state
        .api()?
        .write(call, Needs::Scope(Scope::KeysWrite), move |tx, account| {
            let row = find(tx, account, service, fingerprint)?;
            condition.check(row.revision)?;
            if let Some(name) = name {
                key_life::rename_in(tx, fingerprint, &name, now_ms)?;
            }
            if let Some(at_s) = expiry {
                key_life::expire_in(tx, fingerprint, at_s, now_ms)?;
            }
            Ok((find(tx, account, service, fingerprint)?, stream::position(tx)?))
        })
        .await?;
    let confirmation = match expiry {
        // The edges know no names.
        None => Confirmation::without_change(position),
        Some(_) => Confirmation::wait(&state, position, query.0.limit()).await?,
    };
    let body = serde_json::to_value(KeyItem::of(&row, now_ms)).map_err(|_| Problem::Internal)?;
    Ok(confirmation.answer_with(StatusCode::OK, &[(ETAG, etag::of_version(row.revision))], body))
}
