//! What happens to a key after it was made: names, expiry, rotation with an overlap, revoking, re-enabling, deleting.
//!
//! The edge knows one entry a fingerprint, which carries its time: it takes effect there at that second, also while the
//! control plane is down. The entry is always computed from the whole row, so that to re-enable a key brings its pending
//! expiry back.

use crate::changes::record::record;
use crate::clock::rfc3339_ms;
use crate::db::api_keys::{self, ApiKeyRow};
use crate::db::stream::Position;
use crate::db::{Database, DbError, WriteTx, lock_customer, revocations, stream};
use crate::domain::activity::{Action, ActorKind, note};
use crate::domain::customer_status::must_not_be_closed;
use crate::domain::keys::{self, Issued, KeyError, KeyName, KeyRefusal, NewKey};
use crate::domain::revocations::{Revoked, revoke_in};
use crate::domain::{DomainError, RevocationSource};
use apikey::{CustomerId, Fingerprint, Service, Version};
use edgeformat::revocation::IN_FORCE_FROM_MAX_S;
use edgeformat::{Change, Keyring, PolicyKey, Revocation, RevocationKind};
use serde_json::json;

const MS_PER_S: i64 = 1_000;

/// Sets the second from which on a key that we issued is refused as expired; `None` takes the expiry away.
///
/// # Errors
/// [`DomainError::Refused`] for a key that we never issued, or a time beyond what the edge can hold.
pub fn expire(
    database: &mut Database,
    fingerprint: Fingerprint,
    at_s: Option<u64>,
    now_ms: i64,
) -> Result<Position, DomainError> {
    Ok(database.write(|tx| expire_in(tx, fingerprint, at_s, now_ms))?)
}

/// The same in a transaction that does more.
///
/// # Errors
/// [`KeyError`]; the transaction must then be given up.
pub fn expire_in(
    tx: &mut WriteTx<'_>,
    fingerprint: Fingerprint,
    at_s: Option<u64>,
    now_ms: i64,
) -> Result<Position, KeyError> {
    if at_s.is_some_and(|at_s| at_s == 0 || at_s > IN_FORCE_FROM_MAX_S) {
        return Err(DomainError::Refused("this time is out of range".to_owned()).into());
    }
    let row = may_change(tx, fingerprint)?;
    if row.expires_at_s != at_s {
        set_expiry(tx, &row, at_s, now_ms)?;
        let detail = json!({
            "fingerprint": fingerprint.to_string(),
            "service": row.service.name(),
            "from": row.expires_at_s.map(time_of),
            "to": at_s.map(time_of),
        });
        note(tx, row.customer, Action::KeyExpiryChanged, &detail, now_ms)?;
    }
    Ok(stream::position(tx)?)
}

/// Gives a key another name.
///
/// # Errors
/// [`KeyError`]; the transaction must then be given up.
pub fn rename_in(
    tx: &mut WriteTx<'_>,
    fingerprint: Fingerprint,
    name: &KeyName,
    now_ms: i64,
) -> Result<(), KeyError> {
    let row = may_change(tx, fingerprint)?;
    if row.name != name.as_str() {
        api_keys::set_name(tx, fingerprint, name.as_str())?;
        let detail = json!({
            "fingerprint": fingerprint.to_string(),
            "service": row.service.name(),
            "from": row.name,
            "to": name.as_str(),
        });
        note(tx, row.customer, Action::KeyRenamed, &detail, now_ms)?;
    }
    Ok(())
}

/// Makes a new key like an old one, and has the old one expire `overlap_s` seconds from now, if it does not earlier.
///
/// # Errors
/// [`DomainError`], as for a new key; and for an old one that is refused already.
pub fn rotate(
    database: &mut Database,
    keyring: &Keyring,
    fingerprint: Fingerprint,
    overlap_s: u64,
    now_ms: i64,
) -> Result<(Issued, u64), DomainError> {
    let end_s = seconds(now_ms).saturating_add(overlap_s);
    Ok(database.write(|tx| rotate_in(tx, keyring, fingerprint, end_s, false, now_ms))?)
}

/// The same in a transaction that does more: the old key expires at `end_s` (unix seconds), if it does not earlier. Answers the
/// new key, and when the old one expires.
///
/// # Errors
/// [`KeyError`]; the transaction must then be given up.
pub fn rotate_in(
    tx: &mut WriteTx<'_>,
    keyring: &Keyring,
    fingerprint: Fingerprint,
    end_s: u64,
    by_owner: bool,
    now_ms: i64,
) -> Result<(Issued, u64), KeyError> {
    let old = issued(tx, fingerprint)?;
    if old.revoked_at_ms.is_some() || old.expires_at_s.is_some_and(|at_s| at_s <= seconds(now_ms)) {
        return Err(KeyRefusal::NotActive(fingerprint).into());
    }
    let new = NewKey {
        key: PolicyKey { customer: old.customer, service: old.service },
        version: Version::V1,
        name: KeyName::new(&old.name).unwrap_or_default(),
        expires_at_s: None,
        by_owner,
        replaces_another: true,
    };
    let new = keys::create_in(tx, keyring, &new, now_ms)?;
    let end_s = old.expires_at_s.unwrap_or(u64::MAX).min(end_s).clamp(1, IN_FORCE_FROM_MAX_S);
    set_expiry(tx, &old, Some(end_s), now_ms)?;
    let detail = json!({
        "old_fingerprint": fingerprint.to_string(),
        "new_fingerprint": new.row.fingerprint.to_string(),
        "service": old.service.name(),
        "old_expires_at": time_of(end_s),
    });
    note(tx, old.customer, Action::KeyRotated, &detail, now_ms)?;
    let position = stream::position(tx)?;
    Ok((Issued { position, ..new }, end_s))
}

/// Takes a revocation back; `false` where there was none. An expiry stays, also one that is past.
///
/// # Errors
/// [`DomainError::Refused`] for a key of a closed customer, also one that was not issued here: it carries its customer; and for a
/// deleted one.
pub fn re_enable(
    database: &mut Database,
    fingerprint: Fingerprint,
    now_ms: i64,
) -> Result<(bool, Position), DomainError> {
    Ok(database.write(|tx| re_enable_in(tx, fingerprint, now_ms))?)
}

/// The same in a transaction that does more.
///
/// # Errors
/// [`KeyError`]; the transaction must then be given up.
pub fn re_enable_in(
    tx: &mut WriteTx<'_>,
    fingerprint: Fingerprint,
    now_ms: i64,
) -> Result<(bool, Position), KeyError> {
    let was_revoked = revocations::among(tx, &[fingerprint])?
        .get(&fingerprint)
        .is_some_and(|revocation| revocation.kind == RevocationKind::Revoked);
    if was_revoked {
        may_be_re_enabled(tx, fingerprint)?;
        api_keys::set_enabled(tx, fingerprint)?;
        let row = api_keys::find(tx, fingerprint)?;
        apply(tx, fingerprint, row.as_ref().and_then(wanted), now_ms)?;
        if let Some(row) = row {
            let detail = json!({"fingerprint": fingerprint.to_string(), "service": row.service.name()});
            note(tx, row.customer, Action::KeyReEnabled, &detail, now_ms)?;
        }
    }
    Ok((was_revoked, stream::position(tx)?))
}

/// Revokes keys of one customer, of one service or of all: those that are not revoked yet.
///
/// # Errors
/// [`KeyError`]; the transaction must then be given up.
pub fn revoke_all_in(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
    service: Option<Service>,
    now_ms: i64,
) -> Result<Revoked, KeyError> {
    let keys = api_keys::of_customer(tx, customer, service)?;
    let fingerprints: Vec<Fingerprint> = keys.iter().map(|key| key.fingerprint).collect();
    let source = source_of(tx);
    Ok(revoke_in(tx, &fingerprints, source, now_ms)?)
}

/// Revokes one key that we issued.
///
/// # Errors
/// [`KeyError`]; the transaction must then be given up.
pub fn revoke_one_in(
    tx: &mut WriteTx<'_>,
    fingerprint: Fingerprint,
    now_ms: i64,
) -> Result<Revoked, KeyError> {
    may_change(tx, fingerprint)?;
    let source = source_of(tx);
    Ok(revoke_in(tx, &[fingerprint], source, now_ms)?)
}

/// Deletes a key: it is revoked for ever, takes no place any more and is not listed. Its derivation is not given again. Deleting
/// it again changes nothing.
///
/// # Errors
/// [`DomainError`]; then nothing has happened.
pub fn delete(
    database: &mut Database,
    fingerprint: Fingerprint,
    now_ms: i64,
) -> Result<Position, DomainError> {
    Ok(database.write(|tx| delete_in(tx, fingerprint, now_ms))?)
}

/// The same in a transaction that does more.
///
/// # Errors
/// [`KeyError`]; the transaction must then be given up.
pub fn delete_in(tx: &mut WriteTx<'_>, fingerprint: Fingerprint, now_ms: i64) -> Result<Position, KeyError> {
    let row = issued(tx, fingerprint)?;
    if row.deleted_at_ms.is_none() {
        let source = source_of(tx);
        revoke_in(tx, &[fingerprint], source, now_ms)?;
        api_keys::set_deleted(tx, fingerprint, now_ms)?;
        let detail = json!({
            "fingerprint": fingerprint.to_string(),
            "service": row.service.name(),
            "name": row.name,
        });
        note(tx, row.customer, Action::KeyDeleted, &detail, now_ms)?;
    }
    Ok(stream::position(tx)?)
}

/// In whose name keys are revoked: the owner's, with a wallet or a token, or an operator's.
const fn source_of(tx: &WriteTx<'_>) -> RevocationSource {
    match tx.actor().kind {
        ActorKind::Wallet | ActorKind::Token => RevocationSource::Owner,
        ActorKind::Operator | ActorKind::Command | ActorKind::System => RevocationSource::Operator,
    }
}

fn may_be_re_enabled(tx: &mut WriteTx<'_>, fingerprint: Fingerprint) -> Result<(), KeyError> {
    if api_keys::find(tx, fingerprint)?.is_some_and(|row| row.deleted_at_ms.is_some()) {
        return Err(KeyRefusal::Deleted(fingerprint).into());
    }
    let is_owner = source_of(tx) == RevocationSource::Owner;
    if is_owner && revocations::source_of(tx, fingerprint)? != Some(RevocationSource::Owner) {
        return Err(KeyRefusal::NotByOwner(fingerprint).into());
    }
    let Some(customer) = CustomerId::new(fingerprint.customer_bits()) else { return Ok(()) };
    match lock_customer(tx, customer)? {
        Some(lock) => Ok(must_not_be_closed(&lock, "keeps its keys revoked for ever")?),
        None => Ok(()),
    }
}

/// A key that we issued, and that is not deleted, of a customer that may change.
fn may_change(tx: &mut WriteTx<'_>, fingerprint: Fingerprint) -> Result<ApiKeyRow, KeyError> {
    let row = issued(tx, fingerprint)?;
    if row.deleted_at_ms.is_some() {
        return Err(KeyRefusal::Deleted(fingerprint).into());
    }
    let lock = lock_customer(tx, row.customer)?.ok_or(DomainError::NoCustomer(row.customer))?;
    must_not_be_closed(&lock, "keeps its keys as they are")?;
    Ok(row)
}

fn issued(tx: &mut WriteTx<'_>, fingerprint: Fingerprint) -> Result<ApiKeyRow, KeyError> {
    api_keys::find(tx, fingerprint)?.ok_or_else(|| KeyRefusal::NotIssued(fingerprint).into())
}

fn set_expiry(tx: &mut WriteTx<'_>, row: &ApiKeyRow, at_s: Option<u64>, now_ms: i64) -> Result<(), DbError> {
    api_keys::set_expires_at_s(tx, row.fingerprint, at_s)?;
    tell_the_edge(tx, &ApiKeyRow { expires_at_s: at_s, ..row.clone() }, now_ms)
}

/// Has the edge know of a key what its row says.
pub(in crate::domain) fn tell_the_edge(
    tx: &mut WriteTx<'_>,
    row: &ApiKeyRow,
    now_ms: i64,
) -> Result<(), DbError> {
    apply(tx, row.fingerprint, wanted(row), now_ms)
}

/// What the edge must know of a key: the earliest of revocation and expiry; a revocation is in force from the beginning.
fn wanted(row: &ApiKeyRow) -> Option<Revocation> {
    let fingerprint = row.fingerprint;
    if row.revoked_at_ms.is_some() {
        return Some(Revocation { fingerprint, in_force_from_s: 0, kind: RevocationKind::Revoked });
    }
    let at_s = row.expires_at_s?;
    Some(Revocation { fingerprint, in_force_from_s: at_s, kind: RevocationKind::Expired })
}

fn apply(
    tx: &mut WriteTx<'_>,
    fingerprint: Fingerprint,
    wanted: Option<Revocation>,
    now_ms: i64,
) -> Result<(), DbError> {
    let before = revocations::among(tx, &[fingerprint])?.get(&fingerprint).copied();
    let source = source_of(tx);
    let change = match (before, wanted) {
        (before, wanted) if before == wanted => return Ok(()),
        (None, Some(revocation)) => {
            revocations::insert(tx, &revocation, source, now_ms)?;
            Change::SetRevocation(revocation)
        }
        (Some(_), Some(revocation)) => {
            revocations::update(tx, &revocation, source, now_ms)?;
            Change::SetRevocation(revocation)
        }
        (_, None) => {
            revocations::remove(tx, fingerprint)?;
            Change::RemoveRevocation(fingerprint)
        }
    };
    record(tx, &change, now_ms)?;
    Ok(())
}

/// A second in UTC, for the activity log.
pub(in crate::domain) fn time_of(unix_s: u64) -> String {
    rfc3339_ms(i64::try_from(unix_s).unwrap_or(i64::MAX / MS_PER_S).saturating_mul(MS_PER_S))
}

fn seconds(now_ms: i64) -> u64 {
    u64::try_from(now_ms / MS_PER_S).unwrap_or(0)
}
