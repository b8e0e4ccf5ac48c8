//! A key that is refused, or will be from a given second on.

use crate::digest::digest_of_bytes;
use crate::field::{FieldError, Fields, shown};
use crate::reason::Reason;
use apikey::Fingerprint;
use std::fmt;

/// What a caller is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum RevocationKind {
    /// Somebody revoked it.
    Revoked = 0,
    /// Its own time is over.
    Expired = 1,
}

impl RevocationKind {
    /// The reason that the caller gets.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Revoked => Reason::Revoked,
            Self::Expired => Reason::Expired,
        }
    }

    /// The word in map files.
    pub fn word(self) -> &'static str {
        self.reason().code()
    }
}

/// One line of the revocation table: `fingerprint in-force-from kind`. One entry a fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Revocation {
    /// Which key.
    pub fingerprint: Fingerprint,
    /// From which second on (unix seconds); 0 is at once. Sent ahead, it takes effect with the control plane down too.
    pub in_force_from_s: u64,
    /// What the caller is told.
    pub kind: RevocationKind,
}

/// The latest second that an entry can carry: the module packs it with the kind into 64 bits.
pub const IN_FORCE_FROM_MAX_S: u64 = (1 << 63) - 1;

impl Revocation {
    /// Reads the three fields of a line or a change.
    pub fn from_fields<'a>(fields: impl Iterator<Item = &'a str>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(fields);
        let fingerprint = fingerprint_from_field(fields.word("fingerprint")?)?;
        let in_force_from_s = fields.number("in force from")?;
        if in_force_from_s > IN_FORCE_FROM_MAX_S {
            return Err(FieldError::new("`in force from` is later than any second that can be stored"));
        }
        let kind = match fields.word("kind")? {
            "revoked" => RevocationKind::Revoked,
            "expired" => RevocationKind::Expired,
            other => {
                return Err(FieldError::new(format!(
                    "a kind is `revoked` or `expired`, not `{}`",
                    shown(other)
                )));
            }
        };
        fields.end()?;
        Ok(Self { fingerprint, in_force_from_s, kind })
    }

    /// The fields with `separator` between them: a space in files, a colon in changes.
    pub fn text(&self, separator: char) -> String {
        let s = separator;
        format!("{}{s}{}{s}{}", self.fingerprint, self.in_force_from_s, self.kind.word())
    }

    /// The digest of this entry, for [`crate::TableDigest`].
    pub fn digest(&self) -> u64 {
        let mut bytes = [b'r'; 18];
        let (fingerprint, rest) = bytes.split_at_mut(8);
        let (from, kind) = rest.split_at_mut(8);
        fingerprint.copy_from_slice(&self.fingerprint.get().to_be_bytes());
        from.copy_from_slice(&self.in_force_from_s.to_be_bytes());
        kind.copy_from_slice(&[b'r', self.kind as u8]);
        digest_of_bytes(&bytes)
    }
}

/// A fingerprint as files and changes spell it: 16 upper-case hex digits, so that it has one spelling.
pub(crate) fn fingerprint_from_field(word: &str) -> Result<Fingerprint, FieldError> {
    let parsed = if word.bytes().any(|b| b.is_ascii_lowercase()) { None } else { word.parse().ok() };
    parsed.ok_or_else(|| {
        FieldError::new(format!("a fingerprint is 16 upper-case hex digits, not `{}`", shown(word)))
    })
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(' '))
    }
}
