//! Tokens that customers' scripts call the API with. They are no keys for the edge.

use crate::db::api_tokens::{self, ApiTokenRow};
use crate::db::{Database, DbError, WriteTx};
use crate::domain::activity::{Action, note};
use crate::domain::token::{Bearer, Token};
use crate::domain::{DomainError, UnknownWord};
use crate::random;
use apikey::CustomerId;
use data_encoding::HEXLOWER;
use serde_json::json;
use std::fmt;
use std::str::FromStr;

/// How many tokens of a customer can be good at once.
pub const TOKENS_MAX: u64 = 50;
/// How many tokens a customer can make in an hour, revoked and expired ones included: each leaves a row in the activity log.
pub const TOKENS_PER_HOUR_MAX: i64 = 100;
const HOUR_MS: i64 = 3_600_000;
/// The longest name, in characters.
pub const NAME_LEN_MAX: usize = 64;
/// The longest life: a year.
pub const LIFE_MS_MAX: i64 = 366 * 24 * 3_600 * 1_000;
/// Uses within a minute are noted once.
const LAST_USED_GRAIN_MS: i64 = 60_000;

/// Customers' scripts as bearers of tokens.
#[derive(Debug)]
pub enum Script {}

impl Bearer for Script {
    const PREFIX: &'static str = "suiftly_api_";
}

/// The text of an API token.
pub type ApiToken = Token<Script>;

crate::domain::words::words! {
    /// What a token may do.
    Scope: "keys:read, keys:write, services:write, billing:read, billing:write, usage:read, audit:read" {
        /// See API keys.
        KeysRead = "keys:read",
        /// Make, revoke and delete API keys.
        KeysWrite = "keys:write",
        /// Subscribe to services and change them.
        ServicesWrite = "services:write",
        /// See invoices and payment methods.
        BillingRead = "billing:read",
        /// Pay, and change how is paid.
        BillingWrite = "billing:write",
        /// See statistics and usage.
        UsageRead = "usage:read",
        /// Read the activity log.
        AuditRead = "audit:read",
    }
}

/// The scopes of a token: at least one, each once, in the order of [`Scope`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// The scopes in any order; none where there are none, or one stands twice.
    pub fn new(mut scopes: Vec<Scope>) -> Option<Self> {
        let given = scopes.len();
        scopes.sort_unstable();
        scopes.dedup();
        (given > 0 && scopes.len() == given).then_some(Self(scopes))
    }

    /// Whether this is one of them.
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Scope] {
        &self.0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|scope| scope.word()).collect();
        f.write_str(&words.join(" "))
    }
}

impl FromStr for Scopes {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let scopes = text.split(' ').map(str::parse).collect::<Result<Vec<_>, _>>()?;
        Self::new(scopes).ok_or(UnknownWord { expected: "scopes, each once" })
    }
}

/// A name of 1 to 64 characters, without control characters, and without blanks around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenName(String);

impl TokenName {
    /// The name, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text.chars().count() <= NAME_LEN_MAX
            && text.trim() == text
            && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }
}

/// Why there is no further token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateRefusal {
    /// The customer has [`TOKENS_MAX`] that are good.
    TooMany,
    /// [`TOKENS_PER_HOUR_MAX`] were made within an hour; one may go on after so many milliseconds.
    TooFast(i64),
}

/// Makes a token. Its text is shown once and not kept.
///
/// # Errors
/// [`DomainError`]; the transaction must then be given up.
pub fn create(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
    name: &TokenName,
    scopes: Scopes,
    expires_at_ms: i64,
    now_ms: i64,
) -> Result<Result<(ApiToken, ApiTokenRow), CreateRefusal>, DomainError> {
    if api_tokens::count_good(tx, customer, now_ms)? >= TOKENS_MAX {
        return Ok(Err(CreateRefusal::TooMany));
    }
    // The one that is so many back must be an hour old.
    if let Some(made_ms) = api_tokens::made_at(tx, customer, TOKENS_PER_HOUR_MAX - 1)?
        && made_ms > now_ms.saturating_sub(HOUR_MS)
    {
        return Ok(Err(CreateRefusal::TooFast(made_ms.saturating_add(HOUR_MS).saturating_sub(now_ms))));
    }
    let token = ApiToken::random()?;
    let bytes = random::bytes_32()?;
    let (half, _) = bytes.split_at(bytes.len() / 2);
    let row = ApiTokenRow {
        token_id: HEXLOWER.encode(half),
        customer,
        name: name.0.clone(),
        scopes,
        created_at_ms: now_ms,
        expires_at_ms,
        last_used_at_ms: None,
        revoked_at_ms: None,
        version: 1,
    };
    api_tokens::insert(tx, &row, &token.sha256_hex())?;
    let detail = json!({ "token_id": row.token_id, "name": row.name, "scopes": row.scopes.to_string() });
    note(tx, customer, Action::TokenCreated, &detail, now_ms)?;
    Ok(Ok((token, row)))
}

/// Gives a token another name, and answers how it stands then.
///
/// # Errors
/// [`DbError`].
pub fn rename(
    tx: &mut WriteTx<'_>,
    token: &ApiTokenRow,
    name: &TokenName,
    now_ms: i64,
) -> Result<ApiTokenRow, DbError> {
    if token.name == name.0 {
        return Ok(token.clone());
    }
    api_tokens::rename(tx, &token.token_id, &name.0)?;
    let detail = json!({ "token_id": token.token_id, "name": name.0 });
    note(tx, token.customer, Action::TokenChanged, &detail, now_ms)?;
    Ok(ApiTokenRow { name: name.0.clone(), version: token.version + 1, ..token.clone() })
}

/// Revokes a token; one that is revoked stays so.
///
/// # Errors
/// [`DbError`].
pub fn revoke(tx: &mut WriteTx<'_>, token: &ApiTokenRow, now_ms: i64) -> Result<(), DbError> {
    if token.revoked_at_ms.is_some() {
        return Ok(());
    }
    api_tokens::set_revoked(tx, &token.token_id, now_ms)?;
    let detail = json!({ "token_id": token.token_id, "name": token.name });
    note(tx, token.customer, Action::TokenRevoked, &detail, now_ms)
}

/// Notes that a token is used, at most once a minute.
///
/// # Errors
/// [`DbError`].
pub fn note_use(database: &mut Database, token: &ApiTokenRow, now_ms: i64) -> Result<(), DbError> {
    if token.last_used_at_ms.is_some_and(|last_ms| now_ms.saturating_sub(last_ms) < LAST_USED_GRAIN_MS) {
        return Ok(());
    }
    database.write(|tx| api_tokens::set_last_used(tx, &token.token_id, now_ms))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn scopes_stand_once_and_in_one_order() {
        let scopes = Scopes::new(vec![Scope::UsageRead, Scope::KeysRead]).unwrap();
        assert_eq!(scopes.to_string(), "keys:read usage:read");
        assert_eq!("keys:read usage:read".parse::<Scopes>().unwrap(), scopes);
        assert_eq!(Scopes::new(vec![]), None);
        assert_eq!(Scopes::new(vec![Scope::KeysRead, Scope::KeysRead]), None);
        assert!("keys:read keys:admin".parse::<Scopes>().is_err());
    }

    #[test]
    fn a_name_can_be_read_and_has_a_limit() {
        assert!(TokenName::new("CI, Köln").is_some());
        for text in ["", " a", "a\n", &"a".repeat(65)] {
            assert_eq!(TokenName::new(text), None, "{text:?}");
        }
    }
}
