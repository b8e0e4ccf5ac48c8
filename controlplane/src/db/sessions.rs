//! Sessions: a sign-in and all that its refresh token is exchanged for.

use crate::db::schema::sessions::dsl;
use crate::db::{DbError, ReadTx, WriteTx, customer_id, word};
use crate::domain::sessions::EndReason;
use apikey::CustomerId;
use diesel::prelude::*;

/// A session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionRow {
    /// 32 hex digits.
    pub session_id: String,
    /// Whose.
    pub customer: CustomerId,
    /// The address that it began from.
    pub source: String,
    /// What the browser or program calls itself, at most 256 bytes.
    pub user_agent: String,
    /// When it began, unix milliseconds.
    pub created_at_ms: i64,
    /// When its refresh token was exchanged last, unix milliseconds.
    pub refreshed_at_ms: i64,
    /// When it ends if it is not refreshed, unix milliseconds.
    pub expires_at_ms: i64,
    /// When it was ended, and why.
    pub ended: Option<(i64, EndReason)>,
}

impl SessionRow {
    /// Whether it still serves.
    pub fn is_open(&self, now_ms: i64) -> bool {
        self.ended.is_none() && now_ms < self.expires_at_ms
    }
}

type Columns = (String, i64, String, String, i64, i64, i64, Option<i64>, Option<String>);
type Selection = (
    dsl::session_id,
    dsl::customer_id,
    dsl::source,
    dsl::user_agent,
    dsl::created_at_ms,
    dsl::refreshed_at_ms,
    dsl::expires_at_ms,
    dsl::ended_at_ms,
    dsl::end_reason,
);
const COLUMNS: Selection = (
    dsl::session_id,
    dsl::customer_id,
    dsl::source,
    dsl::user_agent,
    dsl::created_at_ms,
    dsl::refreshed_at_ms,
    dsl::expires_at_ms,
    dsl::ended_at_ms,
    dsl::end_reason,
);

/// The session with this id, open or not.
pub fn find(tx: &mut ReadTx<'_>, session_id: &str) -> Result<Option<SessionRow>, DbError> {
    let found: Option<Columns> =
        dsl::sessions.find(session_id).select(COLUMNS).first(tx.connection()).optional()?;
    found.map(row).transpose()
}

/// The open sessions of a customer, newest first; at most `limit`, all older than `before` (creation and id).
pub fn open_of(
    tx: &mut ReadTx<'_>,
    customer: CustomerId,
    before: Option<(i64, &str)>,
    limit: i64,
    now_ms: i64,
) -> Result<Vec<SessionRow>, DbError> {
    let (before_ms, before_id) = before.unwrap_or((i64::MAX, ""));
    let rows: Vec<Columns> = dsl::sessions
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .filter(dsl::ended_at_ms.is_null().and(dsl::expires_at_ms.gt(now_ms)))
        .filter(
            dsl::created_at_ms
                .lt(before_ms)
                .or(dsl::created_at_ms.eq(before_ms).and(dsl::session_id.lt(before_id))),
        )
        .order((dsl::created_at_ms.desc(), dsl::session_id.desc()))
        .limit(limit)
        .select(COLUMNS)
        .load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// The addresses from which a customer has begun the last `limit` sessions, ended ones included.
pub fn addresses_of(tx: &mut ReadTx<'_>, customer: CustomerId, limit: i64) -> Result<Vec<String>, DbError> {
    let addresses = dsl::sessions
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .order((dsl::created_at_ms.desc(), dsl::session_id.desc()))
        .limit(limit)
        .select(dsl::source)
        .load(tx.connection())?;
    Ok(addresses)
}

/// Adds an open session.
pub fn insert(tx: &mut WriteTx<'_>, row: &SessionRow) -> Result<(), DbError> {
    let columns = (
        dsl::session_id.eq(&row.session_id),
        dsl::customer_id.eq(i64::from(row.customer.get())),
        dsl::source.eq(&row.source),
        dsl::user_agent.eq(&row.user_agent),
        dsl::created_at_ms.eq(row.created_at_ms),
        dsl::refreshed_at_ms.eq(row.refreshed_at_ms),
        dsl::expires_at_ms.eq(row.expires_at_ms),
    );
    diesel::insert_into(dsl::sessions).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Notes that the refresh token was exchanged.
pub fn set_refreshed(
    tx: &mut WriteTx<'_>,
    session_id: &str,
    now_ms: i64,
    expires_at_ms: i64,
) -> Result<(), DbError> {
    let columns = (dsl::refreshed_at_ms.eq(now_ms), dsl::expires_at_ms.eq(expires_at_ms));
    diesel::update(dsl::sessions.find(session_id)).set(columns).execute(tx.connection())?;
    Ok(())
}

/// Ends an open session; `false` where there is no such.
pub fn end(tx: &mut WriteTx<'_>, session_id: &str, reason: EndReason, now_ms: i64) -> Result<bool, DbError> {
    let target =
        dsl::sessions.find(session_id).filter(dsl::ended_at_ms.is_null().and(dsl::expires_at_ms.gt(now_ms)));
    let columns = (dsl::ended_at_ms.eq(now_ms), dsl::end_reason.eq(reason.word()));
    Ok(diesel::update(target).set(columns).execute(tx.connection())? > 0)
}

/// Ends every open session of a customer but the one with the id `keep`, which may be empty; answers how many.
pub fn end_all(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
    keep: &str,
    reason: EndReason,
    now_ms: i64,
) -> Result<usize, DbError> {
    let target = dsl::sessions
        .filter(dsl::customer_id.eq(i64::from(customer.get())).and(dsl::session_id.ne(keep)))
        .filter(dsl::ended_at_ms.is_null().and(dsl::expires_at_ms.gt(now_ms)));
    let columns = (dsl::ended_at_ms.eq(now_ms), dsl::end_reason.eq(reason.word()));
    Ok(diesel::update(target).set(columns).execute(tx.connection())?)
}

fn row(
    (
        session_id,
        customer,
        source,
        user_agent,
        created_at_ms,
        refreshed_at_ms,
        expires_at_ms,
        ended_at_ms,
        end_reason,
    ): Columns,
) -> Result<SessionRow, DbError> {
    let end_reason = end_reason.map(|text| word("sessions", "end_reason", &text)).transpose()?;
    Ok(SessionRow {
        session_id,
        customer: customer_id("sessions", customer)?,
        source,
        user_agent,
        created_at_ms,
        refreshed_at_ms,
        expires_at_ms,
        ended: ended_at_ms.zip(end_reason),
    })
}
