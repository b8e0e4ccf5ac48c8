//! A customer's sessions as support sees them: read only, and nothing that a token could be made of.

use crate::db::schema::sessions;
use crate::db::{DbError, ReadTx, number};
use apikey::CustomerId;
use diesel::prelude::*;

/// A session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionSeen {
    /// Its id; nobody signs in with it.
    pub session: String,
    /// From which address or network it was begun.
    pub source: String,
    /// With which program, as that says itself.
    pub user_agent: String,
    /// When it was begun, unix milliseconds.
    pub created_at_ms: i64,
    /// When its tokens were last exchanged for new ones, unix milliseconds.
    pub refreshed_at_ms: i64,
    /// When it ends without another exchange, unix milliseconds.
    pub expires_at_ms: i64,
    /// When it was ended, unix milliseconds.
    pub ended_at_ms: Option<i64>,
    /// Why.
    pub end_reason: Option<String>,
}

type Columns = (String, String, String, i64, i64, i64, Option<i64>, Option<String>);

/// The newest sessions of a customer, at most `limit`: those open at `open_at_ms` (unix milliseconds), or all where it is
/// none.
pub fn of_customer(
    tx: &mut ReadTx<'_>,
    customer: CustomerId,
    open_at_ms: Option<i64>,
    limit: i64,
) -> Result<Vec<SessionSeen>, DbError> {
    let mut query = sessions::table.filter(sessions::customer_id.eq(i64::from(customer.get()))).into_boxed();
    if let Some(now_ms) = open_at_ms {
        query = query.filter(sessions::ended_at_ms.is_null()).filter(sessions::expires_at_ms.gt(now_ms));
    }
    let rows: Vec<Columns> = query
        .order((sessions::created_at_ms.desc(), sessions::session_id))
        .limit(limit)
        .select((
            sessions::session_id,
            sessions::source,
            sessions::user_agent,
            sessions::created_at_ms,
            sessions::refreshed_at_ms,
            sessions::expires_at_ms,
            sessions::ended_at_ms,
            sessions::end_reason,
        ))
        .load(tx.connection())?;
    Ok(rows.into_iter().map(row).collect())
}

/// How many sessions of a customer are open.
pub fn count_open(tx: &mut ReadTx<'_>, customer: CustomerId, now_ms: i64) -> Result<u64, DbError> {
    let open = sessions::table
        .filter(sessions::customer_id.eq(i64::from(customer.get())))
        .filter(sessions::ended_at_ms.is_null())
        .filter(sessions::expires_at_ms.gt(now_ms));
    number("sessions", "count", open.count().get_result::<i64>(tx.connection())?)
}

fn row(
    (session, source, user_agent, created_at_ms, refreshed_at_ms, expires_at_ms, ended_at_ms, end_reason): Columns,
) -> SessionSeen {
    SessionSeen {
        session,
        source,
        user_agent,
        created_at_ms,
        refreshed_at_ms,
        expires_at_ms,
        ended_at_ms,
        end_reason,
    }
}
