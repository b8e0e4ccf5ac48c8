//! `POST /api/v1/auth/challenge`.

use crate::clock::rfc3339_ms;
use crate::domain::{WalletAddress, sign_in};
use crate::http::State;
use crate::http::sign_in_source::SignInSource;
use crate::http::strict::{StrictJson, invalid};
use crate::problem::{ProblemBody, ProblemDetails};
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who wants to sign in.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
#[schema(as = ChallengeRequest)]
pub struct Body {
    /// The wallet's address: 0x and 64 hex digits
    #[schema(
        pattern = "^0[xX][0-9a-fA-F]{64}$",
        example = "0xabababababababababababababababababababababababababababababababab"
    )]
    wallet_address: String,
}

/// What to sign.
#[derive(Serialize, ToSchema)]
pub struct ChallengeAnswer {
    /// The text to sign, to the byte, as a personal message
    message: String,
    /// From when on it is refused: RFC 3339, UTC
    #[schema(format = "date-time")]
    expires_at: String,
}

/// Ask for a text to sign
///
/// The text names this API, the wallet, a nonce that is good once, and when it expires: in five minutes. Have the wallet sign it
/// as a personal message, and send text and signature to `/api/v1/auth/verify`.
#[utoipa::path(
    post, path = "/api/v1/auth/challenge", operation_id = "createChallenge", tag = "Sign-in",
    request_body = Body,
    responses((status = 200, body = ChallengeAnswer, description = "The text to sign"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`")),
)]
pub async fn challenge(
    source: SignInSource,
    state: web::Data<State>,
    body: StrictJson<Body>,
) -> Result<HttpResponse, ProblemDetails> {
    let api = state.api()?;
    let source = source.0.to_string();
    let wallet: WalletAddress =
        body.value.wallet_address.parse().map_err(|error| invalid("wallet_address", &format!("{error}")))?;
    let (message, expires_at_ms) = api
        .blocking_for_stranger(move |api, database| {
            let domain = api.settings.public_url.authority();
            Ok(sign_in::challenge(database, domain, &wallet, &source, api.clock.now_ms())?)
        })
        .await?;
    Ok(HttpResponse::Ok().json(ChallengeAnswer { message, expires_at: rfc3339_ms(expires_at_ms) }))
}
