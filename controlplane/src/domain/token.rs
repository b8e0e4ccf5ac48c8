//! Tokens of operators and of edges: 32 random bytes behind a prefix that says whose they are.

use crate::random;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::fmt;
use std::marker::PhantomData;
use zeroize::Zeroizing;

/// Whose token it is.
pub trait Bearer {
    /// How its tokens begin, so that a scanner for leaked secrets finds them.
    const PREFIX: &'static str;
}

/// The text of a token. Shown once; neither logged nor stored.
pub struct Token<B: Bearer> {
    text: Zeroizing<String>,
    bearer: PhantomData<B>,
}

/// The 32 random bytes in hex.
const SECRET_LEN: usize = 64;

impl<B: Bearer> Token<B> {
    /// A token that was never there before.
    ///
    /// # Errors
    /// The operating system gave no randomness.
    pub fn random() -> Result<Self, random::NoRandom> {
        let bytes = Zeroizing::new(random::bytes_32()?);
        let secret = Zeroizing::new(HEXLOWER.encode(bytes.as_slice()));
        Ok(Self::of(Zeroizing::new(format!("{}{}", B::PREFIX, *secret))))
    }

    /// A text that somebody has sent; none where it cannot be a token of this kind.
    pub fn from_text(text: &str) -> Option<Self> {
        let shaped = text.len() == B::PREFIX.len() + SECRET_LEN && text.starts_with(B::PREFIX);
        shaped.then(|| Self::of(Zeroizing::new(text.to_owned())))
    }

    fn of(text: Zeroizing<String>) -> Self {
        Self { text, bearer: PhantomData }
    }

    /// The text, for the one who asked for it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What is stored and looked up: a look-up by the digest of 32 random bytes tells nothing by the time it takes.
    pub fn sha256_hex(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.text.as_bytes()))
    }
}

impl<B: Bearer> fmt::Debug for Token<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", B::PREFIX)
    }
}

/// The longest name of a token's bearer, in bytes.
pub const NAME_LEN_MAX: usize = 64;

/// Whether a text can name a bearer: it stands in logs, tables and labels.
pub fn is_name(text: &str) -> bool {
    let is_name_char = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    !text.is_empty() && text.len() <= NAME_LEN_MAX && text.bytes().all(is_name_char)
}
