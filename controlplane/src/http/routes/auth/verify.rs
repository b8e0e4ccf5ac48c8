//! `POST /api/v1/auth/verify`.

use crate::domain::sign_in::message::MESSAGE_LEN_MAX;
use crate::domain::sign_in::signature::{SIGNATURE_LEN_MAX, SignatureFault};
use crate::domain::sign_in::{self, Attempt, SignInRefusal};
use crate::domain::{WalletAddress, WalletError};
use crate::http::State;
use crate::http::observe::RequestId;
use crate::http::routes::auth::{TokenAnswer, answer};
use crate::http::sign_in_source::SignInSource;
use crate::http::strict::{StrictJson, invalid};
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::header::USER_AGENT;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// What the wallet has signed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VerifyRequest)]
pub struct Body {
    /// The wallet's address
    #[schema(
        pattern = "^0[xX][0-9a-fA-F]{64}$",
        example = "0xabababababababababababababababababababababababababababababababab"
    )]
    wallet_address: String,
    /// The text of the challenge, unchanged
    #[schema(min_length = 1, max_length = 2048)]
    message: String,
    /// The signature as wallets give it: base64 of flag, signature and public key
    #[schema(min_length = 1, max_length = 4096)]
    signature: String,
    /// For programs without cookies: the refresh token comes in the body, and no cookie is set
    #[serde(default)]
    refresh_token_in_body: bool,
}

/// Sign in with a signed challenge
///
/// Answers an access token of 15 minutes, and sets a refresh token of 30 days in the cookie `suiftly_refresh`. The first sign-in
/// of a wallet makes its account. A challenge is used up by this call, whether the signature is good or not.
#[utoipa::path(
    post, path = "/api/v1/auth/verify", operation_id = "verifyChallenge", tag = "Sign-in",
    request_body = Body,
    responses((status = 200, body = TokenAnswer, description = "Signed in"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`, `message_not_ours`, `signature_malformed`, `signature_scheme_unknown`, `zklogin_not_supported`, `passkey_not_supported`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "`other_domain`, `other_address`, `challenge_unknown`, `challenge_used`, `challenge_expired`, `message_changed`, `multisig_below_threshold`, `signature_of_other_wallet`, `signature_wrong`"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "`customer_closed`")),
)]
pub async fn verify(
    source: SignInSource,
    request: HttpRequest,
    state: web::Data<State>,
    body: StrictJson<Body>,
) -> Result<HttpResponse, ProblemDetails> {
    let api = state.api()?;
    let source = source.0;
    let Body { wallet_address, message, signature, refresh_token_in_body } = body.value;
    let wallet: WalletAddress =
        wallet_address.parse().map_err(|error: WalletError| invalid("wallet_address", &error.to_string()))?;
    for (field, text, len_max) in
        [("message", &message, MESSAGE_LEN_MAX), ("signature", &signature, SIGNATURE_LEN_MAX)]
    {
        if text.is_empty() || text.len() > len_max {
            return Err(invalid(field, &format!("it must have 1 to {len_max} bytes")));
        }
    }
    let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
    let user_agent = user_agent.unwrap_or_default().to_owned();
    let request_id = request.extensions().get::<RequestId>().map(|id| Arc::clone(&id.0));
    let now_ms = state.clock.now_ms();
    let signed_in = Arc::clone(&api)
        .blocking_for_stranger(move |api, database| {
            let attempt = Attempt {
                domain: api.settings.public_url.authority(),
                wallet: &wallet,
                message: &message,
                signature: &signature,
                source: &source.to_string(),
                address: &source.address(),
                request_id: request_id.as_deref().unwrap_or("none"),
                user_agent: &user_agent,
                failures_per_minute: api.settings.sign_in_failures_per_minute,
            };
            sign_in::verify(database, &attempt, now_ms)?.map_err(problem_of)
        })
        .await?;
    tracing::info!(
        customer.id = signed_in.granted.session.customer.get(),
        session.id = signed_in.granted.session.session_id,
        new = signed_in.created,
        "a wallet signed in"
    );
    answer(&api, &signed_in.granted, refresh_token_in_body, now_ms)
}

fn problem_of(refusal: SignInRefusal) -> ProblemDetails {
    let problem = match refusal {
        SignInRefusal::NotOurMessage => Problem::MessageNotOurs,
        SignInRefusal::OtherDomain => Problem::OtherDomain,
        SignInRefusal::OtherAddress => Problem::OtherAddress,
        SignInRefusal::UnknownChallenge => Problem::ChallengeUnknown,
        SignInRefusal::UsedChallenge => Problem::ChallengeUsed,
        SignInRefusal::ExpiredChallenge => Problem::ChallengeExpired,
        SignInRefusal::ChangedMessage => Problem::MessageChanged,
        SignInRefusal::Signature(fault) => of_signature(fault),
        SignInRefusal::TooManyFailures(wait_ms) => {
            return ProblemDetails::retry_after_ms(Problem::TooManyFailedSignIns, wait_ms);
        }
        SignInRefusal::Closed => Problem::CustomerClosed,
    };
    problem.into()
}

const fn of_signature(fault: SignatureFault) -> Problem {
    match fault {
        SignatureFault::Malformed => Problem::SignatureMalformed,
        SignatureFault::UnknownScheme => Problem::SignatureSchemeUnknown,
        SignatureFault::ZkLogin => Problem::ZkLoginNotSupported,
        SignatureFault::Passkey => Problem::PasskeyNotSupported,
        SignatureFault::BelowThreshold => Problem::MultisigBelowThreshold,
        SignatureFault::OtherWallet => Problem::SignatureOfOtherWallet,
        SignatureFault::Wrong => Problem::SignatureWrong,
    }
}
