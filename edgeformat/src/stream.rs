//! The identity of a change stream.

use crate::digest::parse_hex64;
use std::{fmt, str::FromStr};

/// Names one history of changes. A database gets a random one when it is made and a new one when it is restored
/// from a backup, so that a sequence number of one history is never taken for one of another (DESIGN section 5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StreamId(u64);

impl StreamId {
    /// The stream of an edge that was never told anything.
    pub const NONE: Self = Self(0);

    /// A stream id from a random number; 0 is [`Self::NONE`].
    pub const fn from_u64(id: u64) -> Self {
        Self(id)
    }

    /// The id as a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for StreamId {
    type Err = crate::FieldError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex64(text)
            .map(Self)
            .ok_or_else(|| crate::FieldError::new("a stream id is 16 lower-case hex digits"))
    }
}
