//! Who may use the operators' paths of the API.

use crate::db::operator_tokens::{self, OperatorTokenRow};
use crate::db::{Database, DbError};
use crate::domain::DomainError;
use crate::random;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// How a token begins, so that a scanner for leaked secrets finds it.
const PREFIX: &str = "suiftly_operator_";
/// The prefix and 32 bytes in hex.
const TOKEN_LEN: usize = PREFIX.len() + 64;
/// The longest name, in bytes.
const NAME_LEN_MAX: usize = 64;

/// The text of a token. Shown once; neither logged nor stored.
pub struct OperatorToken(Zeroizing<String>);

impl OperatorToken {
    fn random() -> Result<Self, random::NoRandom> {
        let bytes = Zeroizing::new(random::bytes_32()?);
        Ok(Self(Zeroizing::new(format!("{PREFIX}{}", HEXLOWER.encode(bytes.as_slice())))))
    }

    /// A text that somebody has sent; none where it cannot be a token.
    pub fn from_text(text: &str) -> Option<Self> {
        let shaped = text.len() == TOKEN_LEN && text.starts_with(PREFIX);
        shaped.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text, for the one who asked for it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored and looked up: a look-up by the digest of 32 random bytes tells nothing by the time it takes.
    fn sha256_hex(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.0.as_bytes()))
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(…)")
    }
}

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
    let is_name_char = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.bytes().all(is_name_char) {
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
