//! Tokens of operators, by the digest of each.

use crate::db::schema::operator_tokens::dsl;
use crate::db::{DbError, ReadTx, WriteTx};
use diesel::prelude::*;

/// A token, without its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperatorTokenRow {
    /// What it was named; unique, also among revoked ones.
    pub name: String,
    /// When it was made, unix milliseconds.
    pub created_at_ms: i64,
    /// From when on it is refused, unix milliseconds.
    pub expires_at_ms: i64,
    /// When it was revoked, unix milliseconds.
    pub revoked_at_ms: Option<i64>,
}

type Columns = (String, i64, i64, Option<i64>);
const COLUMNS: (dsl::name, dsl::created_at_ms, dsl::expires_at_ms, dsl::revoked_at_ms) =
    (dsl::name, dsl::created_at_ms, dsl::expires_at_ms, dsl::revoked_at_ms);

/// The token with this digest, expired and revoked ones included.
pub fn find_by_digest(tx: &mut ReadTx<'_>, sha256_hex: &str) -> Result<Option<OperatorTokenRow>, DbError> {
    let found: Option<Columns> = dsl::operator_tokens
        .filter(dsl::token_sha256.eq(sha256_hex))
        .select(COLUMNS)
        .first(tx.connection())
        .optional()?;
    Ok(found.map(row))
}

/// The token with this name.
pub fn find(tx: &mut ReadTx<'_>, name: &str) -> Result<Option<OperatorTokenRow>, DbError> {
    let found: Option<Columns> =
        dsl::operator_tokens.find(name).select(COLUMNS).first(tx.connection()).optional()?;
    Ok(found.map(row))
}

/// Every token, by name.
pub fn all(tx: &mut ReadTx<'_>) -> Result<Vec<OperatorTokenRow>, DbError> {
    let rows: Vec<Columns> = dsl::operator_tokens.order(dsl::name).select(COLUMNS).load(tx.connection())?;
    Ok(rows.into_iter().map(row).collect())
}

/// Adds a token that is not revoked.
pub fn insert(
    tx: &mut WriteTx<'_>,
    name: &str,
    sha256_hex: &str,
    now_ms: i64,
    expires_at_ms: i64,
) -> Result<(), DbError> {
    let columns = (
        dsl::name.eq(name),
        dsl::token_sha256.eq(sha256_hex),
        dsl::created_at_ms.eq(now_ms),
        dsl::expires_at_ms.eq(expires_at_ms),
    );
    diesel::insert_into(dsl::operator_tokens).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Notes that a token was revoked.
pub fn set_revoked(tx: &mut WriteTx<'_>, name: &str, now_ms: i64) -> Result<(), DbError> {
    let target = dsl::operator_tokens.find(name);
    diesel::update(target).set(dsl::revoked_at_ms.eq(now_ms)).execute(tx.connection())?;
    Ok(())
}

fn row((name, created_at_ms, expires_at_ms, revoked_at_ms): Columns) -> OperatorTokenRow {
    OperatorTokenRow { name, created_at_ms, expires_at_ms, revoked_at_ms }
}
