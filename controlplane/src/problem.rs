//! Errors as HTTP answers (RFC 9457). The only place where an error becomes a status.
//!
//! [`Problem`] is the table of codes, which are stable: programs decide by them. [`ProblemDetails`] is one with what is known of
//! this very case. Both answer a body without the request's id; [`crate::http::observe`] adds that.

use crate::app::chain_of;
use crate::db::DbError;
use crate::db::pool::NoConnection;
use crate::domain::DomainError;
use actix_web::http::StatusCode;
use actix_web::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use utoipa::ToSchema;

/// The codes with their statuses and titles.
macro_rules! problems {
    ($($(#[$doc:meta])* $variant:ident = $status:ident $code:literal $title:literal,)+) => {
        /// An error as a caller sees it: a stable word for programs, a sentence for people.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Problem { $($(#[$doc])* $variant),+ }

        impl Problem {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The status of its answers.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            /// The word for programs. Stable.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The sentence for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

problems! {
    /// There is nothing under this path.
    NotFound = NOT_FOUND "not_found" "There is nothing under this path",
    /// The path is right, the method is not.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed" "This path does not take this method",
    /// Only this machine may ask.
    LoopbackOnly = FORBIDDEN "loopback_only" "Only the machine itself may ask this",
    /// No token, or none that is good.
    Unauthorized = UNAUTHORIZED "unauthorized" "A token that is good now is needed for this",
    /// The access token was good until now.
    AccessTokenExpired = UNAUTHORIZED "access_token_expired" "The access token has expired; exchange the refresh token for a new one",
    /// The session of the token has ended.
    SessionEnded = UNAUTHORIZED "session_ended" "The session has ended; sign in again",
    /// The token may not do this.
    InsufficientScope = FORBIDDEN "insufficient_scope" "The token lacks the scope that this needs",
    /// No token may do this, only the wallet.
    WalletSessionNeeded = FORBIDDEN "wallet_session_needed" "Only a session that was signed in with the wallet may do this",
    /// The account is suspended.
    CustomerSuspended = FORBIDDEN "customer_suspended" "The account is suspended and cannot be changed",
    /// The account is closed.
    CustomerClosed = FORBIDDEN "customer_closed" "The account is closed",
    /// No key can have this fingerprint.
    BadFingerprint = BAD_REQUEST "bad_fingerprint" "A key's fingerprint is 16 hex digits of version 0 or 1",
    /// A query parameter is out of its range.
    BadQuery = BAD_REQUEST "bad_query" "A query parameter is not in its range",
    /// The body is no JSON, or not what this path takes.
    InvalidBody = BAD_REQUEST "invalid_body" "The body is not the JSON that this path takes",
    /// The body is said to be something else.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "The body must be sent as application/json",
    /// A report is not what an agent sends.
    BadReport = BAD_REQUEST "bad_report" "The report is not what an agent sends",
    /// The ledger was reported by another edge before.
    NotYourLedger = FORBIDDEN "not_your_ledger" "The ledger belongs to another edge",
    /// Too many ask for the same at once.
    Busy = SERVICE_UNAVAILABLE "busy" "Too many ask for this at once; ask again",
    /// The database cannot be reached.
    Unavailable = SERVICE_UNAVAILABLE "unavailable" "The database cannot be reached; ask again",
    /// The body is too long.
    TooLarge = PAYLOAD_TOO_LARGE "too_large" "The body is too large",
    /// The body broke off.
    BodyBroken = BAD_REQUEST "body_broken" "The body broke off, or did not come within ten seconds",
    /// More requests than the limit allows.
    TooManyRequests = TOO_MANY_REQUESTS "too_many_requests" "More requests than the limit allows; Retry-After says when to go on",
    /// Too many signatures failed.
    TooManyFailedSignIns = TOO_MANY_REQUESTS "too_many_failed_sign_ins" "Too many signatures of this wallet failed; Retry-After says when to go on",
    /// What stands in `Idempotency-Key` is no key.
    BadIdempotencyKey = BAD_REQUEST "bad_idempotency_key" "An Idempotency-Key is 1 to 255 visible ASCII characters, given once",
    /// The key stood on another request.
    IdempotencyKeyReused = CONFLICT "idempotency_key_reused" "The Idempotency-Key was used for another request",
    /// The request was done before, and its answer held a secret.
    AlreadyCreated = CONFLICT "already_created" "This was created before with the same Idempotency-Key; its secret is not shown again",
    /// What stands in `If-Match` is not how the thing stands.
    ChangedMeanwhile = PRECONDITION_FAILED "changed_meanwhile" "It was changed meanwhile; read it again",
    /// The account does not have the service.
    NoService = NOT_FOUND "no_service" "The account does not have this service; POST /api/v1/services subscribes to it",
    /// The account has the service.
    AlreadySubscribed = CONFLICT "already_subscribed" "The account has this service already",
    /// Nobody can subscribe to the service now.
    ServiceNotOffered = CONFLICT "service_not_offered" "Nobody can subscribe to this service now",
    /// The service was cancelled lately.
    ServiceCoolingDown = CONFLICT "service_cooling_down" "The service was cancelled, and cannot be had again yet",
    /// The service stands so that this cannot be done.
    ServiceState = CONFLICT "service_state" "As the service stands this cannot be done",
    /// The tier does not have this.
    NotInTier = FORBIDDEN "not_in_tier" "The tier of the service does not have this",
    /// The allowlist is too long.
    AllowlistTooLong = CONFLICT "allowlist_too_long" "The allowlist has, or would have, more entries than the tier allows",
    /// There is nothing to pay with.
    NoPaymentMethod = PAYMENT_REQUIRED "no_payment_method" "This costs, and the account has nothing to pay with",
    /// The subscription is not paid for.
    SubscriptionPending = PAYMENT_REQUIRED "subscription_pending" "The subscription is not paid for yet; switching the service on pays for it",
    /// There is not enough to pay with.
    InsufficientBalance = PAYMENT_REQUIRED "insufficient_balance" "This costs more than the account has",
    /// The spending limit would be exceeded.
    SpendingLimitExceeded = PAYMENT_REQUIRED "spending_limit_exceeded" "This would exceed the account's spending limit",
    /// There are too many API keys.
    TooManyKeys = CONFLICT "too_many_keys" "The service has as many API keys as there can be; delete one that is not needed",
    /// Too many keys were made in an hour.
    RateLimitExceeded = TOO_MANY_REQUESTS "rate_limit_exceeded" "No more API keys can be made within the hour",
    /// Every number of a key was given.
    DerivationsExhausted = CONFLICT "derivations_exhausted" "The account has made as many API keys as it ever can; ask support",
    /// An operator must act before keys can be made.
    KeysUnavailable = SERVICE_UNAVAILABLE "keys_unavailable" "No API key can be made now; ask again",
    /// Not its owner has revoked the key.
    RevokedByOperator = CONFLICT "revoked_by_operator" "The API key was not revoked by you; ask support, or make a new one",
    /// The key is refused already.
    KeyNotActive = CONFLICT "key_not_active" "The API key is refused already; make a new one",
    /// There are too many API tokens.
    TooManyTokens = CONFLICT "too_many_tokens" "There are as many API tokens as there can be; revoke one that is not needed",
    /// The text is none that was given out.
    MessageNotOurs = BAD_REQUEST "message_not_ours" "The message is not one that /api/v1/auth/challenge gave out",
    /// The text names another domain.
    OtherDomain = UNAUTHORIZED "other_domain" "The message names another domain than this API's",
    /// The text names another wallet.
    OtherAddress = UNAUTHORIZED "other_address" "The message was given out for another wallet address",
    /// There is no such challenge.
    ChallengeUnknown = UNAUTHORIZED "challenge_unknown" "There is no challenge with this nonce; ask for a new one",
    /// The challenge was used.
    ChallengeUsed = UNAUTHORIZED "challenge_used" "The challenge was used already; ask for a new one",
    /// The challenge's time is over.
    ChallengeExpired = UNAUTHORIZED "challenge_expired" "The challenge has expired; ask for a new one",
    /// The text was changed.
    MessageChanged = UNAUTHORIZED "message_changed" "The message is not to the byte the one that was given out",
    /// The signature cannot be read.
    SignatureMalformed = BAD_REQUEST "signature_malformed" "The signature is not the base64 of a Sui signature",
    /// The signature's scheme does not exist.
    SignatureSchemeUnknown = BAD_REQUEST "signature_scheme_unknown" "The signature's first byte names no scheme that is accepted",
    /// The wallet is a zkLogin wallet.
    ZkLoginNotSupported = BAD_REQUEST "zklogin_not_supported" "zkLogin wallets cannot sign in: the keys of identity providers are not configured here",
    /// The wallet is a passkey wallet.
    PasskeyNotSupported = BAD_REQUEST "passkey_not_supported" "Passkey wallets cannot sign in yet",
    /// Too few have signed.
    MultisigBelowThreshold = UNAUTHORIZED "multisig_below_threshold" "Those who have signed do not reach the multisig's threshold",
    /// Somebody else has signed.
    SignatureOfOtherWallet = UNAUTHORIZED "signature_of_other_wallet" "The signature is that of another wallet",
    /// The signature is not of this text.
    SignatureWrong = UNAUTHORIZED "signature_wrong" "The signature is not one of this message",
    /// The page that asks with our cookie is none of ours.
    OriginNotAllowed = FORBIDDEN "origin_not_allowed" "A page of this origin may not use the cookie; SUIFTLY_CORS_ORIGINS lists those that may",
    /// There was no refresh token.
    RefreshTokenMissing = UNAUTHORIZED "refresh_token_missing" "A refresh token is needed: in the cookie suiftly_refresh, or in the body",
    /// The refresh token is none of ours.
    RefreshTokenUnknown = UNAUTHORIZED "refresh_token_unknown" "The refresh token is not one of ours; sign in again",
    /// The refresh token's time is over.
    RefreshTokenExpired = UNAUTHORIZED "refresh_token_expired" "The refresh token has expired; sign in again",
    /// The refresh token was exchanged before.
    RefreshTokenReused = UNAUTHORIZED "refresh_token_reused" "The refresh token was exchanged before; its session was ended, sign in again",
    /// It is our fault.
    Internal = INTERNAL_SERVER_ERROR "internal" "The server failed; it was logged",
}

/// What is wrong with one field of a body or a query.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema, Debug)]
pub struct FieldError {
    /// Where: the path of the field, `scopes[0]`; of a query parameter or header, its name.
    #[schema(example = "wallet_address")]
    pub field: String,
    /// What is wrong, and what would be right.
    #[schema(example = "a wallet's address is 0x and 64 hex digits")]
    pub detail: String,
}

/// A problem with what is known of this very case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProblemDetails {
    /// The code.
    pub problem: Problem,
    /// The fields at fault.
    pub errors: Vec<FieldError>,
    /// When to try again, in seconds.
    pub retry_after_s: Option<u64>,
    /// What was created before.
    pub created_id: Option<String>,
    /// The methods that the path takes.
    pub allow: Option<String>,
    /// A sentence about this very case.
    pub detail: Option<Box<str>>,
    /// Its numbers, for programs.
    pub details: Option<Box<Value>>,
}

impl ProblemDetails {
    /// A problem with one field.
    pub fn of_field(problem: Problem, field: impl Into<String>, detail: impl Into<String>) -> Self {
        let errors = vec![FieldError { field: field.into(), detail: detail.into() }];
        Self { errors, ..problem.into() }
    }

    /// A problem that passes by itself.
    pub fn retry_after_ms(problem: Problem, wait_ms: i64) -> Self {
        let seconds = u64::try_from(wait_ms).unwrap_or(0).div_ceil(1_000).max(1);
        Self { retry_after_s: Some(seconds), ..problem.into() }
    }

    /// A problem with a sentence about this very case.
    pub fn with_detail(problem: Problem, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into().into_boxed_str()), ..problem.into() }
    }

    /// A problem with its numbers.
    pub fn with_details(problem: Problem, details: Value) -> Self {
        Self { details: Some(Box::new(details)), ..problem.into() }
    }

    /// The answer, with the id of its request.
    pub fn response(&self, request_id: Option<&str>) -> HttpResponse {
        let Self { problem, errors, created_id, .. } = self;
        let body = ProblemBody {
            r#type: "about:blank",
            title: problem.title(),
            status: problem.status().as_u16(),
            code: problem.code(),
            detail: self.detail.as_deref(),
            details: self.details.as_deref(),
            retry_after: self.retry_after_s,
            errors,
            id: created_id.as_deref(),
            request_id,
        };
        let mut answer = HttpResponse::build(problem.status());
        if problem.status() == StatusCode::UNAUTHORIZED {
            answer.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        if *problem == Problem::InsufficientScope {
            answer.insert_header((WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\""));
        }
        if let Some(seconds) = self.retry_after_s {
            answer.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        if let Some(methods) = &self.allow {
            answer.insert_header(("Allow", methods.as_str()));
        }
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut answer = answer.content_type("application/problem+json").body(text);
        answer.extensions_mut().insert(self.clone());
        answer
    }
}

/// What an error's body holds (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// Always `about:blank`: `code` says what it is.
    r#type: &'static str,
    /// A sentence for people.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// The word for programs; docs/API.md lists them.
    #[schema(example = "unauthorized")]
    code: &'static str,
    /// A sentence about this very case.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// Of codes that say so: the numbers of this very case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    details: Option<&'a Value>,
    /// When to try again, in seconds, as in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// The fields at fault.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
    /// Of `already_created`: what was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// The id of the request, as in `X-Request-Id` and in our log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem {
    /// The answer without anything more to say.
    pub fn response(self) -> HttpResponse {
        ProblemDetails::from(self).response(None)
    }
}

impl From<Problem> for ProblemDetails {
    fn from(problem: Problem) -> Self {
        let retry_after_s =
            matches!(problem, Problem::Busy | Problem::Unavailable | Problem::KeysUnavailable).then_some(5);
        Self {
            problem,
            errors: Vec::new(),
            retry_after_s,
            created_id: None,
            allow: None,
            detail: None,
            details: None,
        }
    }
}

impl From<DbError> for ProblemDetails {
    fn from(error: DbError) -> Self {
        tracing::error!(error = chain_of(&error), "the database did not do what a request needs");
        match error {
            DbError::Open { .. } => Problem::Unavailable.into(),
            _ => Problem::Internal.into(),
        }
    }
}

impl From<NoConnection> for ProblemDetails {
    fn from(error: NoConnection) -> Self {
        tracing::error!(error = chain_of(&error), "a request got no connection to the database");
        Problem::Unavailable.into()
    }
}

impl From<DomainError> for ProblemDetails {
    fn from(error: DomainError) -> Self {
        match error {
            DomainError::Db(error) => error.into(),
            // Rules that a customer can run into have codes of their own, and do not come here.
            other => {
                tracing::error!(error = chain_of(&other), "a rule refused what a request needs");
                Problem::Internal.into()
            }
        }
    }
}

impl fmt::Display for ProblemDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.problem.code())
    }
}

impl ResponseError for ProblemDetails {
    fn status_code(&self) -> StatusCode {
        self.problem.status()
    }

    fn error_response(&self) -> HttpResponse {
        self.response(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_documented() {
        let documented = include_str!("../../docs/API.md");
        let mut seen = BTreeSet::new();
        for problem in Problem::ALL {
            assert!(seen.insert(problem.code()), "{} stands twice", problem.code());
            let row = format!("| `{}` | {} |", problem.code(), problem.status().as_u16());
            assert!(documented.contains(&row), "docs/API.md lacks {row}");
        }
    }
}
