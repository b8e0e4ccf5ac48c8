//! Why a key is refused, and why a value given as text is. None of these repeats what was given: it could be
//! a secret.

use thiserror::Error;

/// Why a key is refused. The variants stand in the order of the checks: a key with several faults has the
/// first one's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum KeyError {
    /// Not the text of any key: length, a character outside the alphabet, a spare bit that is set, or fields
    /// that contradict each other under version 0 or 1.
    #[error("the API key is malformed: it must be 25 characters, exactly as it was issued")]
    Malformed,
    /// The first character is a letter or digit, but no service's.
    #[error("the API key starts with a letter that belongs to no service")]
    UnknownService,
    /// Version 2 or 3.
    #[error("the API key has a version that is not supported")]
    UnsupportedVersion,
    /// The keyring has no secret for the key's group. This crate never answers it: the caller owns the
    /// keyring and raises it between [`decode`](crate::decode) and
    /// [`authenticate`](crate::DecodedKey::authenticate). It stands here because its place in the order is
    /// part of the format.
    #[error("the API key belongs to a master key group that is not known here")]
    UnknownGroup,
    /// The tag does not fit: not made with this group's secret, or changed since.
    #[error("the API key is not genuine: its authentication tag is wrong")]
    BadMac,
    /// The tag is right, but the customer id is 0. Only an issuer with the secret and a fault can make such a
    /// key.
    #[error("the API key is genuine but names no customer: its customer id is 0")]
    BadCustomer,
}

/// The text is not the name of a [`Service`](crate::Service).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("unknown service: expected seal, grpc or graphql, in lower case")]
pub struct ParseServiceError;

/// The text is not a [`CustomerId`](crate::CustomerId).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("not a customer id: expected a decimal number from 1 to 4294967295, without sign or leading zero")]
pub struct ParseCustomerIdError;

/// The text is not a [`Fingerprint`](crate::Fingerprint).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("not a key fingerprint: expected exactly 16 hex digits")]
pub struct ParseFingerprintError;

/// The text is not a [`GroupSecret`](crate::GroupSecret).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("not a group secret: expected exactly 64 hex digits (32 bytes)")]
pub struct ParseSecretError;

/// The text is not a [`CheckValue`](crate::CheckValue).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("not a check value: expected exactly 8 hex digits, in lower case")]
pub struct ParseCheckValueError;
