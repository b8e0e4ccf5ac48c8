//! The fields of the payload, each as a type that only holds what the format allows.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::tag::Trailer;
use crate::{Fingerprint, ParseCustomerIdError};

/// The rules that tie the fields of versions 0 and 1 together. A key that breaks one is malformed, whatever
/// its tag is.
///
/// The customer id is not judged here: 0 is an error of its own, and only after the tag has been found right.
#[inline]
pub(crate) fn obeys_field_rules(version: Version, fingerprint: Fingerprint, trailer: &Trailer) -> bool {
    let derivation = fingerprint.derivation_bits();
    let derivation_fits =
        if fingerprint.imported() { derivation == 0 } else { Derivation::new(derivation).is_some() };
    let reserved_fits = match version {
        Version::V0 => trailer.reserved() == 0,
        Version::V1 => true,
    };
    derivation_fits && reserved_fits
}

/// Which tag rule a key follows; payload byte 0, bits 7-6. Numbers 2 and 3 have no meaning yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// The first document's format to the letter: 16-bit tag over the payload alone. For keys issued
    /// elsewhere.
    V0,
    /// What is issued: 48-bit tag over letter and payload.
    V1,
}

impl Version {
    /// 0 or 1.
    pub const fn number(self) -> u8 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
        }
    }

    /// The version with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::V0),
            1 => Some(Self::V1),
            _ => None,
        }
    }
}

/// Master key group, 0..=31: which secret of the keyring authenticates a key. Payload byte 0, bits 4-0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(u8);

impl Group {
    /// How many groups there are; a table with a place for each needs this many.
    pub const COUNT: usize = 32;

    /// `None` above 31.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 32 { Some(Self(number)) } else { None }
    }

    /// The group in the lower 5 bits of payload byte 0: every value of 5 bits is a group.
    pub(crate) const fn from_flags(flags: u8) -> Self {
        Self(flags & 0b1_1111)
    }

    /// 0..=31.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The decimal number.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A customer: a random number 1..=4294967295. Payload bytes 4-7.
///
/// It does not fit a signed 32-bit column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId(NonZeroU32);

impl CustomerId {
    /// `None` for 0, which names nobody.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// 1..=4294967295.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// The decimal number.
impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads what `Display` writes and nothing else: no sign, no leading zero, so that an id has one spelling.
impl FromStr for CustomerId {
    type Err = ParseCustomerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with(|first: char| matches!(first, '1'..='9')) {
            return Err(ParseCustomerIdError);
        }
        text.parse().map(Self).map_err(|_| ParseCustomerIdError)
    }
}

/// Which of a customer's keys in one group it is: 1..=1023. Payload bytes 1-3.
///
/// The format has 24 bits for it. The upper 14 stay zero for ever, because the edge puts other things in
/// their place when it hands a fingerprint to HAProxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Derivation(u16);

impl Derivation {
    /// The last one: 1023.
    pub const MAX: Self = Self(1023);

    /// `None` for 0 and above 1023.
    pub fn new(index: u32) -> Option<Self> {
        u16::try_from(index).ok().filter(|index| (1..=Self::MAX.0).contains(index)).map(Self)
    }

    /// 1..=1023.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The decimal number.
impl fmt::Display for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
