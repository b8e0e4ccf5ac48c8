//! `POST /api/v1/auth/refresh`.

use crate::config::AccountsConfig;
use crate::domain::sessions::{self, RefreshRefusal, RefreshToken};
use crate::http::State;
use crate::http::api::Api;
use crate::http::routes::auth::refresh_cookie::token_in;
use crate::http::routes::auth::{TokenAnswer, answer};
use crate::http::sign_in_source::SignInSource;
use crate::http::strict::{OptionalJson, invalid};
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::header::ORIGIN;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A refresh token, of programs without cookies.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RefreshRequest)]
pub struct Body {
    /// The refresh token
    #[schema(min_length = 1, max_length = 200)]
    refresh_token: String,
}

/// The longest text that is looked at.
const TOKEN_LEN_MAX: usize = 200;

/// Whether a page asks that is neither ours nor listed. Programs send no origin.
fn is_foreign(request: &HttpRequest, settings: &AccountsConfig) -> bool {
    request.headers().get_all(ORIGIN).any(|origin| {
        let is = |known: &str| origin.as_bytes() == known.as_bytes();
        !is(settings.public_url.as_str()) && !settings.cors_origins.iter().any(|known| is(known))
    })
}

/// The text of the refresh token: that of the body, or that of the cookie.
pub(super) fn token_text(
    api: &Api,
    request: &HttpRequest,
    body: Option<Body>,
) -> Result<String, ProblemDetails> {
    match body {
        None => {
            let text = token_in(request).ok_or(Problem::RefreshTokenMissing)?;
            // `SameSite=Strict` lets pages of sibling domains through.
            if is_foreign(request, &api.settings) { Err(Problem::OriginNotAllowed.into()) } else { Ok(text) }
        }
        Some(Body { refresh_token }) if (1..=TOKEN_LEN_MAX).contains(&refresh_token.chars().count()) => {
            Ok(refresh_token)
        }
        Some(_) => Err(invalid("refresh_token", &format!("it must have 1 to {TOKEN_LEN_MAX} characters"))),
    }
}

/// Exchange the refresh token
///
/// Answers a new access token and a new refresh token, which comes the way the old one came: in the cookie, or in the body. The
/// old one is of no use from then on; should it come once more, somebody has a copy, and the whole session ends.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", operation_id = "refreshSession", tag = "Sign-in",
    request_body(content = Option<Body>, description = "Without it the cookie `suiftly_refresh` is taken"),
    responses((status = 200, body = TokenAnswer, description = "Exchanged"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "`refresh_token_missing`, `refresh_token_unknown`, `refresh_token_expired`, `refresh_token_reused`, `session_ended`"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "`customer_closed`, `origin_not_allowed`")),
)]
pub async fn refresh(
    source: SignInSource,
    request: HttpRequest,
    state: web::Data<State>,
    body: OptionalJson<Body>,
) -> Result<HttpResponse, ProblemDetails> {
    let api = state.api()?;
    let in_body = body.0.is_some();
    let text = token_text(&api, &request, body.0)?;
    let token = RefreshToken::from_text(&text).ok_or(Problem::RefreshTokenUnknown)?;
    let now_ms = state.clock.now_ms();
    let whence = source.whence(&request);
    let granted = Arc::clone(&api)
        .blocking_for_stranger(move |_, database| {
            sessions::refresh(database, &token, &whence, now_ms)?.map_err(problem_of)
        })
        .await?;
    answer(&api, &granted, in_body, now_ms)
}

fn problem_of(refusal: RefreshRefusal) -> ProblemDetails {
    let problem = match refusal {
        RefreshRefusal::Unknown => Problem::RefreshTokenUnknown,
        RefreshRefusal::Expired => Problem::RefreshTokenExpired,
        RefreshRefusal::SessionEnded => Problem::SessionEnded,
        RefreshRefusal::Reused => Problem::RefreshTokenReused,
        RefreshRefusal::Closed => Problem::CustomerClosed,
    };
    problem.into()
}
