//! The keys that we issued, by fingerprint. Their text is a function of these numbers and is not stored.

use crate::db::schema::api_keys::{self, dsl};
use crate::db::{CustomerLock, DbError, ReadTx, WriteTx, bits_of, column_of, customer_id, number, word};
use crate::domain::KeyState;
use apikey::{CustomerId, Derivation, Fingerprint, Group, Service, Version};
use diesel::prelude::*;
use edgeformat::PolicyKey;
use std::collections::BTreeMap;

/// A key that we issued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKeyRow {
    /// Its name.
    pub fingerprint: Fingerprint,
    /// Whose it is.
    pub customer: CustomerId,
    /// What it opens.
    pub service: Service,
    /// Which secret authenticates it.
    pub group: Group,
    /// Which of the customer's keys in the group it is.
    pub derivation: Derivation,
    /// Which tag rule it follows.
    pub version: Version,
    /// When it was made, unix milliseconds.
    pub created_at_ms: i64,
    /// When it was revoked, unix milliseconds.
    pub revoked_at_ms: Option<i64>,
    /// From when on it is refused as expired, unix seconds.
    pub expires_at_s: Option<u64>,
    /// What its owner calls it; empty: nothing.
    pub name: String,
    /// When it was deleted, unix milliseconds: it is revoked for ever then, and takes no place any more.
    pub deleted_at_ms: Option<i64>,
    /// The beginning of the last minute in which it was used, unix seconds.
    pub last_used_at_s: Option<i64>,
    /// Whether its owner made it, and not an operator.
    pub by_owner: bool,
    /// Counts changes, from 1.
    pub revision: i64,
}

impl ApiKeyRow {
    /// How it stands at a moment, unix seconds.
    pub fn state(&self, now_s: u64) -> KeyState {
        match (self.deleted_at_ms, self.revoked_at_ms, self.expires_at_s) {
            (Some(_), _, _) => KeyState::Deleted,
            (None, Some(_), _) => KeyState::Revoked,
            (None, None, Some(at_s)) if at_s <= now_s => KeyState::Expired,
            (None, None, _) => KeyState::Active,
        }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = api_keys)]
struct Columns {
    fingerprint: i64,
    customer_id: i64,
    service: String,
    key_group: i64,
    derivation: i64,
    version: i64,
    created_at_ms: i64,
    revoked_at_ms: Option<i64>,
    expires_at_s: Option<i64>,
    name: String,
    deleted_at_ms: Option<i64>,
    last_used_at_s: Option<i64>,
    by_owner: i64,
    revision: i64,
}

/// The key with this name, if we issued it.
pub fn find(tx: &mut ReadTx<'_>, fingerprint: Fingerprint) -> Result<Option<ApiKeyRow>, DbError> {
    let found: Option<Columns> = dsl::api_keys
        .find(column_of(fingerprint.get()))
        .select(Columns::as_select())
        .first(tx.connection())
        .optional()?;
    found.map(row).transpose()
}

/// A customer's keys, oldest first, without those that were deleted; of one service, or of all.
pub fn of_customer(
    tx: &mut ReadTx<'_>,
    customer: CustomerId,
    service: Option<Service>,
) -> Result<Vec<ApiKeyRow>, DbError> {
    let mut query = dsl::api_keys
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .filter(dsl::deleted_at_ms.is_null())
        .into_boxed();
    if let Some(service) = service {
        query = query.filter(dsl::service.eq(service.name()));
    }
    let order = (dsl::created_at_ms, dsl::key_group, dsl::derivation);
    let rows: Vec<Columns> = query.order(order).select(Columns::as_select()).load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// How many keys of a service the locked customer has: revoked ones included, deleted ones not.
pub fn count(tx: &mut WriteTx<'_>, lock: &CustomerLock, service: Service) -> Result<i64, DbError> {
    let of_service = dsl::api_keys
        .filter(dsl::customer_id.eq(i64::from(lock.customer().get())))
        .filter(dsl::service.eq(service.name()))
        .filter(dsl::deleted_at_ms.is_null());
    Ok(of_service.count().get_result(tx.connection())?)
}

/// When the locked customer made keys since a moment (unix milliseconds), the earliest first; those that were deleted since, too.
pub fn made_by_owner_since(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    since_ms: i64,
) -> Result<Vec<i64>, DbError> {
    Ok(dsl::api_keys
        .filter(dsl::customer_id.eq(i64::from(lock.customer().get())))
        .filter(dsl::by_owner.eq(1))
        .filter(dsl::created_at_ms.gt(since_ms))
        .order(dsl::created_at_ms)
        .select(dsl::created_at_ms)
        .load(tx.connection())?)
}

/// Which of these fingerprints belong to keys that we issued, and whose keys of what these are.
pub fn issued_among(
    tx: &mut ReadTx<'_>,
    fingerprints: &[Fingerprint],
) -> Result<BTreeMap<Fingerprint, PolicyKey>, DbError> {
    let columns: Vec<i64> = fingerprints.iter().map(|fingerprint| column_of(fingerprint.get())).collect();
    let found: Vec<(i64, i64, String)> = dsl::api_keys
        .filter(dsl::fingerprint.eq_any(columns))
        .select((dsl::fingerprint, dsl::customer_id, dsl::service))
        .load(tx.connection())?;
    found
        .into_iter()
        .map(|(fingerprint, customer, service)| {
            let customer = customer_id("api_keys", customer)?;
            let key = PolicyKey { customer, service: word("api_keys", "service", &service)? };
            Ok((Fingerprint::from_u64(bits_of(fingerprint)), key))
        })
        .collect()
}

/// Adds a key of the locked customer.
pub fn insert(tx: &mut WriteTx<'_>, lock: &CustomerLock, key: &ApiKeyRow) -> Result<(), DbError> {
    let columns = (
        dsl::fingerprint.eq(column_of(key.fingerprint.get())),
        dsl::customer_id.eq(i64::from(lock.customer().get())),
        dsl::service.eq(key.service.name()),
        dsl::key_group.eq(i64::from(key.group.get())),
        dsl::derivation.eq(i64::from(key.derivation.get())),
        dsl::version.eq(i64::from(key.version.number())),
        dsl::created_at_ms.eq(key.created_at_ms),
        dsl::revoked_at_ms.eq(key.revoked_at_ms),
        dsl::expires_at_s.eq(key.expires_at_s.map(column_of)),
        dsl::name.eq(&key.name),
        dsl::by_owner.eq(i64::from(key.by_owner)),
        dsl::revision.eq(key.revision),
    );
    diesel::insert_into(dsl::api_keys).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Notes that a key is revoked no more.
pub fn set_enabled(tx: &mut WriteTx<'_>, fingerprint: Fingerprint) -> Result<(), DbError> {
    let target = dsl::api_keys.find(column_of(fingerprint.get()));
    let columns = (dsl::revoked_at_ms.eq(None::<i64>), dsl::revision.eq(dsl::revision + 1));
    diesel::update(target).set(columns).execute(tx.connection())?;
    Ok(())
}

/// Notes from when on a key is refused as expired, unix seconds.
pub fn set_expires_at_s(
    tx: &mut WriteTx<'_>,
    fingerprint: Fingerprint,
    at_s: Option<u64>,
) -> Result<(), DbError> {
    let target = dsl::api_keys.find(column_of(fingerprint.get()));
    let columns = (dsl::expires_at_s.eq(at_s.map(column_of)), dsl::revision.eq(dsl::revision + 1));
    diesel::update(target).set(columns).execute(tx.connection())?;
    Ok(())
}

/// Writes what a key is called.
pub fn set_name(tx: &mut WriteTx<'_>, fingerprint: Fingerprint, name: &str) -> Result<(), DbError> {
    let target = dsl::api_keys.find(column_of(fingerprint.get()));
    diesel::update(target)
        .set((dsl::name.eq(name), dsl::revision.eq(dsl::revision + 1)))
        .execute(tx.connection())?;
    Ok(())
}

/// Notes that a key, which is revoked already, was deleted.
pub fn set_deleted(tx: &mut WriteTx<'_>, fingerprint: Fingerprint, now_ms: i64) -> Result<(), DbError> {
    let target = dsl::api_keys.find(column_of(fingerprint.get()));
    diesel::update(target)
        .set((dsl::deleted_at_ms.eq(now_ms), dsl::revision.eq(dsl::revision + 1)))
        .execute(tx.connection())?;
    Ok(())
}

/// Notes that keys were used in the minute that begins at `minute_s`, unix seconds; a later one stays.
pub fn note_used(tx: &mut WriteTx<'_>, minute_s: i64, fingerprints: &[u64]) -> Result<(), DbError> {
    /// Values in one statement.
    const CHUNK: usize = 5_000;
    for chunk in fingerprints.chunks(CHUNK) {
        let columns: Vec<i64> = chunk.iter().map(|fingerprint| column_of(*fingerprint)).collect();
        let target = dsl::api_keys
            .filter(dsl::fingerprint.eq_any(columns))
            .filter(dsl::last_used_at_s.is_null().or(dsl::last_used_at_s.lt(minute_s)));
        diesel::update(target).set(dsl::last_used_at_s.eq(minute_s)).execute(tx.connection())?;
    }
    Ok(())
}

/// Notes that keys were revoked; an earlier time stays.
pub fn set_revoked_among(
    tx: &mut WriteTx<'_>,
    fingerprints: &[Fingerprint],
    now_ms: i64,
) -> Result<(), DbError> {
    let columns: Vec<i64> = fingerprints.iter().map(|fingerprint| column_of(fingerprint.get())).collect();
    let target = dsl::api_keys.filter(dsl::fingerprint.eq_any(columns)).filter(dsl::revoked_at_ms.is_null());
    let columns = (dsl::revoked_at_ms.eq(now_ms), dsl::revision.eq(dsl::revision + 1));
    diesel::update(target).set(columns).execute(tx.connection())?;
    Ok(())
}

fn row(columns: Columns) -> Result<ApiKeyRow, DbError> {
    let unexpected = |name: &str| DbError::unexpected("api_keys", format!("{name} is out of range"));
    let group: u8 = number("api_keys", "key_group", columns.key_group)?;
    let version: u8 = number("api_keys", "version", columns.version)?;
    let derivation: u32 = number("api_keys", "derivation", columns.derivation)?;
    Ok(ApiKeyRow {
        fingerprint: Fingerprint::from_u64(bits_of(columns.fingerprint)),
        customer: customer_id("api_keys", columns.customer_id)?,
        service: word("api_keys", "service", &columns.service)?,
        group: Group::new(group).ok_or_else(|| unexpected("key_group"))?,
        derivation: Derivation::new(derivation).ok_or_else(|| unexpected("derivation"))?,
        version: Version::from_number(version).ok_or_else(|| unexpected("version"))?,
        created_at_ms: columns.created_at_ms,
        revoked_at_ms: columns.revoked_at_ms,
        expires_at_s: columns
            .expires_at_s
            .map(|at_s| number("api_keys", "expires_at_s", at_s))
            .transpose()?,
        name: columns.name,
        deleted_at_ms: columns.deleted_at_ms,
        last_used_at_s: columns.last_used_at_s,
        by_owner: columns.by_owner != 0,
        revision: columns.revision,
    })
}
