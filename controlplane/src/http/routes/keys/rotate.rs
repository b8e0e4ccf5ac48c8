//! `POST /api/v1/services/{service}/keys/{id}/rotate`.

use crate::db::stream;
use crate::domain::api_tokens::Scope;
use crate::domain::key_life;
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::confirmation::{Confirmation, WaitQuery};
use crate::http::idempotency::{IdempotencyKey, once};
use crate::http::routes::keys::{
    CreatedKey, KeyItem, MS_PER_S, find, kept, logged, made, moment_ahead_s, named,
};
use crate::http::strict::{OptionalJson, StrictQuery, digest_of, invalid};
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// How long the old key stays good where nobody says.
const OVERLAP_S_DEFAULT: u64 = 24 * 3_600;
/// How long it can: a year.
const OVERLAP_S_MAX: u64 = 366 * 24 * 3_600;

/// Until when the old key stays good: one of the two, or neither for a day.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rotation)]
pub struct Body {
    /// For so many seconds; 0 ends it now
    #[schema(maximum = 31_622_400, example = 86_400)]
    overlap_s: Option<u64>,
    /// Until this moment: RFC 3339, UTC, in the future
    #[schema(format = "date-time", example = "2027-01-31T00:00:00Z")]
    old_expires_at: Option<String>,
}

/// A new key with its text, and the one that it replaces.
#[derive(Serialize, ToSchema)]
pub struct RotatedKey {
    #[serde(flatten)]
    new: CreatedKey,
    /// The key that is replaced, with its new expiry
    replaced: KeyItem,
}

/// Replace an API key
///
/// Makes a new key of the same name now; the old one stays good until it expires, which the edges do by themselves on the second.
/// Both take a place until the old one is deleted. With an `Idempotency-Key` a repetition is answered the same key. Tokens need the
/// scope `keys:write`.
#[utoipa::path(
    post, path = "/api/v1/services/{service}/keys/{id}/rotate", operation_id = "rotateKey", tag = "API keys",
    request_body(content = Option<Body>),
    params(WaitQuery, ("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32),
        ("id" = String, Path, description = "The old key's id: 16 hex digits", max_length = 64),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send the request again: 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    security(("wallet_session" = []), ("api_token" = ["keys:write"])),
    responses((status = 201, body = RotatedKey, description = "The new key was made, and every edge knows when the old one ends", headers(("Location" = String, description = "Where the new key is read"), ("ETag" = String, description = "Its version"))),
        (status = 202, body = RotatedKey, description = "The new key was made, and an edge does not know yet when the old one ends"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`, `bad_query`, `bad_idempotency_key`"),
        (status = 402, body = ProblemBody, content_type = "application/problem+json", description = "`subscription_pending`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no key of this account and service; `no_service`"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`key_not_active`, `too_many_keys`, `derivations_exhausted`, `already_created`, `idempotency_key_reused`"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`rate_limit_exceeded`, `too_many_requests`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`keys_unavailable`, `unavailable`")),
)]
pub async fn rotate(
    request: HttpRequest,
    call: Call,
    key: IdempotencyKey,
    state: web::Data<State>,
    path: web::Path<(String, String)>,
    query: StrictQuery<WaitQuery>,
    body: OptionalJson<Body>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let (service, fingerprint) = named(&path.0, &path.1)?;
    let wanted = body.0;
    let request_sha256 = digest_of(&request, &wanted);
    let api = state.api()?;
    let with_keyring = Arc::clone(&api);
    let (text, new, old, position) = api
        .write(call, Needs::Scope(Scope::KeysWrite), move |tx, account| {
            let customer = account.customer.customer;
            find(tx, account, service, fingerprint)?;
            let done = once(tx, customer, &key, &request_sha256, now_ms, |tx| {
                let end_s = end_of(wanted.as_ref(), now_ms)?;
                let keyring = with_keyring.keyring()?;
                let (issued, _) =
                    key_life::rotate_in(tx, &keyring, fingerprint, end_s, true, now_ms).map_err(logged)?;
                let kept = kept(&issued.row);
                Ok(((issued.text, issued.row), kept))
            })?;
            let (text, new) = made(tx, &with_keyring, done, now_ms)?;
            let old = find(tx, account, service, fingerprint)?;
            Ok((text, new, old, stream::position(tx)?))
        })
        .await?;
    let confirmation = Confirmation::wait(&state, position, query.0.limit()).await?;
    let rotated =
        RotatedKey { new: CreatedKey::of(&text, &new, now_ms), replaced: KeyItem::of(&old, now_ms) };
    let body = serde_json::to_value(rotated).map_err(|_| Problem::Internal)?;
    let place = format!("/api/v1/services/{service}/keys/{}", new.fingerprint);
    let headers = [(LOCATION, place), (ETAG, crate::http::etag::of_version(new.revision))];
    Ok(confirmation.answer_with(StatusCode::CREATED, &headers, body))
}

/// When the old key ends, unix seconds.
fn end_of(wanted: Option<&Body>, now_ms: i64) -> Result<u64, ProblemDetails> {
    let now_s = u64::try_from(now_ms / MS_PER_S).unwrap_or(0);
    match wanted {
        Some(Body { overlap_s: Some(_), old_expires_at: Some(_) }) => {
            Err(invalid("old_expires_at", "say it in one of the two ways: overlap_s or old_expires_at"))
        }
        Some(Body { overlap_s: Some(overlap_s), .. }) if *overlap_s > OVERLAP_S_MAX => {
            Err(invalid("overlap_s", &format!("it is at most {OVERLAP_S_MAX} seconds")))
        }
        Some(Body { overlap_s: Some(overlap_s), .. }) => Ok(now_s + overlap_s),
        Some(Body { old_expires_at: Some(text), .. }) => moment_ahead_s("old_expires_at", text, now_ms),
        _ => Ok(now_s + OVERLAP_S_DEFAULT),
    }
}
