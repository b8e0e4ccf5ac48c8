//! Issuing keys, listing them, and what can be said of one.

use crate::db::api_keys::{self, ApiKeyRow};
use crate::db::prices::price_at;
use crate::db::services::ServiceRow;
use crate::db::stream::Position;
use crate::db::{
    CustomerLock, Database, DbError, WriteTx, customers, derivation_counters, lock_customer, revocations,
    services, stream, tiers,
};
use crate::domain::activity::{Action, note};
use crate::domain::catalogue::PriceItem;
use crate::domain::customer_status::must_not_be_closed;
use crate::domain::gate::{self, CreditBalance, Declined};
use crate::domain::{DomainError, GrantSource, ServiceState, Tier, key_groups, key_life};
use crate::keyring;
use apikey::{CustomerId, Derivation, Fingerprint, Group, KeyText, Service, Version};
use edgeformat::{Keyring, PolicyKey, Revocation};
use serde_json::json;

/// How many keys a customer can make in an hour; an operator can make more for it.
pub const CREATIONS_PER_HOUR_MAX: usize = 5;
/// The most keys that a customer can have in one group, over all services, if no operator says more.
pub const DERIVATIONS_PER_GROUP_DEFAULT: u32 = 1_000;
/// How many an operator can give it: what the format has room for.
pub const DERIVATIONS_PER_GROUP_MAX: u32 = 1_023;
/// The longest name, in characters.
pub const NAME_LEN_MAX: usize = 64;

const MICRO_USD_PER_CENT: i64 = 10_000;
const HOUR_MS: i64 = 3_600_000;

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

/// A key that is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewKey {
    /// Whose, and what it opens.
    pub key: PolicyKey,
    /// Which tag rule it follows.
    pub version: Version,
    /// What it is called.
    pub name: KeyName,
    /// From which second on it is refused as expired.
    pub expires_at_s: Option<u64>,
    /// Whether its owner makes it: then the limit of an hour holds, and the subscription must be paid for.
    pub by_owner: bool,
    /// Whether it takes the place of one that ends: then it costs no more than that one.
    pub replaces_another: bool,
}

impl NewKey {
    /// One that an operator makes: without a name, good for ever.
    pub fn by_operator(key: PolicyKey, version: Version) -> Self {
        Self {
            key,
            version,
            name: KeyName::default(),
            expires_at_s: None,
            by_owner: false,
            replaces_another: false,
        }
    }
}

/// What a key is called: at most 64 characters, no control characters, no blanks around it; empty: nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct KeyName(String);

impl KeyName {
    /// A text as a name, if it can be one.
    pub fn new(text: &str) -> Option<Self> {
        let is_name = text.chars().count() <= NAME_LEN_MAX
            && text.trim() == text
            && !text.chars().any(char::is_control);
        is_name.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why there is no new key, or an old one stays as it is. A customer can run into each of them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyRefusal {
    /// There are as many as there can be.
    #[error(
        "customer {} has {most} keys of the service {} already, the most there can be; a revoked key keeps its place, a deleted one does not",
        key.customer,
        key.service
    )]
    TooMany {
        /// Whose keys of what.
        key: PolicyKey,
        /// How many there can be.
        most: u32,
    },
    /// There were as many as can be made in an hour.
    #[error("{CREATIONS_PER_HOUR_MAX} keys were made in the last hour; wait {} s", wait_ms / 1_000)]
    TooFast {
        /// How long until another can be made, in milliseconds.
        wait_ms: i64,
    },
    /// Every derivation of the group was given.
    #[error(
        "customer {customer} has used all {most} derivations of group {group}; add a group with `suiftly keyring add-group`, or give it more (at most {DERIVATIONS_PER_GROUP_MAX}) with `suiftly admin customer derivations`"
    )]
    Exhausted {
        /// Whose.
        customer: CustomerId,
        /// Of which group.
        group: Group,
        /// How many it can have.
        most: u32,
    },
    /// The customer does not have the service.
    #[error("customer {} does not have the service {}", .0.customer, .0.service)]
    NoService(PolicyKey),
    /// The subscription is not paid for yet.
    #[error("the subscription is not paid for yet")]
    SubscriptionPending {
        /// What has to be paid first, in cents.
        estimated_cents: i64,
    },
    /// It costs more than is included, and the gate declines that.
    #[error("a further key costs more, and the gate declines it: {0:?}")]
    Declined(Declined),
    /// An operator revoked it, not its owner.
    #[error("key {0} was revoked by an operator, or since its account or an edge had to")]
    NotByOwner(Fingerprint),
    /// A key that is refused already cannot be replaced.
    #[error("key {0} is refused already; make a new one with `suiftly admin key create`")]
    NotActive(Fingerprint),
    /// The key was deleted.
    #[error("key {0} was deleted, and stays so")]
    Deleted(Fingerprint),
    /// The key was not issued here.
    #[error("key {0} was not issued here; only its revocation can be recorded")]
    NotIssued(Fingerprint),
}

/// Nothing has happened.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A rule that a customer can run into.
    #[error(transparent)]
    Refused(#[from] KeyRefusal),
    /// Anything else.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl From<DbError> for KeyError {
    fn from(error: DbError) -> Self {
        Self::Domain(error.into())
    }
}

impl From<KeyError> for DomainError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Refused(refusal) => Self::Refused(refusal.to_string()),
            KeyError::Domain(error) => error,
        }
    }
}

/// Makes a key of the keyring's default group.
///
/// # Errors
/// [`DomainError`]; then nothing has happened.
pub fn create(
    database: &mut Database,
    keyring: &Keyring,
    new: &NewKey,
    now_ms: i64,
) -> Result<Issued, DomainError> {
    Ok(database.write(|tx| create_and_note(tx, keyring, new, now_ms))?)
}

/// The same in a transaction that does more.
///
/// # Errors
/// [`KeyError`]; the transaction must then be given up.
pub fn create_and_note(
    tx: &mut WriteTx<'_>,
    keyring: &Keyring,
    new: &NewKey,
    now_ms: i64,
) -> Result<Issued, KeyError> {
    let issued = create_in(tx, keyring, new, now_ms)?;
    let detail = json!({
        "fingerprint": issued.row.fingerprint.to_string(),
        "service": new.key.service.name(),
        "name": new.name.as_str(),
        "expires_at": new.expires_at_s.map(key_life::time_of),
    });
    note(tx, new.key.customer, Action::KeyCreated, &detail, now_ms)?;
    Ok(issued)
}

/// The same for who notes what it was: a key made, or one replaced.
pub(in crate::domain) fn create_in(
    tx: &mut WriteTx<'_>,
    keyring: &Keyring,
    new: &NewKey,
    now_ms: i64,
) -> Result<Issued, KeyError> {
    let PolicyKey { customer, service } = new.key;
    let (version, group) = (new.version, keyring.default_group);
    if !keyring::accepts(keyring, version, group) {
        return Err(refused_version(group).into());
    }
    let mac = keyring::mac_of(keyring, group).ok_or_else(|| {
        DomainError::Refused(format!("the keyring has no secret for its default group {group}"))
    })?;
    key_groups::adopt_first(tx, keyring, now_ms)?;
    key_groups::may_mint(tx, keyring)?;
    let lock = lock_customer(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
    must_not_be_closed(&lock, "gets no keys")?;
    let of_service = services::find(tx, new.key)?;
    if new.by_owner {
        may_be_made_by_owner(tx, &lock, new.key, of_service.as_ref(), now_ms)?;
    }
    let tier = of_service.as_ref().map_or(Tier::Starter, |service| service.tier);
    let terms = tiers::terms_at(tx, tier, now_ms)?;
    let (most, count) = (terms.api_keys_max, api_keys::count(tx, &lock, service)?);
    if count >= i64::from(most) {
        return Err(KeyRefusal::TooMany { key: new.key, most }.into());
    }
    let is_subscribed = of_service.as_ref().is_some_and(|row| row.source == GrantSource::Subscription);
    let costs_more = count >= i64::from(terms.api_keys_included) && !new.replaces_another;
    if new.by_owner && is_subscribed && costs_more {
        // Billing takes it month by month; whether the customer can pay it is asked now.
        let amount_cents = price_at(tx, PriceItem::ApiKeyMonth, now_ms)? / MICRO_USD_PER_CENT;
        let checked = gate::check(tx, &lock, &CreditBalance, amount_cents, now_ms)?;
        checked.map_err(KeyRefusal::Declined)?;
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
        expires_at_s: new.expires_at_s,
        name: new.name.as_str().to_owned(),
        deleted_at_ms: None,
        last_used_at_s: None,
        by_owner: new.by_owner,
        revision: 1,
    };
    api_keys::insert(tx, &lock, &row)?;
    key_life::tell_the_edge(tx, &row, now_ms)?;
    let service_state = of_service.map(|service| service.state);
    let text = apikey::issue(version, service, group, derivation, customer, &mac);
    Ok(Issued { text, row, service_state, position: stream::position(tx)? })
}

/// What holds for a customer, and not for an operator.
fn may_be_made_by_owner(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    key: PolicyKey,
    service: Option<&ServiceRow>,
    now_ms: i64,
) -> Result<(), KeyError> {
    let service = service.filter(|service| service.state != ServiceState::NotProvisioned);
    let service = service.ok_or(KeyRefusal::NoService(key))?;
    if service.source == GrantSource::Subscription && !service.paid {
        let estimated_cents = tiers::terms_at(tx, service.tier, now_ms)?.subscription_cents;
        return Err(KeyRefusal::SubscriptionPending { estimated_cents }.into());
    }
    let made = api_keys::made_by_owner_since(tx, lock, now_ms - HOUR_MS)?;
    if let Some(first_ms) = made.iter().rev().nth(CREATIONS_PER_HOUR_MAX - 1) {
        return Err(KeyRefusal::TooFast { wait_ms: first_ms + HOUR_MS - now_ms }.into());
    }
    Ok(())
}

/// Sets how many derivations of a group a customer can have, over all services: 1,000 to 1,023.
///
/// # Errors
/// [`DomainError::Refused`] for another number.
pub fn set_derivations_max(
    database: &mut Database,
    customer: CustomerId,
    most: u32,
) -> Result<(), DomainError> {
    if !(DERIVATIONS_PER_GROUP_DEFAULT..=DERIVATIONS_PER_GROUP_MAX).contains(&most) {
        return Err(DomainError::Refused(format!(
            "a customer can have {DERIVATIONS_PER_GROUP_DEFAULT} to {DERIVATIONS_PER_GROUP_MAX} derivations of a group"
        )));
    }
    database.write(|tx| {
        let lock = lock_customer(tx, customer)?.ok_or(DomainError::NoCustomer(customer))?;
        Ok(customers::set_derivations_max(tx, &lock, most)?)
    })
}

/// The text of a key that was issued, made again from its row.
///
/// # Errors
/// [`DomainError::Refused`]: the keyring has no secret for its group any more.
pub fn text_of(keyring: &Keyring, row: &ApiKeyRow) -> Result<KeyText, DomainError> {
    let mac = keyring::mac_of(keyring, row.group)
        .ok_or_else(|| DomainError::Refused(format!("the keyring has no secret for group {}", row.group)))?;
    Ok(apikey::issue(row.version, row.service, row.group, row.derivation, row.customer, &mac))
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
) -> Result<(Derivation, Fingerprint), KeyError> {
    let first = derivation_counters::next(tx, lock, group)?;
    let most = customers::derivations_max(tx, lock)?;
    let candidates: Vec<(Derivation, Fingerprint)> = (first..=most)
        .filter_map(Derivation::new)
        .map(|derivation| (derivation, Fingerprint::of(version, group, derivation, lock.customer())))
        .collect();
    let fingerprints: Vec<Fingerprint> = candidates.iter().map(|(_, fingerprint)| *fingerprint).collect();
    let revoked = revocations::among(tx, &fingerprints)?;
    let free = candidates.into_iter().find(|(_, fingerprint)| !revoked.contains_key(fingerprint));
    let (derivation, fingerprint) =
        free.ok_or(KeyRefusal::Exhausted { customer: lock.customer(), group, most })?;
    derivation_counters::set_next(tx, lock, group, u32::from(derivation.get()) + 1)?;
    Ok((derivation, fingerprint))
}

/// A customer's keys, oldest first, without deleted ones; of one service, or of all. There are never more than a few dozen.
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
#[derive(Clone, PartialEq, Eq, Debug)]
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
