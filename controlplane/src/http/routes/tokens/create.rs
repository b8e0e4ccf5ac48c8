//! `POST /api/v1/tokens`.

use crate::clock::rfc3339_from;
use crate::domain::api_tokens::{self, CreateRefusal, LIFE_MS_MAX, NAME_LEN_MAX, Scope, Scopes, TokenName};
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::etag;
use crate::http::idempotency::{IdempotencyKey, Kept, Once, once};
use crate::http::routes::tokens::{ScopeWord, TokenItem};
use crate::http::strict::{StrictJson, invalid};
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::header::{ETAG, LOCATION};
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How long a token is good where nobody says: 90 days.
const LIFE_MS_DEFAULT: i64 = 90 * 24 * 3_600 * 1_000;
/// What is kept of an answer under an `Idempotency-Key`.
const KIND: &str = "api_token";

/// A token that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenRequest)]
pub struct Body {
    /// What its owner calls it: 1 to 64 characters, no control characters, no blanks around it
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$",
        example = "nightly report"
    )]
    name: String,
    /// What it may do, each once
    #[schema(min_items = 1, max_items = 7)]
    scopes: Vec<ScopeWord>,
    /// From when on it is refused: RFC 3339, UTC, at most 366 days from now; 90 days where it is not said
    #[schema(format = "date-time", example = "2027-01-31T00:00:00Z")]
    expires_at: Option<String>,
}

/// A token that was made, with its text.
#[derive(Serialize, ToSchema)]
pub struct CreatedToken {
    /// The token, for `Authorization: Bearer`. It is not shown again
    token: String,
    #[serde(flatten)]
    item: TokenItem,
}

/// Make an API token
///
/// Its text is shown in this answer only. With an `Idempotency-Key` a repetition is answered 409 `already_created` with the
/// token's id: the text is not kept anywhere.
#[utoipa::path(
    post, path = "/api/v1/tokens", operation_id = "createToken", tag = "API tokens",
    request_body = Body,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send the request again: 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    security(("wallet_session" = [])),
    responses((status = 201, body = CreatedToken, description = "It was made", headers(("Location" = String, description = "Where it is read"), ("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`, `bad_idempotency_key`"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_tokens`, `already_created`, `idempotency_key_reused`")),
)]
pub async fn create(
    call: Call,
    key: IdempotencyKey,
    state: web::Data<State>,
    body: StrictJson<Body>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let StrictJson { value: Body { name, scopes, expires_at }, request_sha256 } = body;
    let name = TokenName::new(&name).ok_or_else(|| {
        invalid(
            "name",
            &format!(
                "a name has 1 to {NAME_LEN_MAX} characters, no control characters and no blanks around it"
            ),
        )
    })?;
    let scopes = Scopes::new(scopes.into_iter().map(Scope::from).collect())
        .ok_or_else(|| invalid("scopes", "name at least one scope, and each once"))?;
    let expires_at_ms = match expires_at {
        None => now_ms.saturating_add(LIFE_MS_DEFAULT),
        Some(text) => moment_of(&text)?,
    };
    let made = state
        .api()?
        .write(call, Needs::WalletSession, move |tx, account| {
            let customer = account.customer.customer;
            once(tx, customer, &key, &request_sha256, now_ms, |tx| {
                // Not before: a repetition is answered as the first time, also when that moment has passed.
                must_lie_ahead(expires_at_ms, now_ms)?;
                let made = api_tokens::create(tx, customer, &name, scopes, expires_at_ms, now_ms)?;
                let (token, row) = made.map_err(problem_of)?;
                let kept =
                    Kept { kind: KIND, made: row.token_id.clone(), status: 201, answer: "{}".to_owned() };
                Ok(((token, row), kept))
            })
        })
        .await?;
    match made {
        Once::Now((token, row)) => Ok(HttpResponse::Created()
            .insert_header((LOCATION, format!("/api/v1/tokens/{}", row.token_id)))
            .insert_header((ETAG, etag::of_version(row.version)))
            .json(CreatedToken { token: token.expose().to_owned(), item: TokenItem::of(&row, now_ms) })),
        Once::Before(answered) => {
            Err(ProblemDetails { created_id: Some(answered.made), ..Problem::AlreadyCreated.into() })
        }
    }
}

fn problem_of(refusal: CreateRefusal) -> ProblemDetails {
    match refusal {
        CreateRefusal::TooMany => Problem::TooManyTokens.into(),
        CreateRefusal::TooFast(wait_ms) => ProblemDetails::retry_after_ms(Problem::TooManyRequests, wait_ms),
    }
}

fn moment_of(text: &str) -> Result<i64, ProblemDetails> {
    rfc3339_from(text).ok_or_else(|| {
        invalid("expires_at", "write a moment in RFC 3339 with Z, such as 2027-01-31T00:00:00Z")
    })
}

fn must_lie_ahead(at_ms: i64, now_ms: i64) -> Result<(), ProblemDetails> {
    if at_ms <= now_ms || at_ms > now_ms.saturating_add(LIFE_MS_MAX) {
        return Err(invalid("expires_at", "it must lie in the future, at most 366 days from now"));
    }
    Ok(())
}
