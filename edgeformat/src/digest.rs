//! Checksums that both planes compare.
//!
//! They find accidents (a lost line, a torn write, a forgotten change), not forgers: whoever can write these files
//! or this socket has no need to forge a sum.

use sha2::{Digest, Sha256};
use std::fmt;

/// The first 8 bytes of SHA-256, big-endian.
pub fn digest_of_bytes(bytes: &[u8]) -> u64 {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    hash.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}

/// The checksum of a table: the wrapping sum of its entries' digests.
///
/// It does not depend on their order and follows a change in constant time, so that a module can answer with it
/// at once and an agent can compare a million entries with one number.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TableDigest(u64);

impl TableDigest {
    /// Takes one entry in.
    pub fn add(&mut self, entry_digest: u64) {
        self.0 = self.0.wrapping_add(entry_digest);
    }

    /// Takes one entry out.
    pub fn remove(&mut self, entry_digest: u64) {
        self.0 = self.0.wrapping_sub(entry_digest);
    }

    /// The sum as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// A sum read from text: 16 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        parse_hex64(text).map(Self)
    }
}

impl fmt::Display for TableDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Exactly 16 lower-case hex digits as a number.
pub(crate) fn parse_hex64(text: &str) -> Option<u64> {
    let canonical = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { u64::from_str_radix(text, 16).ok() } else { None }
}
