//! Revoking keys, ours and others'.

use crate::changes::record::record_many;
use crate::db::stream::Position;
use crate::db::{Database, DbError, WriteTx, api_keys, revocations, stream};
use crate::domain::activity::{Action, note_many};
use crate::domain::{DomainError, RevocationSource};
use apikey::{CustomerId, Fingerprint, Version};
use edgeformat::{Change, PolicyKey, Revocation, RevocationKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many revocations one write transaction takes: long enough to spread the cost of its fsync, short
/// enough that another writer waits well below a second.
pub const CHUNK_MAX: usize = 5_000;
/// How long one rests between two of them. SQLite keeps no queue: who waits looks again every 100 ms at the latest, and
/// would hardly ever find the moment between a commit and the next begin.
pub const CHUNK_PAUSE: Duration = Duration::from_millis(125);

/// A fingerprint that a key can have, or could have: its version exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RevocableFingerprint(Fingerprint);

/// No key can have this fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "no key can have the fingerprint {fingerprint}: its first two bits say version {version}, and there are only 0 and 1"
)]
pub struct ImpossibleFingerprint {
    fingerprint: Fingerprint,
    version: u8,
}

impl RevocableFingerprint {
    /// The fingerprint.
    pub const fn get(self) -> Fingerprint {
        self.0
    }
}

impl TryFrom<Fingerprint> for RevocableFingerprint {
    type Error = ImpossibleFingerprint;

    fn try_from(fingerprint: Fingerprint) -> Result<Self, ImpossibleFingerprint> {
        let version = fingerprint.version_bits();
        match Version::from_number(version) {
            Some(_) => Ok(Self(fingerprint)),
            None => Err(ImpossibleFingerprint { fingerprint, version }),
        }
    }
}

/// What a call of [`revoke`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revoked {
    /// How many were not revoked before.
    pub revoked: u64,
    /// How many were.
    pub already: u64,
    /// How many of both we have not issued.
    pub unknown: u64,
    /// The stream afterwards.
    pub position: Position,
}

/// Revokes at most [`CHUNK_MAX`] keys in one transaction, from now on. Keys that we never issued, too: one
/// that was issued elsewhere can be stolen.
///
/// # Errors
/// [`DomainError`]; then nothing has happened.
pub fn revoke(
    database: &mut Database,
    chunk: &[RevocableFingerprint],
    source: RevocationSource,
    now_ms: i64,
) -> Result<Revoked, DomainError> {
    if chunk.len() > CHUNK_MAX {
        return Err(DomainError::Refused(format!("at most {CHUNK_MAX} keys can be revoked at once")));
    }
    let fingerprints: Vec<Fingerprint> = chunk.iter().map(|fingerprint| fingerprint.get()).collect();
    database.write(|tx| revoke_in(tx, &fingerprints, source, now_ms))
}

/// The same in a transaction that does more.
pub(in crate::domain) fn revoke_in(
    tx: &mut WriteTx<'_>,
    fingerprints: &[Fingerprint],
    source: RevocationSource,
    now_ms: i64,
) -> Result<Revoked, DomainError> {
    let issued = api_keys::issued_among(tx, fingerprints)?;
    let mut known = revocations::among(tx, fingerprints)?;
    let (mut already, mut unknown) = (Vec::new(), 0);
    let (mut new, mut revoked) = (Vec::new(), Vec::new());
    for fingerprint in fingerprints.iter().copied() {
        unknown += u64::from(!issued.contains_key(&fingerprint));
        let wanted = Revocation { fingerprint, in_force_from_s: 0, kind: RevocationKind::Revoked };
        let before = known.insert(fingerprint, wanted);
        if before == Some(wanted) {
            already.push(fingerprint);
            continue;
        }
        if before.is_some() {
            // An expiry, or a revocation that was to come later: now it is in force.
            revocations::update(tx, &wanted, source, now_ms)?;
        } else {
            new.push(wanted);
        }
        revoked.push(wanted);
    }
    if source != RevocationSource::Owner && !already.is_empty() {
        revocations::not_by_owner_any_more(tx, &already, source)?;
    }
    revocations::insert_many(tx, &new, source, now_ms)?;
    let all_issued: Vec<Fingerprint> = issued.keys().copied().collect();
    api_keys::set_revoked_among(tx, &all_issued, now_ms)?;
    let changes: Vec<Change> = revoked.iter().copied().map(Change::SetRevocation).collect();
    record_many(tx, &changes, now_ms)?;
    note_revoked(tx, &issued, &revoked, source, now_ms)?;
    Ok(Revoked {
        revoked: changes.len() as u64,
        already: already.len() as u64,
        unknown,
        position: stream::position(tx)?,
    })
}

/// Notes in its owner's log that a key was revoked, for each that has an owner.
pub(in crate::domain) fn note_revoked(
    tx: &mut WriteTx<'_>,
    issued: &BTreeMap<Fingerprint, PolicyKey>,
    revoked: &[Revocation],
    source: RevocationSource,
    now_ms: i64,
) -> Result<(), DbError> {
    let note = |revocation: &Revocation| {
        let owner = issued.get(&revocation.fingerprint)?;
        let (fingerprint, service) = (revocation.fingerprint.to_string(), owner.service.name());
        let detail = json!({"fingerprint": fingerprint, "service": service, "source": source.word()});
        Some((owner.customer, detail))
    };
    let notes: Vec<(CustomerId, Value)> = revoked.iter().filter_map(note).collect();
    note_many(tx, Action::KeyRevoked, &notes, now_ms)
}
