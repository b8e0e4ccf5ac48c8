//! `/api/v1/services/{service}/keys`: what opens a service at the edge.

pub mod change;
pub mod create;
pub mod delete;
pub mod re_enable;
pub mod read;
pub mod revoke;
pub mod rotate;

use crate::clock::{rfc3339_from, rfc3339_ms};
use crate::db::ReadTx;
use crate::db::api_keys::{self, ApiKeyRow};
use crate::domain::keys::{KeyError, KeyName, KeyRefusal, NAME_LEN_MAX};
use crate::domain::{DomainError, KeyState};
use crate::http::api::Api;
use crate::http::caller::Account;
use crate::http::idempotency::{Kept, Once};
use crate::http::routes::services::service_of;
use crate::http::strict::invalid;
use crate::problem::{Problem, ProblemDetails};
use apikey::{Fingerprint, KeyText, Service};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

const MS_PER_S: i64 = 1_000;
/// What is kept of an answer under an `Idempotency-Key`.
const KIND: &str = "api_key";
/// How far ahead an expiry can lie: ten years.
const LIFE_MS_MAX: i64 = 3_653 * 24 * 3_600 * MS_PER_S;
/// How many characters of a key are shown: they hold its version, group and derivation, and part of the customer's id. What
/// authenticates it comes later.
const SHOWN_LEN: usize = 9;

/// An API key, without its text.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct KeyItem {
    /// What names it: its fingerprint
    #[schema(example = "4100000112345678")]
    id: String,
    /// The same; the name that it has in logs and at the edge
    #[schema(example = "4100000112345678")]
    fingerprint: String,
    /// What it opens
    #[schema(example = "seal")]
    service: &'static str,
    /// What its owner calls it; may be empty
    name: String,
    /// The first characters of its text
    #[schema(example = "SIEAAAAIS…")]
    masked: String,
    /// `active`, `expired`, `revoked` or `deleted`
    #[schema(example = "active")]
    state: &'static str,
    /// Which of the account's keys in its group it is
    #[schema(minimum = 1, maximum = 1023)]
    derivation: u16,
    /// Which secret of ours authenticates it
    #[schema(maximum = 31)]
    master_key_group: u8,
    /// Which rule its tag follows
    #[schema(maximum = 1)]
    version: u8,
    /// When it was made
    #[schema(format = "date-time")]
    created_at: String,
    /// From when on it is refused; `null`: never
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// When it was revoked
    #[schema(format = "date-time")]
    revoked_at: Option<String>,
    /// The last minute in which it was used; `null` if never
    #[schema(format = "date-time")]
    last_used_at: Option<String>,
}

impl KeyItem {
    fn of(row: &ApiKeyRow, now_ms: i64) -> Self {
        let fingerprint = row.fingerprint.to_string();
        Self {
            id: fingerprint.clone(),
            fingerprint,
            service: row.service.name(),
            name: row.name.clone(),
            masked: masked(row),
            state: row.state(u64::try_from(now_ms / MS_PER_S).unwrap_or(0)).word(),
            derivation: row.derivation.get(),
            master_key_group: row.group.get(),
            version: row.version.number(),
            created_at: rfc3339_ms(row.created_at_ms),
            expires_at: row.expires_at_s.map(rfc3339_of_s),
            revoked_at: row.revoked_at_ms.map(rfc3339_ms),
            last_used_at: row.last_used_at_s.map(|at_s| rfc3339_ms(at_s.saturating_mul(MS_PER_S))),
        }
    }
}

/// A key that was made, with its text.
#[derive(Serialize, ToSchema)]
pub struct CreatedKey {
    /// The key, for `Authorization: Bearer` or `X-API-Key` at the edge. It is not shown again
    api_key: String,
    #[serde(flatten)]
    item: KeyItem,
}

impl CreatedKey {
    fn of(text: &KeyText, row: &ApiKeyRow, now_ms: i64) -> Self {
        Self { api_key: text.as_str().to_owned(), item: KeyItem::of(row, now_ms) }
    }
}

/// A key that was changed, and whether the edges know.
#[derive(Serialize, ToSchema)]
pub struct ChangedKey {
    #[serde(flatten)]
    key: KeyItem,
    /// Whether every edge has confirmed that it enforces this
    applied: bool,
}

/// The first characters of a key's text, from its numbers alone.
fn masked(row: &ApiKeyRow) -> String {
    let bytes = row.fingerprint.get().to_be_bytes();
    let digits = data_encoding::BASE32_NOPAD.encode(&bytes);
    let shown: String = digits.chars().take(SHOWN_LEN - 1).collect();
    format!("{}{shown}…", char::from(row.service.letter()))
}

fn rfc3339_of_s(at_s: u64) -> String {
    rfc3339_ms(i64::try_from(at_s).unwrap_or(i64::MAX / MS_PER_S).saturating_mul(MS_PER_S))
}

/// A key of this account and service that was not deleted; that somebody else has one with this name is not told.
fn find(
    tx: &mut ReadTx<'_>,
    account: &Account,
    service: Service,
    fingerprint: Fingerprint,
) -> Result<ApiKeyRow, ProblemDetails> {
    let is_mine = |row: &ApiKeyRow| {
        row.customer == account.customer.customer && row.service == service && row.deleted_at_ms.is_none()
    };
    api_keys::find(tx, fingerprint)?.filter(is_mine).ok_or_else(|| Problem::NotFound.into())
}

/// What a path names.
fn named(service: &str, id: &str) -> Result<(Service, Fingerprint), ProblemDetails> {
    let fingerprint = id.parse().map_err(|_| Problem::NotFound)?;
    Ok((service_of(service)?, fingerprint))
}

fn name_of(text: &str) -> Result<KeyName, ProblemDetails> {
    KeyName::new(text).ok_or_else(|| {
        let detail = format!(
            "a name has at most {NAME_LEN_MAX} characters, no control characters and no blanks around it"
        );
        invalid("name", &detail)
    })
}

/// A moment ahead, unix seconds.
fn moment_ahead_s(field: &str, text: &str, now_ms: i64) -> Result<u64, ProblemDetails> {
    let at_ms = rfc3339_from(text)
        .ok_or_else(|| invalid(field, "write a moment in RFC 3339 with Z, such as 2027-01-31T00:00:00Z"))?;
    if at_ms < now_ms || at_ms > now_ms.saturating_add(LIFE_MS_MAX) {
        return Err(invalid(field, "it must lie in the future, at most ten years from now"));
    }
    // To the second, and never earlier than asked.
    u64::try_from(at_ms.saturating_add(MS_PER_S - 1) / MS_PER_S)
        .map_err(|_| invalid(field, "it must lie in the future"))
}

/// What is kept of a key that was made: its name alone, from which its text is made again.
fn kept(row: &ApiKeyRow) -> Kept {
    Kept { kind: KIND, made: row.fingerprint.to_string(), status: 201, answer: "{}".to_owned() }
}

/// The key and its text: of a request that was done before the same ones, as long as the key is good. So a key whose answer was lost
/// is not lost.
fn made(
    tx: &mut ReadTx<'_>,
    api: &Api,
    once: Once<(KeyText, ApiKeyRow)>,
    now_ms: i64,
) -> Result<(KeyText, ApiKeyRow), ProblemDetails> {
    let answered = match once {
        Once::Now(made) => return Ok(made),
        Once::Before(answered) => answered,
    };
    let now_s = u64::try_from(now_ms / MS_PER_S).unwrap_or(0);
    let fingerprint: Fingerprint = answered.made.parse().map_err(|_| Problem::Internal)?;
    let row = api_keys::find(tx, fingerprint)?.filter(|row| row.state(now_s) == KeyState::Active);
    let gone = ProblemDetails { created_id: Some(answered.made.clone()), ..Problem::AlreadyCreated.into() };
    let row = row.ok_or(gone)?;
    let text = crate::domain::keys::text_of(&api.keyring()?, &row)?;
    Ok((text, row))
}

impl From<KeyError> for ProblemDetails {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Refused(refusal) => refusal.into(),
            KeyError::Domain(error) => error.into(),
        }
    }
}

impl From<KeyRefusal> for ProblemDetails {
    fn from(refusal: KeyRefusal) -> Self {
        match refusal {
            KeyRefusal::TooMany { most, .. } => Self {
                detail: Some("a revoked key keeps its place, a deleted one does not".into()),
                ..Self::with_details(Problem::TooManyKeys, json!({"api_keys_max": most}))
            },
            KeyRefusal::TooFast { wait_ms } => Self {
                detail: Some(
                    format!(
                        "at most {} API keys can be made in an hour",
                        crate::domain::keys::CREATIONS_PER_HOUR_MAX
                    )
                    .into(),
                ),
                ..Self::retry_after_ms(Problem::RateLimitExceeded, wait_ms)
            },
            KeyRefusal::Exhausted { .. } => Problem::DerivationsExhausted.into(),
            KeyRefusal::NoService(_) => Problem::NoService.into(),
            KeyRefusal::SubscriptionPending { estimated_cents } => {
                crate::domain::gate::Declined::SubscriptionPending { estimated_cents }.into()
            }
            KeyRefusal::Declined(declined) => declined.into(),
            KeyRefusal::NotByOwner(_) => Problem::RevokedByOperator.into(),
            KeyRefusal::NotActive(_) => Problem::KeyNotActive.into(),
            KeyRefusal::Deleted(_) | KeyRefusal::NotIssued(_) => Problem::NotFound.into(),
        }
    }
}

/// Why an operator must act before keys can be made: the customer cannot help it.
fn logged(error: KeyError) -> ProblemDetails {
    if let KeyError::Domain(DomainError::Refused(why)) = &error {
        tracing::error!(error = %why, "no key can be made for a customer until an operator has acted");
        return Problem::KeysUnavailable.into();
    }
    error.into()
}
