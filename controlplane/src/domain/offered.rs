//! Revocations that an edge offers back: it follows another history than the database's, so the database was restored
//! from a backup, and may have forgotten them.
//!
//! The safe side wins: what an edge refuses stays refused, at the earliest of both times. So a key that was re-enabled
//! comes back as revoked if the edge had not heard of it (it was cut off then): `suiftly edge offered` names it.

use crate::changes::record::record_many;
use crate::db::stream::Position;
use crate::db::{Database, WriteTx, api_keys, revocations, stream};
use crate::domain::revocations::{CHUNK_MAX, CHUNK_PAUSE, RevocableFingerprint, note_revoked};
use crate::domain::{DomainError, RevocationSource};
use apikey::Fingerprint;
use edgeformat::revocation::IN_FORCE_FROM_MAX_S;
use edgeformat::{Change, Revocation, RevocationKind};
use std::collections::BTreeMap;

/// The most that one call takes: as many as an edge can hold.
pub const OFFERED_MAX: usize = 2_000_000;

/// How far an edge can be ahead of a database that was put back: what it says is its own word, and the numbers must last.
const AHEAD_MAX: u64 = 1 << 32;

const MS_PER_S: i64 = 1_000;

/// What a call of [`take_in`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TakenIn {
    /// How many the database did not know, or knew as later or weaker: these are in force again.
    pub taken: u64,
    /// How many were offered in all.
    pub offered: u64,
    /// The stream afterwards.
    pub position: Position,
}

/// Takes in what an edge that stands at `theirs` offers. What is of our own history, and not ahead of us, we know already. One
/// of our own history that is ahead of us shows that the database was put back by hand (its file copied back, not
/// [`crate::backup`]): its numbers would be used twice, so another history begins first.
///
/// # Errors
/// As [`take_in`].
pub fn take_in_from(
    database: &mut Database,
    theirs: Position,
    offered: &[Revocation],
    now_ms: i64,
) -> Result<TakenIn, DomainError> {
    let ours = database.read(stream::position)?;
    if theirs.stream != ours.stream {
        return take_in(database, offered, now_ms);
    }
    if theirs.sequence.saturating_sub(ours.sequence) > AHEAD_MAX {
        return Err(DomainError::Refused(format!("no edge can be at change {}", theirs.sequence)));
    }
    let was_put_back = database.write(|tx| {
        let ours = stream::position(tx)?;
        let was_put_back = theirs.stream == ours.stream && theirs.sequence > ours.sequence;
        if was_put_back {
            stream::begin_another(tx, theirs.sequence)?;
        }
        Ok::<_, DomainError>(was_put_back)
    })?;
    if was_put_back {
        return take_in(database, offered, now_ms);
    }
    let position = database.read(stream::position)?;
    Ok(TakenIn { taken: 0, offered: offered.len() as u64, position })
}

/// Takes in what an edge offers, in chunks with a transaction each; doing it twice changes nothing. An entry that no key
/// can have is left out.
///
/// # Errors
/// [`DomainError`]; the chunks before it have been taken in, and the edge must offer all of it again before it adopts the
/// database's snapshot.
pub fn take_in(database: &mut Database, offered: &[Revocation], now_ms: i64) -> Result<TakenIn, DomainError> {
    if offered.len() > OFFERED_MAX {
        return Err(DomainError::Refused(format!(
            "{} revocations were offered; an edge holds at most {OFFERED_MAX}",
            offered.len()
        )));
    }
    let mut taken = 0;
    for (number, chunk) in offered.chunks(CHUNK_MAX).enumerate() {
        if number > 0 {
            std::thread::sleep(CHUNK_PAUSE);
        }
        taken += database.write(|tx| take_in_chunk(tx, chunk, now_ms))?;
    }
    let position = database.read(stream::position)?;
    Ok(TakenIn { taken, offered: offered.len() as u64, position })
}

fn take_in_chunk(tx: &mut WriteTx<'_>, chunk: &[Revocation], now_ms: i64) -> Result<u64, DomainError> {
    let mut offered = BTreeMap::<Fingerprint, Revocation>::new();
    for revocation in chunk.iter().filter(|revocation| is_possible(revocation)) {
        let strongest = offered.entry(revocation.fingerprint).or_insert(*revocation);
        if is_stronger(revocation, strongest) {
            *strongest = *revocation;
        }
    }
    let fingerprints: Vec<Fingerprint> = offered.keys().copied().collect();
    let known = revocations::among(tx, &fingerprints)?;
    let (mut new, mut stronger) = (Vec::new(), Vec::new());
    for revocation in offered.into_values() {
        match known.get(&revocation.fingerprint) {
            None => new.push(revocation),
            Some(known) if is_stronger(&revocation, known) => stronger.push(revocation),
            Some(_) => {}
        }
    }
    let source = RevocationSource::OfferedByEdge;
    revocations::insert_many(tx, &new, source, now_ms)?;
    for revocation in &stronger {
        revocations::update(tx, revocation, source, now_ms)?;
    }
    new.append(&mut stronger);
    let changes: Vec<Change> = new.iter().copied().map(Change::SetRevocation).collect();
    record_many(tx, &changes, now_ms)?;
    let now_s = u64::try_from(now_ms / MS_PER_S).unwrap_or(0);
    let in_force = |revocation: &&Revocation| {
        revocation.kind == RevocationKind::Revoked && revocation.in_force_from_s <= now_s
    };
    let revoked: Vec<Revocation> = new.iter().filter(in_force).copied().collect();
    let revoked_keys: Vec<Fingerprint> = revoked.iter().map(|revocation| revocation.fingerprint).collect();
    api_keys::set_revoked_among(tx, &revoked_keys, now_ms)?;
    let issued = api_keys::issued_among(tx, &revoked_keys)?;
    note_revoked(tx, &issued, &revoked, source, now_ms)?;
    Ok(new.len() as u64)
}

/// Earlier, or at the same time revoked and not only expired: as a row's own reasons are weighed.
fn is_stronger(one: &Revocation, other: &Revocation) -> bool {
    (one.in_force_from_s, one.kind) < (other.in_force_from_s, other.kind)
}

fn is_possible(revocation: &Revocation) -> bool {
    RevocableFingerprint::try_from(revocation.fingerprint).is_ok()
        && revocation.in_force_from_s <= IN_FORCE_FROM_MAX_S
}
