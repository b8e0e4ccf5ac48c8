//! `ETag` and `If-Match` (RFC 9110, section 13.1.1): two people who edit one thing do not undo each other's change unseen.

use crate::problem::{Problem, ProblemDetails};
use actix_web::HttpRequest;
use actix_web::http::header::IF_MATCH;

/// The `ETag` of a thing that counts its changes.
pub fn of_version(version: i64) -> String {
    format!("\"{version}\"")
}

/// What a request says the thing must still be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IfMatch(Option<String>);

impl IfMatch {
    /// The condition of a request; without one anything matches.
    pub fn of(request: &HttpRequest) -> Self {
        let values: Vec<&str> =
            request.headers().get_all(IF_MATCH).map(|value| value.to_str().unwrap_or_default()).collect();
        Self((!values.is_empty()).then(|| values.join(",")))
    }

    /// Whether a thing still is what the caller has read.
    ///
    /// # Errors
    /// [`Problem::ChangedMeanwhile`].
    pub fn check(&self, version: i64) -> Result<(), ProblemDetails> {
        let Some(tags) = &self.0 else { return Ok(()) };
        let wanted = of_version(version);
        let matches = tags.split(',').map(str::trim).any(|tag| tag == "*" || tag == wanted);
        if matches { Ok(()) } else { Err(Problem::ChangedMeanwhile.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn only_the_version_that_was_read_matches() {
        let check = |value: &'static str, version| {
            let request = TestRequest::default().insert_header((IF_MATCH, value)).to_http_request();
            IfMatch::of(&request).check(version).is_ok()
        };
        assert!(check("\"3\"", 3) && check("*", 3) && check("\"2\", \"3\"", 3));
        assert!(!check("\"2\"", 3) && !check("W/\"3\"", 3) && !check("3", 3) && !check("", 3));
        assert!(IfMatch::of(&TestRequest::default().to_http_request()).check(3).is_ok());
    }
}
