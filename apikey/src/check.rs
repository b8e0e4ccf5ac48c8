//! The check value of a group's secret: whether two places hold the same one, without telling it.

use std::fmt;
use std::str::FromStr;

use crate::ParseCheckValueError;

/// What is authenticated for a check value. 26 bytes: what is authenticated for a key has 9 or 12
/// ([`MacKey`](crate::MacKey)), so that no check value is ever part of a key's tag.
pub(crate) const CHECK_MESSAGE: &[u8; 26] = b"suiftly key group check v1";

/// The first 4 bytes of HMAC-SHA256(group secret, "suiftly key group check v1").
///
/// Equal for equal secrets, and for two others once in 4,294,967,296. It may be printed, stored and sent in clear: from it
/// neither the secret nor any tag can be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckValue(u32);

impl CheckValue {
    pub(crate) const fn from_u32(bits: u32) -> Self {
        Self(bits)
    }
}

/// 8 lower-case hex digits.
impl fmt::Display for CheckValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Reads what `Display` writes and nothing else, so that a check value has one spelling.
impl FromStr for CheckValue {
    type Err = ParseCheckValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical =
            text.len() == 8 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let bits = u32::from_str_radix(text, 16).ok().filter(|_| canonical);
        bits.map(Self).ok_or(ParseCheckValueError)
    }
}
