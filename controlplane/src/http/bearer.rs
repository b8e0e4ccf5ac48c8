//! The bearer token of a request (RFC 6750).

use actix_web::http::header::{AUTHORIZATION, HeaderMap};

/// The one token of a request, read by `from_text`; none where there is none, or more than one.
pub fn token_of<T>(headers: &HeaderMap, from_text: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut values = headers.get_all(AUTHORIZATION);
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") { from_text(token.trim()) } else { None }
}
