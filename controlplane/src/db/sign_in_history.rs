//! What sign-ins leave behind, forgotten when it is old: challenges, sessions with their refresh tokens, and answers kept for
//! repeated requests. Each step removes a bounded number of rows.

use crate::db::many_rows::{self, Cell};
use crate::db::schema::{api_tokens, idempotency_keys, refresh_tokens, sessions, sign_in_challenges};
use crate::db::{DbError, ReadTx, WriteTx};
use diesel::prelude::*;

/// Forgets challenges that ended before a time (unix milliseconds), at most `limit`; answers how many.
pub fn forget_challenges(tx: &mut WriteTx<'_>, before_ms: i64, limit: i64) -> Result<u64, DbError> {
    use sign_in_challenges as c;
    let old: Vec<String> = c::table
        .filter(c::expires_at_ms.lt(before_ms))
        // One that was tried after its end counts as a failure of that moment.
        .filter(c::ended_at_ms.is_null().or(c::ended_at_ms.lt(before_ms)))
        .order(c::expires_at_ms)
        .limit(limit)
        .select(c::nonce_sha256)
        .load(tx.connection())?;
    let old = c::table.filter(c::nonce_sha256.eq_any(old));
    Ok(diesel::delete(old).execute(tx.connection())? as u64)
}

/// Sessions that ended, or could be continued no more, before a time (unix milliseconds), at most `limit`.
pub fn old_sessions(tx: &mut ReadTx<'_>, before_ms: i64, limit: i64) -> Result<Vec<String>, DbError> {
    let is_old = sessions::expires_at_ms.lt(before_ms).or(sessions::ended_at_ms.lt(before_ms));
    let of = sessions::table.filter(is_old).limit(limit).select(sessions::session_id);
    Ok(of.load(tx.connection())?)
}

/// Forgets refresh tokens of sessions, at most `limit`; answers how many.
pub fn forget_refresh_tokens(tx: &mut WriteTx<'_>, sessions: &[String], limit: i64) -> Result<u64, DbError> {
    use refresh_tokens as t;
    let old: Vec<String> = t::table
        .filter(t::session_id.eq_any(sessions))
        .limit(limit)
        .select(t::token_sha256)
        .load(tx.connection())?;
    let old = t::table.filter(t::token_sha256.eq_any(old));
    Ok(diesel::delete(old).execute(tx.connection())? as u64)
}

/// Forgets refresh tokens that expired before a time (unix milliseconds), at most `limit`: those of sessions that go on.
pub fn forget_expired_refresh_tokens(
    tx: &mut WriteTx<'_>,
    before_ms: i64,
    limit: i64,
) -> Result<u64, DbError> {
    use refresh_tokens as t;
    let old: Vec<String> = t::table
        .filter(t::expires_at_ms.lt(before_ms))
        .order(t::expires_at_ms)
        .limit(limit)
        .select(t::token_sha256)
        .load(tx.connection())?;
    let old = t::table.filter(t::token_sha256.eq_any(old));
    Ok(diesel::delete(old).execute(tx.connection())? as u64)
}

/// Forgets API tokens that expired before a time (unix milliseconds), at most `limit`.
pub fn forget_api_tokens(tx: &mut WriteTx<'_>, before_ms: i64, limit: i64) -> Result<u64, DbError> {
    use api_tokens as t;
    let old: Vec<String> = t::table
        .filter(t::expires_at_ms.lt(before_ms))
        .order(t::expires_at_ms)
        .limit(limit)
        .select(t::token_id)
        .load(tx.connection())?;
    let old = t::table.filter(t::token_id.eq_any(old));
    Ok(diesel::delete(old).execute(tx.connection())? as u64)
}

/// Forgets sessions; answers how many.
pub fn forget_sessions(tx: &mut WriteTx<'_>, sessions: &[String]) -> Result<u64, DbError> {
    let old = sessions::table.filter(sessions::session_id.eq_any(sessions));
    Ok(diesel::delete(old).execute(tx.connection())? as u64)
}

/// Forgets answers to requests that were made before a time (unix milliseconds), at most `limit`; answers how many.
pub fn forget_answers(tx: &mut WriteTx<'_>, before_ms: i64, limit: i64) -> Result<u64, DbError> {
    use idempotency_keys as k;
    let old: Vec<(i64, String)> = k::table
        .filter(k::created_at_ms.lt(before_ms))
        .order(k::created_at_ms)
        .limit(limit)
        .select((k::customer_id, k::idempotency_key))
        .load(tx.connection())?;
    let keys: Vec<Vec<Cell>> =
        old.into_iter().map(|(customer, key)| vec![Cell::Integer(customer), Cell::Text(key)]).collect();
    many_rows::delete(tx.connection(), "idempotency_keys", &["customer_id", "idempotency_key"], &keys)?;
    Ok(keys.len() as u64)
}
