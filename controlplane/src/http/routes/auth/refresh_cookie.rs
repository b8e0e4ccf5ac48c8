//! The cookie with the refresh token: no script reads it, no other site sends it, and only sign-in's own paths get it.

use crate::domain::sessions::{REFRESH_LIFE_MS, RefreshToken};
use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};

/// Its name.
const REFRESH_COOKIE: &str = "suiftly_refresh";
const PATH: &str = "/api/v1/auth";

/// The cookie with a token.
pub(super) fn refresh_cookie(token: &RefreshToken) -> Cookie<'static> {
    cookie(token.expose().to_owned(), Duration::milliseconds(REFRESH_LIFE_MS))
}

/// The cookie that takes it away.
pub(super) fn no_refresh_cookie() -> Cookie<'static> {
    cookie(String::new(), Duration::ZERO)
}

/// The token in a request's cookie.
pub(super) fn token_in(request: &HttpRequest) -> Option<String> {
    request.cookie(REFRESH_COOKIE).map(|cookie| cookie.value().to_owned())
}

fn cookie(value: String, max_age: Duration) -> Cookie<'static> {
    Cookie::build(REFRESH_COOKIE, value)
        .path(PATH)
        .http_only(true)
        .secure(true)
        .same_site(SameSite::Strict)
        .max_age(max_age)
        .finish()
}
