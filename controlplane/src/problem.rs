//! Errors as HTTP answers (RFC 9457). The only place where an error becomes a status.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

/// An error as a caller sees it: a stable word for programs, a sentence for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// There is nothing under this path.
    NotFound,
    /// The path is right, the method is not.
    MethodNotAllowed,
    /// Only this machine may ask.
    LoopbackOnly,
    /// No token, or none that is good.
    Unauthorized,
    /// No key can have this fingerprint.
    BadFingerprint,
    /// A query parameter is out of its range.
    BadQuery,
    /// A report is not what an agent sends.
    BadReport,
    /// The ledger was reported by another edge before.
    NotYourLedger,
    /// Too many ask for the same at once.
    Busy,
    /// The body is too long.
    TooLarge,
    /// The body broke off.
    BodyBroken,
    /// It is our fault.
    Internal,
}

#[derive(Serialize)]
struct Body {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
}

impl Problem {
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is nothing under this path"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not take this method")
            }
            Self::LoopbackOnly => {
                (StatusCode::FORBIDDEN, "loopback_only", "Only the machine itself may ask this")
            }
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "A token that is good now is needed for this")
            }
            Self::BadFingerprint => (
                StatusCode::BAD_REQUEST,
                "bad_fingerprint",
                "A key's fingerprint is 16 hex digits of version 0 or 1",
            ),
            Self::BadQuery => (StatusCode::BAD_REQUEST, "bad_query", "A query parameter is not in its range"),
            Self::BadReport => {
                (StatusCode::BAD_REQUEST, "bad_report", "The report is not what an agent sends")
            }
            Self::NotYourLedger => {
                (StatusCode::FORBIDDEN, "not_your_ledger", "The ledger belongs to another edge")
            }
            Self::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many ask for this at once; ask again")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is too large"),
            Self::BodyBroken => (StatusCode::BAD_REQUEST, "body_broken", "The body broke off"),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed; it was logged")
            }
        }
    }

    /// The answer.
    pub fn response(self) -> HttpResponse {
        let (status, code, title) = self.row();
        let body = Body { r#type: "about:blank", title, status: status.as_u16(), code };
        let mut answer = HttpResponse::build(status);
        if matches!(self, Self::Unauthorized) {
            answer.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        if matches!(self, Self::Busy) {
            answer.insert_header((RETRY_AFTER, "5"));
        }
        answer.content_type("application/problem+json").body(serde_json::to_string(&body).unwrap_or_default())
    }
}
