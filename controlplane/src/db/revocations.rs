//! Keys that are refused: one row a fingerprint, issued by us or not.

use crate::db::many_rows::{self, Cell};
use crate::db::schema::revocations::dsl;
use crate::db::{DbError, ReadTx, WriteTx, bits_of, column_of, number, word};
use crate::domain::RevocationSource;
use apikey::Fingerprint;
use diesel::prelude::*;
use edgeformat::{Revocation, RevocationKind};
use std::collections::BTreeMap;

type Columns = (i64, i64, String);

/// Every revocation.
pub fn all(tx: &mut ReadTx<'_>) -> Result<Vec<Revocation>, DbError> {
    let rows: Vec<Columns> =
        dsl::revocations.select((dsl::fingerprint, dsl::in_force_from_s, dsl::kind)).load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// Which of these fingerprints are revoked already, or will be.
pub fn among(
    tx: &mut ReadTx<'_>,
    fingerprints: &[Fingerprint],
) -> Result<BTreeMap<Fingerprint, Revocation>, DbError> {
    let columns: Vec<i64> = fingerprints.iter().map(|fingerprint| column_of(fingerprint.get())).collect();
    let rows: Vec<Columns> = dsl::revocations
        .filter(dsl::fingerprint.eq_any(columns))
        .select((dsl::fingerprint, dsl::in_force_from_s, dsl::kind))
        .load(tx.connection())?;
    rows.into_iter()
        .map(|columns| row(columns).map(|revocation| (revocation.fingerprint, revocation)))
        .collect()
}

/// Adds a revocation of a fingerprint that has none.
pub fn insert(
    tx: &mut WriteTx<'_>,
    revocation: &Revocation,
    source: RevocationSource,
    now_ms: i64,
) -> Result<(), DbError> {
    let columns = (
        dsl::fingerprint.eq(column_of(revocation.fingerprint.get())),
        dsl::in_force_from_s.eq(column_of(revocation.in_force_from_s)),
        dsl::kind.eq(revocation.kind.word()),
        dsl::source.eq(source.word()),
        dsl::created_at_ms.eq(now_ms),
    );
    diesel::insert_into(dsl::revocations).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Adds many revocations of fingerprints that have none.
pub fn insert_many(
    tx: &mut WriteTx<'_>,
    revocations: &[Revocation],
    source: RevocationSource,
    now_ms: i64,
) -> Result<(), DbError> {
    let row = |revocation: &Revocation| {
        vec![
            Cell::Integer(column_of(revocation.fingerprint.get())),
            Cell::Integer(column_of(revocation.in_force_from_s)),
            Cell::Text(revocation.kind.word().to_owned()),
            Cell::Text(source.word().to_owned()),
            Cell::Integer(now_ms),
        ]
    };
    let rows: Vec<Vec<Cell>> = revocations.iter().map(row).collect();
    let columns = ["fingerprint", "in_force_from_s", "kind", "source", "created_at_ms"];
    many_rows::insert(tx.connection(), "revocations", &columns, &rows)
}

/// Where what is written about a fingerprint comes from.
pub fn source_of(tx: &mut ReadTx<'_>, fingerprint: Fingerprint) -> Result<Option<RevocationSource>, DbError> {
    let found: Option<String> = dsl::revocations
        .find(column_of(fingerprint.get()))
        .select(dsl::source)
        .first(tx.connection())
        .optional()?;
    found.as_deref().map(|text| word("revocations", "source", text)).transpose()
}

/// What owners revoked and somebody else revokes as well can only be given back by others: notes that of these.
pub fn not_by_owner_any_more(
    tx: &mut WriteTx<'_>,
    fingerprints: &[Fingerprint],
    source: RevocationSource,
) -> Result<(), DbError> {
    let columns: Vec<i64> = fingerprints.iter().map(|fingerprint| column_of(fingerprint.get())).collect();
    let of_owners = dsl::revocations
        .filter(dsl::fingerprint.eq_any(columns))
        .filter(dsl::source.eq(RevocationSource::Owner.word()));
    diesel::update(of_owners).set(dsl::source.eq(source.word())).execute(tx.connection())?;
    Ok(())
}

/// How many revocations have this source.
pub fn count_from(tx: &mut ReadTx<'_>, source: RevocationSource) -> Result<u64, DbError> {
    let of_source = dsl::revocations.filter(dsl::source.eq(source.word()));
    number("revocations", "count", of_source.count().get_result::<i64>(tx.connection())?)
}

/// At most `limit` revocations of a source with the time when they were written (unix milliseconds), by fingerprint, those
/// after a fingerprint.
pub fn page_from(
    tx: &mut ReadTx<'_>,
    source: RevocationSource,
    after: Option<Fingerprint>,
    limit: u32,
) -> Result<Vec<(Revocation, i64)>, DbError> {
    let after = after.map_or(-1, |fingerprint| column_of(fingerprint.get()));
    let rows: Vec<(i64, i64, String, i64)> = dsl::revocations
        .filter(dsl::source.eq(source.word()))
        .filter(dsl::fingerprint.gt(after))
        .order(dsl::fingerprint)
        .limit(i64::from(limit))
        .select((dsl::fingerprint, dsl::in_force_from_s, dsl::kind, dsl::created_at_ms))
        .load(tx.connection())?;
    rows.into_iter()
        .map(|(fingerprint, from, kind, created_at_ms)| Ok((row((fingerprint, from, kind))?, created_at_ms)))
        .collect()
}

/// Takes away what is written about a fingerprint.
pub fn remove(tx: &mut WriteTx<'_>, fingerprint: Fingerprint) -> Result<(), DbError> {
    diesel::delete(dsl::revocations.find(column_of(fingerprint.get()))).execute(tx.connection())?;
    Ok(())
}

/// Replaces what is written about a fingerprint.
pub fn update(
    tx: &mut WriteTx<'_>,
    revocation: &Revocation,
    source: RevocationSource,
    now_ms: i64,
) -> Result<(), DbError> {
    let columns = (
        dsl::in_force_from_s.eq(column_of(revocation.in_force_from_s)),
        dsl::kind.eq(revocation.kind.word()),
        dsl::source.eq(source.word()),
        dsl::created_at_ms.eq(now_ms),
    );
    let target = dsl::revocations.find(column_of(revocation.fingerprint.get()));
    diesel::update(target).set(columns).execute(tx.connection())?;
    Ok(())
}

fn row((fingerprint, in_force_from_s, kind): Columns) -> Result<Revocation, DbError> {
    let kind = match kind.as_str() {
        "revoked" => RevocationKind::Revoked,
        "expired" => RevocationKind::Expired,
        other => return Err(DbError::unexpected("revocations", format!("kind is `{other}`"))),
    };
    Ok(Revocation {
        fingerprint: Fingerprint::from_u64(bits_of(fingerprint)),
        in_force_from_s: number("revocations", "in_force_from_s", in_force_from_s)?,
        kind,
    })
}
