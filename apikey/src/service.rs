//! The services that a key can open, and the letter, number and name of each.

use std::fmt;
use std::str::FromStr;

use crate::ParseServiceError;

/// What a key opens; its letter is the key's first character. A letter that is none of these is an error,
/// never a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Seal key servers.
    Seal,
    /// Sui gRPC.
    Grpc,
    /// Sui GraphQL.
    Graphql,
}

impl Service {
    /// All of them, by number.
    pub const ALL: [Self; 3] = [Self::Seal, Self::Grpc, Self::Graphql];

    /// The upper-case letter in front of a key, which version 1's tag covers: `S`, `R`, `G`.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Seal => b'S',
            Self::Grpc => b'R',
            Self::Graphql => b'G',
        }
    }

    /// 1, 2, 3: how the edge's tables name the service. Never 0, never another meaning.
    pub const fn number(self) -> u8 {
        match self {
            Self::Seal => 1,
            Self::Grpc => 2,
            Self::Graphql => 3,
        }
    }

    /// `seal`, `grpc`, `graphql`: how people name the service.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Grpc => "grpc",
            Self::Graphql => "graphql",
        }
    }

    /// The service with this letter, in either case.
    pub const fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'S' | b's' => Some(Self::Seal),
            b'R' | b'r' => Some(Self::Grpc),
            b'G' | b'g' => Some(Self::Graphql),
            _ => None,
        }
    }

    /// The service with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Seal),
            2 => Some(Self::Grpc),
            3 => Some(Self::Graphql),
            _ => None,
        }
    }
}

/// The name.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads the name, lower case only.
impl FromStr for Service {
    type Err = ParseServiceError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|service| service.name() == name).ok_or(ParseServiceError)
    }
}
