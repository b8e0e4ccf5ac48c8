//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that creates or charges can be sent again when its
//! answer was lost.
//!
//! The answer is kept in the same transaction as what was done, so that both are there or none; writers take turns, so that of
//! two that come at once one waits and then finds the answer. What is kept holds no secret: who makes a thing with a secret
//! answers a repetition with its id ([`Problem::AlreadyCreated`]), or makes the secret again from the row.

use crate::db::WriteTx;
use crate::db::idempotency_keys::{self, AnsweredRow, KEPT_MS};
use crate::problem::{Problem, ProblemDetails};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use apikey::CustomerId;
use std::future::{Ready, ready};

/// The longest key, in bytes.
const KEY_LEN_MAX: usize = 255;
const FIELD: &str = "Idempotency-Key";

/// The key of a request, if it has one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey(Option<String>);

impl FromRequest for IdempotencyKey {
    type Error = ProblemDetails;
    type Future = Ready<Result<Self, ProblemDetails>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut values = request.headers().get_all(FIELD);
        let key = match (values.next(), values.next()) {
            (None, _) => Ok(Self(None)),
            (Some(value), None) => {
                let text = value.to_str().ok().filter(|text| is_key(text));
                text.map(|text| Self(Some(text.to_owned()))).ok_or(())
            }
            (Some(_), Some(_)) => Err(()),
        };
        let problem = || {
            let detail = "write 1 to 255 visible ASCII characters, such as a UUID";
            ProblemDetails::of_field(Problem::BadIdempotencyKey, FIELD, detail)
        };
        ready(key.map_err(|()| problem()))
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.len() <= KEY_LEN_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Once<T> {
    /// It was done now.
    Now(T),
    /// It was done before; this was its answer.
    Before(AnsweredRow),
}

/// What is kept of a request that was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// What kind of thing was made.
    pub kind: &'static str,
    /// Its id.
    pub made: String,
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer, without any secret.
    pub answer: String,
}

/// Does what is asked, unless the same request was done before under this key.
///
/// # Errors
/// [`Problem::IdempotencyKeyReused`] where the key stood on another request, or what `act` answers.
pub fn once<T>(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
    key: &IdempotencyKey,
    request_sha256: &str,
    now_ms: i64,
    act: impl FnOnce(&mut WriteTx<'_>) -> Result<(T, Kept), ProblemDetails>,
) -> Result<Once<T>, ProblemDetails> {
    let Some(key) = &key.0 else { return act(tx).map(|(value, _)| Once::Now(value)) };
    if let Some(answered) = idempotency_keys::find(tx, customer, key, now_ms.saturating_sub(KEPT_MS))? {
        return if answered.request_sha256 == request_sha256 {
            Ok(Once::Before(answered))
        } else {
            Err(Problem::IdempotencyKeyReused.into())
        };
    }
    let (value, Kept { kind, made, status, answer }) = act(tx)?;
    let row = AnsweredRow {
        request_sha256: request_sha256.to_owned(),
        kind: kind.to_owned(),
        made,
        status,
        answer,
    };
    idempotency_keys::store(tx, customer, key, &row, now_ms)?;
    Ok(Once::Now(value))
}
