//! `POST /api/v1/auth/logout`.

use crate::domain::sessions::{self, RefreshToken};
use crate::http::State;
use crate::http::routes::auth::refresh::{Body, token_text};
use crate::http::routes::auth::refresh_cookie::no_refresh_cookie;
use crate::http::sign_in_source::SignInSource;
use crate::http::strict::OptionalJson;
use crate::problem::{ProblemBody, ProblemDetails};
use actix_web::{HttpRequest, HttpResponse, web};

/// Sign out
///
/// Ends the session of the refresh token, with all its access tokens, and takes the cookie away. A token that is none, or whose
/// session has ended, is answered the same.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", operation_id = "logOut", tag = "Sign-in",
    request_body(content = Option<Body>, description = "Without it the cookie `suiftly_refresh` is taken"),
    responses((status = 204, description = "The session has ended"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "`refresh_token_missing`"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "`origin_not_allowed`")),
)]
pub async fn logout(
    source: SignInSource,
    request: HttpRequest,
    state: web::Data<State>,
    body: OptionalJson<Body>,
) -> Result<HttpResponse, ProblemDetails> {
    let api = state.api()?;
    let text = token_text(&api, &request, body.0)?;
    if let Some(token) = RefreshToken::from_text(&text) {
        let now_ms = state.clock.now_ms();
        let whence = source.whence(&request);
        api.blocking_for_stranger(move |_, database| {
            Ok(sessions::log_out(database, &token, &whence, now_ms)?)
        })
        .await?;
    }
    Ok(HttpResponse::NoContent().cookie(no_refresh_cookie()).finish())
}
