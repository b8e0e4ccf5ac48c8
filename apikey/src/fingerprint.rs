//! The name of a key: payload bytes 0..8 as one number.

use std::fmt;
use std::str::FromStr;

use crate::{CustomerId, Derivation, Group, ParseFingerprintError, Version};

/// Names a key without giving it away: version, group, derivation and customer, and none of the tag.
///
/// ```text
/// bit 63..62   61         60..56   55..32       31..0
/// version      imported   group    derivation   customer
/// ```
///
/// It is unique, is what revocations and rows are kept by, and forges nothing. Bit 63 is 0 for versions 0 and
/// 1, so it fits a signed 64-bit column. The letter is not part of it. Any 64-bit number is accepted: that a
/// fingerprint belongs to a genuine key is what a [`VerifiedKey`](crate::VerifiedKey) says.
///
/// `Display` and `Debug` write exactly 16 upper-case hex digits; `FromStr` reads exactly 16 of either case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of an issued (not imported) key.
    pub fn of(version: Version, group: Group, derivation: Derivation, customer: CustomerId) -> Self {
        let flags = (version.number() << 6) | group.get();
        Self((u64::from(flags) << 56) | (u64::from(derivation.get()) << 32) | u64::from(customer.get()))
    }

    /// Takes a number that was stored or received.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// 2 bits; only 0 and 1 are versions that exist.
    pub const fn version_bits(self) -> u8 {
        self.flags() >> 6
    }

    /// Whether the key was made elsewhere and taken over.
    pub const fn imported(self) -> bool {
        self.flags() & 0b10_0000 != 0
    }

    /// The master key group.
    pub const fn group(self) -> Group {
        Group::from_flags(self.flags())
    }

    /// 24 bits; 1..=1023 in a key that was issued, 0 in one that was imported.
    pub const fn derivation_bits(self) -> u32 {
        let [_, high, middle, low, ..] = self.0.to_be_bytes();
        u32::from_be_bytes([0, high, middle, low])
    }

    /// 32 bits; 0 names nobody.
    pub const fn customer_bits(self) -> u32 {
        let [.., first, second, third, fourth] = self.0.to_be_bytes();
        u32::from_be_bytes([first, second, third, fourth])
    }

    /// Payload byte 0.
    const fn flags(self) -> u8 {
        let [flags, ..] = self.0.to_be_bytes();
        flags
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `from_str_radix` alone would take a sign and fewer digits.
        if text.len() != 16 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(ParseFingerprintError);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ParseFingerprintError)
    }
}
