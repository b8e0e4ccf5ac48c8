//! API tokens of customers, by id and by the digest of each.

use crate::db::schema::api_tokens::dsl;
use crate::db::{CustomerLock, DbError, ReadTx, WriteTx, customer_id, number};
use crate::domain::api_tokens::Scopes;
use apikey::CustomerId;
use diesel::prelude::*;

/// An API token, without its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiTokenRow {
    /// 32 hex digits.
    pub token_id: String,
    /// Whose.
    pub customer: CustomerId,
    /// What the customer calls it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made, unix milliseconds.
    pub created_at_ms: i64,
    /// From when on it is refused, unix milliseconds.
    pub expires_at_ms: i64,
    /// When it was used last, to the minute, unix milliseconds.
    pub last_used_at_ms: Option<i64>,
    /// When it was revoked, unix milliseconds.
    pub revoked_at_ms: Option<i64>,
    /// Counts its changes, from 1.
    pub version: i64,
}

type Columns = (String, i64, String, String, i64, i64, Option<i64>, Option<i64>, i64);
type Selection = (
    dsl::token_id,
    dsl::customer_id,
    dsl::name,
    dsl::scopes,
    dsl::created_at_ms,
    dsl::expires_at_ms,
    dsl::last_used_at_ms,
    dsl::revoked_at_ms,
    dsl::version,
);
const COLUMNS: Selection = (
    dsl::token_id,
    dsl::customer_id,
    dsl::name,
    dsl::scopes,
    dsl::created_at_ms,
    dsl::expires_at_ms,
    dsl::last_used_at_ms,
    dsl::revoked_at_ms,
    dsl::version,
);

/// The token with this digest, expired and revoked ones included.
pub fn find_by_digest(tx: &mut ReadTx<'_>, sha256_hex: &str) -> Result<Option<ApiTokenRow>, DbError> {
    let found: Option<Columns> = dsl::api_tokens
        .filter(dsl::token_sha256.eq(sha256_hex))
        .select(COLUMNS)
        .first(tx.connection())
        .optional()?;
    found.map(row).transpose()
}

/// A customer's token.
pub fn find(
    tx: &mut ReadTx<'_>,
    customer: CustomerId,
    token_id: &str,
) -> Result<Option<ApiTokenRow>, DbError> {
    let found: Option<Columns> = dsl::api_tokens
        .find(token_id)
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .select(COLUMNS)
        .first(tx.connection())
        .optional()?;
    found.map(row).transpose()
}

/// A customer's tokens that were not revoked, newest first, expired ones included; at most `limit`, all older than `before` (creation
/// and id).
pub fn of_customer(
    tx: &mut ReadTx<'_>,
    customer: CustomerId,
    before: Option<(i64, &str)>,
    limit: i64,
) -> Result<Vec<ApiTokenRow>, DbError> {
    let (before_ms, before_id) = before.unwrap_or((i64::MAX, ""));
    let rows: Vec<Columns> = dsl::api_tokens
        .filter(dsl::customer_id.eq(i64::from(customer.get())).and(dsl::revoked_at_ms.is_null()))
        .filter(
            dsl::created_at_ms
                .lt(before_ms)
                .or(dsl::created_at_ms.eq(before_ms).and(dsl::token_id.lt(before_id))),
        )
        .order((dsl::created_at_ms.desc(), dsl::token_id.desc()))
        .limit(limit)
        .select(COLUMNS)
        .load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// When the token was made before which a customer has made `later` others, unix milliseconds.
pub fn made_at(tx: &mut ReadTx<'_>, customer: CustomerId, later: i64) -> Result<Option<i64>, DbError> {
    let of_customer = dsl::api_tokens.filter(dsl::customer_id.eq(i64::from(customer.get())));
    let newest_first = of_customer.order((dsl::created_at_ms.desc(), dsl::token_id.desc()));
    Ok(newest_first.offset(later).select(dsl::created_at_ms).first(tx.connection()).optional()?)
}

/// How many tokens of a customer are good now.
pub fn count_good(tx: &mut ReadTx<'_>, customer: CustomerId, now_ms: i64) -> Result<u64, DbError> {
    let count: i64 = dsl::api_tokens
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .filter(dsl::revoked_at_ms.is_null().and(dsl::expires_at_ms.gt(now_ms)))
        .count()
        .get_result(tx.connection())?;
    number("api_tokens", "count", count)
}

/// Adds a token.
pub fn insert(tx: &mut WriteTx<'_>, row: &ApiTokenRow, sha256_hex: &str) -> Result<(), DbError> {
    let columns = (
        dsl::token_id.eq(&row.token_id),
        dsl::customer_id.eq(i64::from(row.customer.get())),
        dsl::name.eq(&row.name),
        dsl::token_sha256.eq(sha256_hex),
        dsl::scopes.eq(row.scopes.to_string()),
        dsl::created_at_ms.eq(row.created_at_ms),
        dsl::expires_at_ms.eq(row.expires_at_ms),
        dsl::version.eq(row.version),
    );
    diesel::insert_into(dsl::api_tokens).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Gives a token another name.
pub fn rename(tx: &mut WriteTx<'_>, token_id: &str, name: &str) -> Result<(), DbError> {
    let columns = (dsl::name.eq(name), dsl::version.eq(dsl::version + 1));
    diesel::update(dsl::api_tokens.find(token_id)).set(columns).execute(tx.connection())?;
    Ok(())
}

/// Notes that a token was revoked.
pub fn set_revoked(tx: &mut WriteTx<'_>, token_id: &str, now_ms: i64) -> Result<(), DbError> {
    let columns = (dsl::revoked_at_ms.eq(now_ms), dsl::version.eq(dsl::version + 1));
    diesel::update(dsl::api_tokens.find(token_id)).set(columns).execute(tx.connection())?;
    Ok(())
}

/// Revokes every token of the locked customer, and answers how many were not revoked before.
pub fn revoke_all(tx: &mut WriteTx<'_>, lock: &CustomerLock, now_ms: i64) -> Result<u64, DbError> {
    let unrevoked = dsl::api_tokens
        .filter(dsl::customer_id.eq(i64::from(lock.customer().get())).and(dsl::revoked_at_ms.is_null()));
    let columns = (dsl::revoked_at_ms.eq(now_ms), dsl::version.eq(dsl::version + 1));
    Ok(diesel::update(unrevoked).set(columns).execute(tx.connection())? as u64)
}

/// Notes that a token was used.
pub fn set_last_used(tx: &mut WriteTx<'_>, token_id: &str, now_ms: i64) -> Result<(), DbError> {
    let target = dsl::api_tokens.find(token_id);
    diesel::update(target).set(dsl::last_used_at_ms.eq(now_ms)).execute(tx.connection())?;
    Ok(())
}

fn row(
    (token_id, customer, name, scopes, created_at_ms, expires_at_ms, last_used_at_ms, revoked_at_ms, version): Columns,
) -> Result<ApiTokenRow, DbError> {
    Ok(ApiTokenRow {
        token_id,
        customer: customer_id("api_tokens", customer)?,
        name,
        scopes: scopes
            .parse()
            .map_err(|_| DbError::unexpected("api_tokens", format!("scopes is `{scopes}`")))?,
        created_at_ms,
        expires_at_ms,
        last_used_at_ms,
        revoked_at_ms,
        version,
    })
}
