#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod base32;
mod check;
mod decode;
mod error;
mod fingerprint;
mod issue;
mod payload;
mod secret;
mod service;
mod tag;

pub use check::CheckValue;
pub use decode::{DecodedKey, VerifiedKey, decode};
pub use error::{
    KeyError, ParseCheckValueError, ParseCustomerIdError, ParseFingerprintError, ParseSecretError,
    ParseServiceError,
};
pub use fingerprint::Fingerprint;
pub use issue::{KeyText, issue};
pub use payload::{CustomerId, Derivation, Group, Version};
pub use secret::GroupSecret;
pub use service::Service;
pub use tag::MacKey;

/// Length of every key, in characters (all ASCII, so also in bytes): 1 letter + 20 for the payload + 4 for
/// the tag.
pub const KEY_LEN: usize = 25;
