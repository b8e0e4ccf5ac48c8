//! Texts that were given out to be signed, by the digest of the nonce in each.

use crate::db::schema::sign_in_challenges::dsl;
use crate::db::{DbError, ReadTx, WriteTx};
use crate::domain::WalletAddress;
use diesel::prelude::*;

/// How a challenge ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Its signature was good.
    SignedIn,
    /// Its signature was not.
    Failed,
    /// A newer one took its place.
    Displaced,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::SignedIn => "signed_in",
            Self::Failed => "failed",
            Self::Displaced => "displaced",
        }
    }
}

/// A challenge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChallengeRow {
    /// SHA-256 of the nonce, hex.
    pub nonce_sha256: String,
    /// SHA-256 of the whole text, hex.
    pub message_sha256: String,
    /// Whose wallet should sign; an address in its one spelling.
    pub wallet_address: String,
    /// Who asked for it.
    pub source: String,
    /// When it was given out, unix milliseconds.
    pub created_at_ms: i64,
    /// From when on it is refused, unix milliseconds.
    pub expires_at_ms: i64,
    /// When it was used up, unix milliseconds.
    pub ended_at_ms: Option<i64>,
}

/// The challenge with this nonce.
pub fn find(tx: &mut ReadTx<'_>, nonce_sha256: &str) -> Result<Option<ChallengeRow>, DbError> {
    type Columns = (String, String, String, i64, i64, Option<i64>);
    let found: Option<Columns> = dsl::sign_in_challenges
        .find(nonce_sha256)
        .select((
            dsl::message_sha256,
            dsl::wallet_address,
            dsl::source,
            dsl::created_at_ms,
            dsl::expires_at_ms,
            dsl::ended_at_ms,
        ))
        .first(tx.connection())
        .optional()?;
    Ok(found.map(|(message_sha256, wallet_address, source, created_at_ms, expires_at_ms, ended_at_ms)| {
        ChallengeRow {
            nonce_sha256: nonce_sha256.to_owned(),
            message_sha256,
            wallet_address,
            source,
            created_at_ms,
            expires_at_ms,
            ended_at_ms,
        }
    }))
}

/// The digests of nonces and the sources of a wallet's open challenges, oldest first.
pub fn open_of(
    tx: &mut ReadTx<'_>,
    wallet: &WalletAddress,
    now_ms: i64,
) -> Result<Vec<(String, String)>, DbError> {
    let rows = dsl::sign_in_challenges
        .filter(dsl::wallet_address.eq(wallet.as_str()))
        .filter(dsl::ended_at_ms.is_null().and(dsl::expires_at_ms.gt(now_ms)))
        .order((dsl::created_at_ms, dsl::nonce_sha256))
        .select((dsl::nonce_sha256, dsl::source))
        .load(tx.connection())?;
    Ok(rows)
}

/// When signatures of a wallet failed that came from a source, since a moment; unix milliseconds, oldest first.
pub fn failures_since(
    tx: &mut ReadTx<'_>,
    wallet: &WalletAddress,
    source: &str,
    since_ms: i64,
) -> Result<Vec<i64>, DbError> {
    let rows: Vec<Option<i64>> = dsl::sign_in_challenges
        .filter(dsl::wallet_address.eq(wallet.as_str()))
        .filter(dsl::failed_source.eq(source).and(dsl::ended_at_ms.gt(since_ms)))
        .order(dsl::ended_at_ms)
        .select(dsl::ended_at_ms)
        .load(tx.connection())?;
    Ok(rows.into_iter().flatten().collect())
}

/// Adds a challenge that is open.
pub fn insert(tx: &mut WriteTx<'_>, row: &ChallengeRow) -> Result<(), DbError> {
    let columns = (
        dsl::nonce_sha256.eq(&row.nonce_sha256),
        dsl::message_sha256.eq(&row.message_sha256),
        dsl::wallet_address.eq(&row.wallet_address),
        dsl::source.eq(&row.source),
        dsl::created_at_ms.eq(row.created_at_ms),
        dsl::expires_at_ms.eq(row.expires_at_ms),
    );
    diesel::insert_into(dsl::sign_in_challenges).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Uses a challenge up. `failed_source`: from where, if its signature was not good.
pub fn end(
    tx: &mut WriteTx<'_>,
    nonce_sha256: &str,
    outcome: Outcome,
    failed_source: Option<&str>,
    now_ms: i64,
) -> Result<(), DbError> {
    let columns =
        (dsl::ended_at_ms.eq(now_ms), dsl::outcome.eq(outcome.word()), dsl::failed_source.eq(failed_source));
    let target = dsl::sign_in_challenges.find(nonce_sha256);
    diesel::update(target).set(columns).execute(tx.connection())?;
    Ok(())
}
