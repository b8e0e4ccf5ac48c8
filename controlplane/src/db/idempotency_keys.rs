//! Answers to requests with an `Idempotency-Key`.

use crate::db::schema::idempotency_keys::dsl;
use crate::db::{DbError, ReadTx, WriteTx, number};
use apikey::CustomerId;
use diesel::prelude::*;

/// How long an answer is kept: a day, in milliseconds.
pub const KEPT_MS: i64 = 24 * 3_600 * 1_000;

/// A request that was answered, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnsweredRow {
    /// Digest of the request: method, path and body; SHA-256, hex.
    pub request_sha256: String,
    /// What kind of thing was made.
    pub kind: String,
    /// Its id.
    pub made: String,
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer, without any secret.
    pub answer: String,
}

/// The answer that was given to a key since `since_ms`.
pub fn find(
    tx: &mut ReadTx<'_>,
    customer: CustomerId,
    key: &str,
    since_ms: i64,
) -> Result<Option<AnsweredRow>, DbError> {
    let found: Option<(String, String, String, i64, String)> = dsl::idempotency_keys
        .find((i64::from(customer.get()), key))
        .filter(dsl::created_at_ms.gt(since_ms))
        .select((dsl::request_sha256, dsl::kind, dsl::made, dsl::status, dsl::answer))
        .first(tx.connection())
        .optional()?;
    let row = |(request_sha256, kind, made, status, answer)| {
        let status = number("idempotency_keys", "status", status)?;
        Ok(AnsweredRow { request_sha256, kind, made, status, answer })
    };
    found.map(row).transpose()
}

/// Keeps an answer; one that has had its day under the same key goes.
pub fn store(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
    key: &str,
    row: &AnsweredRow,
    now_ms: i64,
) -> Result<(), DbError> {
    let customer = i64::from(customer.get());
    diesel::delete(dsl::idempotency_keys.find((customer, key))).execute(tx.connection())?;
    let columns = (
        dsl::customer_id.eq(customer),
        dsl::idempotency_key.eq(key),
        dsl::request_sha256.eq(&row.request_sha256),
        dsl::kind.eq(&row.kind),
        dsl::made.eq(&row.made),
        dsl::status.eq(i64::from(row.status)),
        dsl::answer.eq(&row.answer),
        dsl::created_at_ms.eq(now_ms),
    );
    diesel::insert_into(dsl::idempotency_keys).values(columns).execute(tx.connection())?;
    Ok(())
}
