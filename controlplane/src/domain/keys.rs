//! Issuing keys, listing them, and what can be said of one.

use crate::db::api_keys::{self, ApiKeyRow};
use crate::db::stream::Position;
use crate::db::{
    CustomerLock, Database, WriteTx, customers, derivation_counters, lock_customer, revocations, services,
    stream,
};
use crate::domain::activity::{Action, note};
use crate::domain::customer_status::must_not_be_closed;
use crate::domain::{DomainError, ServiceState, key_groups};
use crate::keyring;
use apikey::{CustomerId, Derivation, Fingerprint, Group, KeyText, Service, Version};
use edgeformat::{Keyring, PolicyKey, Revocation};
use serde_json::json;

/// The most keys that a customer can have of one service; a revoked one keeps its place.
pub const KEYS_PER_SERVICE_MAX: i64 = 10;
/// The most keys that a customer can ever have in one group, over all services. The format has room for
/// 1,023; the rest is kept back.
pub const DERIVATIONS_PER_GROUP_MAX: u32 = 1_000;

/// A key that was made now. Its text is shown once and not kept.
#[derive(Debug)]
pub struct Issued {
    /// The key itself.
    pub text: KeyText,
    /// What was stored of it.
    pub row: ApiKeyRow,
    /// How the service stands that it opens; none where the customer does not have it.
    pub service_state: Option<ServiceState>,
    /// Where the stream stands. Making a key is no change for the edges: they know it by its tag.
    pub position: Position,
}

/// Makes a key of the keyring's default group.
///
/// # Errors
/// [`DomainError`]; then nothing has happened.
pub fn create(
    database: &mut Database,
    keyring: &Keyring,
    key: PolicyKey,
    version: Version,
    now_ms: i64,
) -> Result<Issued, DomainError> {
    database.write(|tx| {
        let issued = create_in(tx, keyring, key, version, now_ms)?;
        let detail =
            json!({"fingerprint": issued.row.fingerprint.to_string(), "service": key.service.name()});
        note(tx, key.customer, Action::KeyCreated, &detail, now_ms)?;
        Ok(issued)
    })
}

/// The same in a transaction that does more, and notes what it was: a key made, or one replaced.
pub(in crate::domain) fn create_in(
    tx: &mut WriteTx<'_>,
    keyring: &Keyring,
    key: PolicyKey,
    version: Version,
    now_ms: i64,
) -> Result<Issued, DomainError> {
    let PolicyKey { customer, service } = key;
    let group = keyring.default_group;
    if !keyring::accepts(keyring, version, group) {
        return Err(refused_version(group));
    }
    let mac = keyring::mac_of(keyring, group).ok_or_else(|| {
        DomainError::Refused(format!("the keyring has no secret for its default group {group}"))
    })?;
    key_groups::adopt_first(tx, keyring, now_ms)?;
    key_groups::may_mint(tx, keyring)?;
    let lock = lock_customer(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
    must_not_be_closed(&lock, "gets no keys")?;
    if api_keys::count(tx, &lock, service)? >= KEYS_PER_SERVICE_MAX {
        return Err(DomainError::Refused(format!(
            "customer {customer} has {KEYS_PER_SERVICE_MAX} keys of the service {service} already, the most there can be; a revoked key keeps its place"
        )));
    }
    let (derivation, fingerprint) = next_derivation(tx, &lock, version, group)?;
    let row = ApiKeyRow {
        fingerprint,
        customer,
        service,
        group,
        derivation,
        version,
        created_at_ms: now_ms,
        revoked_at_ms: None,
        expires_at_s: None,
    };
    api_keys::insert(tx, &lock, &row)?;
    let service_state = services::find(tx, key)?.map(|service| service.state);
    let text = apikey::issue(version, service, group, derivation, customer, &mac);
    Ok(Issued { text, row, service_state, position: stream::position(tx)? })
}

/// The refusal of a key of version 0 in a group that does not accept it.
pub fn refused_version(group: Group) -> DomainError {
    DomainError::Refused(format!(
        "version 0 keys are not accepted in group {group}; its tag has only 16 bits, so the keyring must allow it in accept_v0_groups"
    ))
}

/// Takes the next derivation. One whose key was revoked before we made it (issued elsewhere, stolen) is left
/// out: the key would be refused from its first request.
fn next_derivation(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    version: Version,
    group: Group,
) -> Result<(Derivation, Fingerprint), DomainError> {
    let first = derivation_counters::next(tx, lock, group)?;
    let candidates: Vec<(Derivation, Fingerprint)> = (first..=DERIVATIONS_PER_GROUP_MAX)
        .filter_map(Derivation::new)
        .map(|derivation| (derivation, Fingerprint::of(version, group, derivation, lock.customer())))
        .collect();
    let fingerprints: Vec<Fingerprint> = candidates.iter().map(|(_, fingerprint)| *fingerprint).collect();
    let revoked = revocations::among(tx, &fingerprints)?;
    let free = candidates.into_iter().find(|(_, fingerprint)| !revoked.contains_key(fingerprint));
    let (derivation, fingerprint) = free.ok_or_else(|| {
        DomainError::Refused(format!(
            "customer {} has used all {DERIVATIONS_PER_GROUP_MAX} derivations of group {group}; add a group with `suiftly keyring add-group`",
            lock.customer()
        ))
    })?;
    derivation_counters::set_next(tx, lock, group, u32::from(derivation.get()) + 1)?;
    Ok((derivation, fingerprint))
}

/// A customer's keys, oldest first; of one service, or of all. There are never more than a few dozen.
///
/// # Errors
/// [`DomainError::NoCustomer`] or [`DomainError::Db`].
pub fn list(
    database: &mut Database,
    customer: CustomerId,
    service: Option<Service>,
) -> Result<Vec<ApiKeyRow>, DomainError> {
    database.read(|tx| {
        customers::find(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
        Ok(api_keys::of_customer(tx, customer, service)?)
    })
}

/// What the database knows of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// The row, where we issued it.
    pub issued: Option<ApiKeyRow>,
    /// What the edges were told of it, issued by us or not; it may take effect later.
    pub revocation: Option<Revocation>,
}

/// What the database knows of a fingerprint.
///
/// # Errors
/// [`DomainError::Db`].
pub fn known(database: &mut Database, fingerprint: Fingerprint) -> Result<Known, DomainError> {
    database.read(|tx| {
        let issued = api_keys::find(tx, fingerprint)?;
        let revocation = revocations::among(tx, &[fingerprint])?.get(&fingerprint).copied();
        Ok(Known { issued, revocation })
    })
}
