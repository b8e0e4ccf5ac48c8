//! The edges, by name.

use crate::db::schema::edges::dsl;
use crate::db::{DbError, ReadTx, WriteTx, number};
use diesel::prelude::*;

/// An edge, without its token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EdgeRow {
    /// Its name; unique, also among removed ones.
    pub edge: String,
    /// Whether it has a token; the edge beside a `suiftly serve` has none.
    pub has_token: bool,
    /// When it was made known, unix milliseconds.
    pub created_at_ms: i64,
    /// When it was removed, unix milliseconds.
    pub removed_at_ms: Option<i64>,
    /// How many times it was asked to load everything anew.
    pub resyncs: u64,
    /// When it was heard last, unix milliseconds.
    pub seen_at_ms: Option<i64>,
    /// What it said then, as JSON.
    pub report: Option<String>,
}

type Columns = (String, Option<String>, i64, Option<i64>, i64, Option<i64>, Option<String>);
type AllColumns = (
    dsl::edge,
    dsl::token_sha256,
    dsl::created_at_ms,
    dsl::removed_at_ms,
    dsl::resyncs,
    dsl::seen_at_ms,
    dsl::report,
);
const COLUMNS: AllColumns = (
    dsl::edge,
    dsl::token_sha256,
    dsl::created_at_ms,
    dsl::removed_at_ms,
    dsl::resyncs,
    dsl::seen_at_ms,
    dsl::report,
);

/// Every edge, by name; removed ones included.
pub fn all(tx: &mut ReadTx<'_>) -> Result<Vec<EdgeRow>, DbError> {
    let rows: Vec<Columns> = dsl::edges.order(dsl::edge).select(COLUMNS).load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// The edge with this name.
pub fn find(tx: &mut ReadTx<'_>, edge: &str) -> Result<Option<EdgeRow>, DbError> {
    let found: Option<Columns> = dsl::edges.find(edge).select(COLUMNS).first(tx.connection()).optional()?;
    found.map(row).transpose()
}

/// The edge whose token has this digest; removed ones included.
pub fn find_by_digest(tx: &mut ReadTx<'_>, sha256_hex: &str) -> Result<Option<EdgeRow>, DbError> {
    let found: Option<Columns> = dsl::edges
        .filter(dsl::token_sha256.eq(sha256_hex))
        .select(COLUMNS)
        .first(tx.connection())
        .optional()?;
    found.map(row).transpose()
}

/// Adds an edge that was never heard.
pub fn insert(
    tx: &mut WriteTx<'_>,
    edge: &str,
    token_sha256_hex: Option<&str>,
    now_ms: i64,
) -> Result<(), DbError> {
    let columns = (dsl::edge.eq(edge), dsl::token_sha256.eq(token_sha256_hex), dsl::created_at_ms.eq(now_ms));
    diesel::insert_into(dsl::edges).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Gives an edge another token; the one before is refused from then on. One that was removed is back.
pub fn set_token(tx: &mut WriteTx<'_>, edge: &str, token_sha256_hex: &str) -> Result<(), DbError> {
    let columns = (dsl::token_sha256.eq(token_sha256_hex), dsl::removed_at_ms.eq(None::<i64>));
    diesel::update(dsl::edges.find(edge)).set(columns).execute(tx.connection())?;
    Ok(())
}

/// Notes that an edge was removed.
pub fn set_removed(tx: &mut WriteTx<'_>, edge: &str, now_ms: i64) -> Result<(), DbError> {
    diesel::update(dsl::edges.find(edge)).set(dsl::removed_at_ms.eq(now_ms)).execute(tx.connection())?;
    Ok(())
}

/// Notes what an edge has said. One that was removed stays so, unless it is the edge beside a `suiftly serve`, which has no
/// token that could be refused: it runs, so it counts.
pub fn set_report(tx: &mut WriteTx<'_>, edge: &str, report: &str, now_ms: i64) -> Result<(), DbError> {
    let columns = (dsl::seen_at_ms.eq(now_ms), dsl::report.eq(report));
    diesel::update(dsl::edges.find(edge)).set(columns).execute(tx.connection())?;
    let beside_serve = dsl::edges.filter(dsl::edge.eq(edge)).filter(dsl::token_sha256.is_null());
    diesel::update(beside_serve).set(dsl::removed_at_ms.eq(None::<i64>)).execute(tx.connection())?;
    Ok(())
}

/// Asks an edge to load everything anew.
pub fn ask_for_resync(tx: &mut WriteTx<'_>, edge: &str) -> Result<(), DbError> {
    let more = dsl::resyncs.eq(dsl::resyncs + 1);
    diesel::update(dsl::edges.find(edge)).set(more).execute(tx.connection())?;
    Ok(())
}

fn row(
    (edge, token_sha256, created_at_ms, removed_at_ms, resyncs, seen_at_ms, report): Columns,
) -> Result<EdgeRow, DbError> {
    Ok(EdgeRow {
        edge,
        has_token: token_sha256.is_some(),
        created_at_ms,
        removed_at_ms,
        resyncs: number("edges", "resyncs", resyncs)?,
        seen_at_ms,
        report,
    })
}
