//! Refresh tokens of sessions, by the digest of each; exchanged ones stay, since one that comes again was stolen.

use crate::db::schema::refresh_tokens::dsl;
use crate::db::{DbError, ReadTx, WriteTx};
use diesel::prelude::*;

/// A refresh token, without its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefreshTokenRow {
    /// Its session.
    pub session_id: String,
    /// From when on it is refused, unix milliseconds.
    pub expires_at_ms: i64,
    /// When it was exchanged for another, unix milliseconds.
    pub replaced_at_ms: Option<i64>,
}

/// The token with this digest.
pub fn find(tx: &mut ReadTx<'_>, sha256_hex: &str) -> Result<Option<RefreshTokenRow>, DbError> {
    let found: Option<(String, i64, Option<i64>)> = dsl::refresh_tokens
        .find(sha256_hex)
        .select((dsl::session_id, dsl::expires_at_ms, dsl::replaced_at_ms))
        .first(tx.connection())
        .optional()?;
    Ok(found.map(|(session_id, expires_at_ms, replaced_at_ms)| RefreshTokenRow {
        session_id,
        expires_at_ms,
        replaced_at_ms,
    }))
}

/// Adds a token that was not exchanged.
pub fn insert(
    tx: &mut WriteTx<'_>,
    sha256_hex: &str,
    session_id: &str,
    now_ms: i64,
    expires_at_ms: i64,
) -> Result<(), DbError> {
    let columns = (
        dsl::token_sha256.eq(sha256_hex),
        dsl::session_id.eq(session_id),
        dsl::created_at_ms.eq(now_ms),
        dsl::expires_at_ms.eq(expires_at_ms),
    );
    diesel::insert_into(dsl::refresh_tokens).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Notes that a token was exchanged.
pub fn set_replaced(tx: &mut WriteTx<'_>, sha256_hex: &str, now_ms: i64) -> Result<(), DbError> {
    let target = dsl::refresh_tokens.find(sha256_hex);
    diesel::update(target).set(dsl::replaced_at_ms.eq(now_ms)).execute(tx.connection())?;
    Ok(())
}
