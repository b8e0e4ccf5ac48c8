//! `/api/v1/tokens`: what customers' scripts call the API with.

pub mod create;
pub mod list;
pub mod one;

use crate::clock::rfc3339_ms;
use crate::db::api_tokens::ApiTokenRow;
use crate::domain::api_tokens::Scope;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a token may do.
#[derive(Clone, Copy, Deserialize, Serialize, ToSchema, Debug)]
#[schema(as = Scope)]
pub enum ScopeWord {
    /// See API keys
    #[serde(rename = "keys:read")]
    KeysRead,
    /// Make, revoke and delete API keys
    #[serde(rename = "keys:write")]
    KeysWrite,
    /// Subscribe to services and change them
    #[serde(rename = "services:write")]
    ServicesWrite,
    /// See invoices and payment methods
    #[serde(rename = "billing:read")]
    BillingRead,
    /// Pay, and change how is paid
    #[serde(rename = "billing:write")]
    BillingWrite,
    /// See statistics and usage
    #[serde(rename = "usage:read")]
    UsageRead,
    /// Read the activity log
    #[serde(rename = "audit:read")]
    AuditRead,
}

impl From<ScopeWord> for Scope {
    fn from(word: ScopeWord) -> Self {
        match word {
            ScopeWord::KeysRead => Self::KeysRead,
            ScopeWord::KeysWrite => Self::KeysWrite,
            ScopeWord::ServicesWrite => Self::ServicesWrite,
            ScopeWord::BillingRead => Self::BillingRead,
            ScopeWord::BillingWrite => Self::BillingWrite,
            ScopeWord::UsageRead => Self::UsageRead,
            ScopeWord::AuditRead => Self::AuditRead,
        }
    }
}

impl From<Scope> for ScopeWord {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::KeysRead => Self::KeysRead,
            Scope::KeysWrite => Self::KeysWrite,
            Scope::ServicesWrite => Self::ServicesWrite,
            Scope::BillingRead => Self::BillingRead,
            Scope::BillingWrite => Self::BillingWrite,
            Scope::UsageRead => Self::UsageRead,
            Scope::AuditRead => Self::AuditRead,
        }
    }
}

/// An API token, without its text.
#[derive(Serialize, ToSchema)]
pub struct TokenItem {
    /// What names it
    id: String,
    /// What its owner calls it
    name: String,
    /// What it may do
    scopes: Vec<ScopeWord>,
    /// `active` or `expired`
    #[schema(example = "active")]
    state: &'static str,
    /// When it was made
    #[schema(format = "date-time")]
    created_at: String,
    /// From when on it is refused
    #[schema(format = "date-time")]
    expires_at: String,
    /// When it was used last, to the minute; `null` if never
    #[schema(format = "date-time")]
    last_used_at: Option<String>,
}

impl TokenItem {
    fn of(row: &ApiTokenRow, now_ms: i64) -> Self {
        let state = if now_ms >= row.expires_at_ms { "expired" } else { "active" };
        Self {
            id: row.token_id.clone(),
            name: row.name.clone(),
            scopes: row.scopes.as_slice().iter().copied().map(ScopeWord::from).collect(),
            state,
            created_at: rfc3339_ms(row.created_at_ms),
            expires_at: rfc3339_ms(row.expires_at_ms),
            last_used_at: row.last_used_at_ms.map(rfc3339_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_words_of_json_are_those_of_the_database() {
        for scope in Scope::ALL {
            let word = serde_json::to_value(ScopeWord::from(*scope)).unwrap();
            assert_eq!(word, scope.word());
            assert_eq!(Scope::from(serde_json::from_value::<ScopeWord>(word).unwrap()), *scope);
        }
    }
}
