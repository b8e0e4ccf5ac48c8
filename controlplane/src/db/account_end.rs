//! What ends of an account: sessions and API tokens, one, or all at once.

use crate::db::schema::{api_tokens, sessions};
use crate::db::{CustomerLock, DbError, WriteTx};
use crate::domain::sessions::EndReason;
use diesel::prelude::*;

/// Ends every open session of the locked customer, and answers how many there were.
pub fn end_open_sessions(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    reason: EndReason,
    now_ms: i64,
) -> Result<u64, DbError> {
    let open = sessions::table
        .filter(sessions::customer_id.eq(i64::from(lock.customer().get())))
        .filter(sessions::ended_at_ms.is_null())
        .filter(sessions::expires_at_ms.gt(now_ms));
    let end = (sessions::ended_at_ms.eq(now_ms), sessions::end_reason.eq(reason.word()));
    Ok(diesel::update(open).set(end).execute(tx.connection())? as u64)
}

/// Ends a session of the locked customer; `false` where it was not open.
pub fn end_session(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    session: &str,
    reason: EndReason,
    now_ms: i64,
) -> Result<bool, DbError> {
    let open = sessions::table
        .filter(sessions::session_id.eq(session))
        .filter(sessions::customer_id.eq(i64::from(lock.customer().get())))
        .filter(sessions::ended_at_ms.is_null())
        .filter(sessions::expires_at_ms.gt(now_ms));
    let end = (sessions::ended_at_ms.eq(now_ms), sessions::end_reason.eq(reason.word()));
    Ok(diesel::update(open).set(end).execute(tx.connection())? > 0)
}

/// Revokes every API token of the locked customer, and answers how many were not revoked before.
pub fn revoke_api_tokens(tx: &mut WriteTx<'_>, lock: &CustomerLock, now_ms: i64) -> Result<u64, DbError> {
    let unrevoked = api_tokens::table
        .filter(api_tokens::customer_id.eq(i64::from(lock.customer().get())))
        .filter(api_tokens::revoked_at_ms.is_null());
    let end = (api_tokens::revoked_at_ms.eq(now_ms), api_tokens::version.eq(api_tokens::version + 1));
    Ok(diesel::update(unrevoked).set(end).execute(tx.connection())? as u64)
}
