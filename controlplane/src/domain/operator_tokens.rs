//! Who may use the operators' paths of the API.

use crate::db::operator_tokens::{self, OperatorTokenRow};
use crate::db::{Database, DbError};
use crate::domain::DomainError;
use crate::domain::token::{Bearer, NAME_LEN_MAX, Token, is_name};

/// Operators as bearers of tokens.
#[derive(Debug)]
pub enum Operator {}

impl Bearer for Operator {
    const PREFIX: &'static str = "suiftly_operator_";
}

/// The text of an operator's token.
pub type OperatorToken = Token<Operator>;

/// Makes a token that is good until a moment, and answers its text, which nobody can ask for again.
///
/// # Errors
/// [`DomainError::Refused`] where the name is taken or is no name.
pub fn create(
    database: &mut Database,
    name: &str,
    now_ms: i64,
    expires_at_ms: i64,
) -> Result<OperatorToken, DomainError> {
    if !is_name(name) {
        return Err(DomainError::Refused(format!(
            "a token's name has 1 to {NAME_LEN_MAX} letters, digits and -_.@"
        )));
    }
    let token = OperatorToken::random()?;
    database.write(|tx| {
        if operator_tokens::find(tx, name)?.is_some() {
            return Err(DomainError::Refused(format!(
                "there is a token `{name}` already; names are not used again, so that a log stays clear"
            )));
        }
        Ok(operator_tokens::insert(tx, name, &token.sha256_hex(), now_ms, expires_at_ms)?)
    })?;
    Ok(token)
}

/// Revokes a token; `false` where there is none with this name. One that was revoked stays so.
///
/// # Errors
/// [`DbError`].
pub fn revoke(database: &mut Database, name: &str, now_ms: i64) -> Result<bool, DbError> {
    database.write(|tx| match operator_tokens::find(tx, name)? {
        None => Ok(false),
        Some(row) if row.revoked_at_ms.is_some() => Ok(true),
        Some(_) => operator_tokens::set_revoked(tx, name, now_ms).map(|()| true),
    })
}

/// Every token, without its text.
///
/// # Errors
/// [`DbError`].
pub fn list(database: &mut Database) -> Result<Vec<OperatorTokenRow>, DbError> {
    database.read(operator_tokens::all)
}

/// The name of the token if it is good now.
///
/// # Errors
/// [`DbError`].
pub fn authenticate(
    database: &mut Database,
    token: &OperatorToken,
    now_ms: i64,
) -> Result<Option<String>, DbError> {
    let found = database.read(|tx| operator_tokens::find_by_digest(tx, &token.sha256_hex()))?;
    Ok(found.filter(|row| row.revoked_at_ms.is_none() && now_ms < row.expires_at_ms).map(|row| row.name))
}
