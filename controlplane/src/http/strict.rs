//! Bodies and queries, read strictly: what is not known, or stands twice, is refused, and the answer names the field. A program
//! that misspells a field learns it at once, not when the default turns out wrong.

use crate::problem::{FieldError, Problem, ProblemDetails};
use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::future::{Ready, ready};
use std::time::Duration;

/// The longest body, in bytes: 64 KiB.
pub const BODY_LEN_MAX: usize = 64 * 1_024;
/// How long a body may take.
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// The longest text of what is wrong with a field.
const DETAIL_LEN_MAX: usize = 300;

/// A JSON body.
#[derive(Debug)]
pub struct StrictJson<T> {
    /// What it says.
    pub value: T,
    /// SHA-256 of the request: method, path and body. What `Idempotency-Key` compares.
    pub request_sha256: String,
}

/// A JSON body that may be missing, or `null`.
#[derive(Debug)]
pub struct OptionalJson<T>(pub Option<T>);

/// A query.
#[derive(Debug)]
pub struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for StrictJson<T> {
    type Error = ProblemDetails;
    type Future = LocalBoxFuture<'static, Result<Self, ProblemDetails>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let mut digest = Sha256::new();
        digest.update(format!("{} {}\n", request.method(), request.path()));
        let payload = payload.take();
        Box::pin(async move {
            let body = body_of(payload).await?;
            if !is_json {
                return Err(Problem::UnsupportedMediaType.into());
            }
            digest.update(&body);
            let request_sha256 = data_encoding::HEXLOWER.encode(&digest.finalize());
            Ok(Self { value: parse(&body)?, request_sha256 })
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for OptionalJson<T> {
    type Error = ProblemDetails;
    type Future = LocalBoxFuture<'static, Result<Self, ProblemDetails>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let payload = payload.take();
        Box::pin(async move {
            let body = body_of(payload).await?;
            if body.is_empty() {
                return Ok(Self(None));
            }
            if !is_json {
                return Err(Problem::UnsupportedMediaType.into());
            }
            parse(&body).map(Self)
        })
    }
}

impl<T: DeserializeOwned> FromRequest for StrictQuery<T> {
    type Error = ProblemDetails;
    type Future = Ready<Result<Self, ProblemDetails>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = web::Query::<T>::from_query(request.query_string());
        ready(read.map(|query| Self(query.into_inner())).map_err(|error| {
            let detail = match &error {
                actix_web::error::QueryPayloadError::Deserialize(error) => error.to_string(),
                other => other.to_string(),
            };
            // The text names the parameter in backquotes where it is known.
            let field = detail.split('`').nth(1).unwrap_or("query").to_owned();
            ProblemDetails::of_field(Problem::BadQuery, field, shortened(&detail))
        }))
    }
}

/// SHA-256 of a request whose body may be missing: method, path and what the body says. What `Idempotency-Key` compares.
pub fn digest_of(request: &HttpRequest, body: &impl serde::Serialize) -> String {
    let body = serde_json::to_string(body).unwrap_or_default();
    let text = format!("{} {}\n{body}", request.method(), request.path());
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

fn is_json(request: &HttpRequest) -> bool {
    let mut values = request.headers().get_all(CONTENT_TYPE);
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// The body, if it comes in time: who sends nothing more must not hold a connection for ever.
async fn body_of(payload: Payload) -> Result<Vec<u8>, ProblemDetails> {
    let read = tokio::time::timeout(BODY_LIMIT, whole_body(payload)).await;
    read.unwrap_or_else(|_| Err(Problem::BodyBroken.into()))
}

async fn whole_body(mut payload: Payload) -> Result<Vec<u8>, ProblemDetails> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::BodyBroken)?;
        if body.len() + chunk.len() > BODY_LEN_MAX {
            return Err(Problem::TooLarge.into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProblemDetails> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, detail) = (error.path().to_string(), error.inner().to_string());
        // Of a field that is missing or stands twice only the text has the name; of what is no JSON there is none.
        let named =
            ["missing field `", "duplicate field `"].iter().find_map(|start| detail.strip_prefix(start));
        let field = match named.and_then(|rest| rest.split('`').next()) {
            Some(name) if path == "." => name.to_owned(),
            Some(name) => format!("{path}.{name}"),
            None if path == "." => String::new(),
            None => path,
        };
        invalid(field, &detail)
    })?;
    reader.end().map_err(|error| invalid(String::new(), &error.to_string()))?;
    Ok(value)
}

/// A problem with a field of the body; empty for the body as a whole.
pub fn invalid(field: impl Into<String>, detail: &str) -> ProblemDetails {
    let error = FieldError { field: field.into(), detail: shortened(detail) };
    ProblemDetails { errors: vec![error], ..Problem::InvalidBody.into() }
}

fn shortened(text: &str) -> String {
    text.chars().take(DETAIL_LEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Form {
        #[expect(dead_code, reason = "only read from JSON")]
        name: String,
        #[serde(default)]
        #[expect(dead_code, reason = "only read from JSON")]
        counts: Vec<u8>,
    }

    fn fault(body: &str) -> (String, String) {
        let errors = parse::<Form>(body.as_bytes()).unwrap_err().errors;
        (errors[0].field.clone(), errors[0].detail.clone())
    }

    #[test]
    fn the_field_at_fault_is_named() {
        assert!(parse::<Form>(br#"{"name": "x", "counts": [1, 2]}"#).is_ok());
        assert_eq!(fault(r#"{"name": 5}"#).0, "name");
        assert_eq!(fault(r#"{"name": "x", "counts": [1, -2]}"#).0, "counts[1]");
        let (field, detail) = fault(r#"{"name": "x", "nam": 1}"#);
        assert!(field == "nam" && detail.contains("unknown field `nam`"), "{field} {detail}");
        let (field, detail) = fault(r#"{"name": "x", "name": "y"}"#);
        assert!(field == "name" && detail.contains("duplicate field `name`"), "{field} {detail}");
        let (field, detail) = fault("{}");
        assert!(field == "name" && detail.contains("missing field `name`"), "{field} {detail}");
        for broken in ["", "{", "[]", "null", r#"{"name": "x"} {}"#, "{\"name\": \"\u{1}\"}"] {
            assert!(!fault(broken).1.is_empty(), "{broken}");
        }
    }
}
