//! What happens to a key after it was made: expiry, rotation with an overlap, re-enabling.
//!
//! The edge knows one entry a fingerprint, which carries its time: it takes effect there at that second, also while the
//! control plane is down. The entry is always computed from the whole row, so that to re-enable a key brings its pending
//! expiry back.

use crate::changes::record::record;
use crate::clock::rfc3339_ms;
use crate::db::api_keys::{self, ApiKeyRow};
use crate::db::stream::Position;
use crate::db::{Database, WriteTx, lock_customer, revocations, stream};
use crate::domain::activity::{Action, note};
use crate::domain::customer_status::must_not_be_closed;
use crate::domain::keys::{self, Issued};
use crate::domain::{DomainError, RevocationSource};
use apikey::{CustomerId, Fingerprint};
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
    if at_s.is_some_and(|at_s| at_s == 0 || at_s > IN_FORCE_FROM_MAX_S) {
        return Err(DomainError::Refused("this time is out of range".to_owned()));
    }
    database.write(|tx| {
        let row = issued(tx, fingerprint)?;
        let lock = lock_customer(tx, row.customer)?.ok_or(DomainError::NoCustomer(row.customer))?;
        must_not_be_closed(&lock, "keeps its keys as they are")?;
        set_expiry(tx, &row, at_s, now_ms)?;
        if row.expires_at_s != at_s {
            let detail = json!({
                "fingerprint": fingerprint.to_string(),
                "service": row.service.name(),
                "from": row.expires_at_s.map(time_of),
                "to": at_s.map(time_of),
            });
            note(tx, row.customer, Action::KeyExpiryChanged, &detail, now_ms)?;
        }
        Ok(stream::position(tx)?)
    })
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
    let now_s = seconds(now_ms);
    database.write(|tx| {
        let old = issued(tx, fingerprint)?;
        if old.revoked_at_ms.is_some() || old.expires_at_s.is_some_and(|at_s| at_s <= now_s) {
            return Err(DomainError::Refused(format!(
                "key {fingerprint} is refused already; make a new one with `suiftly admin key create`"
            )));
        }
        let key = PolicyKey { customer: old.customer, service: old.service };
        let new = keys::create_in(tx, keyring, key, old.version, now_ms)?;
        let end_s = old
            .expires_at_s
            .unwrap_or(u64::MAX)
            .min(now_s.saturating_add(overlap_s))
            .min(IN_FORCE_FROM_MAX_S);
        set_expiry(tx, &old, Some(end_s.max(1)), now_ms)?;
        let detail = json!({
            "old_fingerprint": fingerprint.to_string(),
            "new_fingerprint": new.row.fingerprint.to_string(),
            "service": old.service.name(),
            "old_expires_at": time_of(end_s.max(1)),
        });
        note(tx, old.customer, Action::KeyRotated, &detail, now_ms)?;
        let position = stream::position(tx)?;
        Ok((Issued { position, ..new }, end_s))
    })
}

/// Takes a revocation back; `false` where there was none. An expiry stays, also one that is past.
///
/// # Errors
/// [`DomainError::Refused`] for a key of a closed customer, also one that was not issued here: it carries its customer.
pub fn re_enable(
    database: &mut Database,
    fingerprint: Fingerprint,
    now_ms: i64,
) -> Result<(bool, Position), DomainError> {
    database.write(|tx| {
        let was_revoked = revocations::among(tx, &[fingerprint])?
            .get(&fingerprint)
            .is_some_and(|revocation| revocation.kind == RevocationKind::Revoked);
        if was_revoked {
            may_be_re_enabled(tx, fingerprint)?;
            api_keys::set_enabled(tx, fingerprint)?;
            let row = api_keys::find(tx, fingerprint)?;
            apply(tx, fingerprint, row.and_then(|row| wanted(&row)), now_ms)?;
            if let Some(row) = row {
                let detail = json!({"fingerprint": fingerprint.to_string(), "service": row.service.name()});
                note(tx, row.customer, Action::KeyReEnabled, &detail, now_ms)?;
            }
        }
        Ok((was_revoked, stream::position(tx)?))
    })
}

fn may_be_re_enabled(tx: &mut WriteTx<'_>, fingerprint: Fingerprint) -> Result<(), DomainError> {
    let Some(customer) = CustomerId::new(fingerprint.customer_bits()) else { return Ok(()) };
    match lock_customer(tx, customer)? {
        Some(lock) => must_not_be_closed(&lock, "keeps its keys revoked for ever"),
        None => Ok(()),
    }
}

fn issued(tx: &mut WriteTx<'_>, fingerprint: Fingerprint) -> Result<ApiKeyRow, DomainError> {
    api_keys::find(tx, fingerprint)?.ok_or_else(|| {
        DomainError::Refused(format!(
            "key {fingerprint} was not issued here; only its revocation can be recorded"
        ))
    })
}

fn set_expiry(
    tx: &mut WriteTx<'_>,
    row: &ApiKeyRow,
    at_s: Option<u64>,
    now_ms: i64,
) -> Result<(), DomainError> {
    api_keys::set_expires_at_s(tx, row.fingerprint, at_s)?;
    apply(tx, row.fingerprint, wanted(&ApiKeyRow { expires_at_s: at_s, ..*row }), now_ms)
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
) -> Result<(), DomainError> {
    let before = revocations::among(tx, &[fingerprint])?.get(&fingerprint).copied();
    let change = match (before, wanted) {
        (before, wanted) if before == wanted => return Ok(()),
        (None, Some(revocation)) => {
            revocations::insert(tx, &revocation, RevocationSource::Operator, now_ms)?;
            Change::SetRevocation(revocation)
        }
        (Some(_), Some(revocation)) => {
            revocations::update(tx, &revocation, RevocationSource::Operator, now_ms)?;
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
fn time_of(unix_s: u64) -> String {
    rfc3339_ms(i64::try_from(unix_s).unwrap_or(i64::MAX / MS_PER_S).saturating_mul(MS_PER_S))
}

fn seconds(now_ms: i64) -> u64 {
    u64::try_from(now_ms / MS_PER_S).unwrap_or(0)
}
