//! `POST /api/v1/services/{service}/keys`.

use crate::db::stream;
use crate::domain::api_tokens::Scope;
use crate::domain::keys::{self, NewKey};
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::confirmation::{Confirmation, WaitQuery};
use crate::http::idempotency::{IdempotencyKey, once};
use crate::http::routes::keys::{CreatedKey, kept, logged, made, moment_ahead_s, name_of};
use crate::http::routes::services::service_of;
use crate::http::strict::{OptionalJson, StrictQuery, digest_of, invalid};
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use apikey::Version;
use edgeformat::PolicyKey;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A key that is wanted.
#[derive(Deserialize, Serialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyRequest)]
pub struct Body {
    /// What its owner calls it: at most 64 characters, no control characters, no blanks around it
    #[serde(default)]
    #[schema(
        required = false,
        max_length = 64,
        pattern = r"^([^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?)?$",
        example = "backend"
    )]
    name: String,
    /// From when on it is refused, at the edge on the second: RFC 3339, UTC, in the future; never where it is not said
    #[schema(format = "date-time", example = "2027-01-31T00:00:00Z")]
    expires_at: Option<String>,
    /// Must be false: keys that were made elsewhere are not issued here
    #[serde(default)]
    #[schema(required = false)]
    is_imported: bool,
    /// The group that keys are made in now, or nothing
    #[schema(maximum = 31)]
    master_key_group: Option<u8>,
}

/// Make an API key
///
/// Its text is shown in this answer only; with an `Idempotency-Key` a repetition is answered the same key, as long as it is good. At
/// most as many as the tier has, and five an hour: `retry_after` says when the next can be made. Tokens need the scope `keys:write`.
#[utoipa::path(
    post, path = "/api/v1/services/{service}/keys", operation_id = "createKey", tag = "API keys",
    request_body(content = Option<Body>),
    params(WaitQuery, ("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send the request again: 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    security(("wallet_session" = []), ("api_token" = ["keys:write"])),
    responses((status = 201, body = CreatedKey, description = "It was made, and works at every edge", headers(("Location" = String, description = "Where it is read"), ("ETag" = String, description = "Its version"))),
        (status = 202, body = CreatedKey, description = "It was made, and an edge does not know yet when it expires"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`, `bad_query`, `bad_idempotency_key`"),
        (status = 402, body = ProblemBody, content_type = "application/problem+json", description = "`subscription_pending`; and where it is more than the tier includes `no_payment_method`, `insufficient_balance`, `spending_limit_exceeded`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`no_service`, `not_found`: there is no such type"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_keys`, `derivations_exhausted`, `already_created`, `idempotency_key_reused`"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`rate_limit_exceeded`, `too_many_requests`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`keys_unavailable`, `unavailable`")),
)]
pub async fn create(
    request: HttpRequest,
    call: Call,
    key: IdempotencyKey,
    state: web::Data<State>,
    service: web::Path<String>,
    query: StrictQuery<WaitQuery>,
    body: OptionalJson<Body>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let service = service_of(&service)?;
    let request_sha256 = digest_of(&request, &body.0);
    let Body { name, expires_at, is_imported, master_key_group } = body.0.unwrap_or_default();
    if is_imported {
        return Err(invalid(
            "is_imported",
            "keys that were made elsewhere are not issued here; leave it out",
        ));
    }
    let name = name_of(&name)?;
    let api = state.api()?;
    let with_keyring = Arc::clone(&api);
    let (text, row, position) = api
        .write(call, Needs::Scope(Scope::KeysWrite), move |tx, account| {
            let customer = account.customer.customer;
            let done = once(tx, customer, &key, &request_sha256, now_ms, |tx| {
                // Not before: a repetition is answered as the first time, also when that moment has passed.
                let expires_at_s =
                    expires_at.map(|text| moment_ahead_s("expires_at", &text, now_ms)).transpose()?;
                let keyring = with_keyring.keyring()?;
                let group = keyring.default_group;
                if master_key_group.is_some_and(|wanted| wanted != group.get()) {
                    let detail = format!("keys are made in group {group} now; leave it out");
                    return Err(invalid("master_key_group", &detail));
                }
                let key = PolicyKey { customer, service };
                let new = NewKey {
                    key,
                    version: Version::V1,
                    name,
                    expires_at_s,
                    by_owner: true,
                    replaces_another: false,
                };
                let issued = keys::create_and_note(tx, &keyring, &new, now_ms).map_err(logged)?;
                let kept = kept(&issued.row);
                Ok(((issued.text, issued.row), kept))
            })?;
            let (text, row) = made(tx, &with_keyring, done, now_ms)?;
            Ok((text, row, stream::position(tx)?))
        })
        .await?;
    // The edges know a key by its tag; only an expiry is told to them.
    let confirmation = match row.expires_at_s {
        None => Confirmation::without_change(position),
        Some(_) => Confirmation::wait(&state, position, query.0.limit()).await?,
    };
    let body = serde_json::to_value(CreatedKey::of(&text, &row, now_ms)).map_err(|_| Problem::Internal)?;
    let place = format!("/api/v1/services/{service}/keys/{}", row.fingerprint);
    let headers = [(LOCATION, place), (ETAG, crate::http::etag::of_version(row.revision))];
    Ok(confirmation.answer_with(StatusCode::CREATED, &headers, body))
}
