//! Sign-in and sessions.

pub mod challenge;
pub mod logout;
pub mod refresh;
mod refresh_cookie;
pub mod sessions;
pub mod verify;

use crate::access_tokens::ACCESS_LIFE_S;
use crate::domain::sessions::Granted;
use crate::http::api::Api;
use crate::problem::{Problem, ProblemDetails};
use actix_web::HttpResponse;
use refresh_cookie::refresh_cookie;
use serde::Serialize;
use utoipa::ToSchema;

/// What a sign-in and an exchange answer.
#[derive(Serialize, ToSchema)]
pub struct TokenAnswer {
    /// A JWT, for `Authorization: Bearer`
    access_token: String,
    /// Always `Bearer`
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// How long the access token is good, in seconds
    #[schema(example = 900)]
    expires_in: i64,
    /// The customer that the wallet is
    customer_id: u32,
    /// The refresh token, where it was asked for in the body
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// The answer to a grant: tokens, and the refresh token in a cookie unless the caller wants it in the body.
fn answer(api: &Api, granted: &Granted, in_body: bool, now_ms: i64) -> Result<HttpResponse, ProblemDetails> {
    let session = &granted.session;
    let access_token =
        api.access_tokens.issue(session.customer, &session.session_id, now_ms).map_err(|error| {
            tracing::error!(error = crate::app::chain_of(&error), "a sign-in got no access token");
            Problem::Internal
        })?;
    let body = TokenAnswer {
        access_token,
        token_type: "Bearer",
        expires_in: ACCESS_LIFE_S,
        customer_id: session.customer.get(),
        refresh_token: in_body.then(|| granted.refresh_token.expose().to_owned()),
    };
    let mut reply = HttpResponse::Ok();
    if !in_body {
        reply.cookie(refresh_cookie(&granted.refresh_token));
    }
    Ok(reply.json(body))
}
