//! From which addresses a customer's keys may be used.

use crate::digest::digest_of_bytes;
use crate::field::{FieldError, Fields};
use crate::policy::PolicyKey;
use crate::prefix::Prefix;
use std::fmt;

/// One line of the allowlist table: `customer service prefix`. A customer's list of a service is all of its lines; it is
/// asked only where the policy says `allowlist`, and then an address that is in no line is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AllowlistEntry {
    /// Whose list.
    pub key: PolicyKey,
    /// One block of addresses that may.
    pub prefix: Prefix,
}

impl AllowlistEntry {
    /// Reads the three fields of a line or a change. The prefix comes last, and an IPv6 one has colons: who splits at
    /// colons splits at the first two.
    pub fn from_fields<'a>(fields: impl Iterator<Item = &'a str>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(fields);
        let key = PolicyKey::take(&mut fields)?;
        let prefix = Prefix::from_field(fields.word("prefix")?)?;
        fields.end()?;
        Ok(Self { key, prefix })
    }

    /// The fields with `separator` between them: a space in files, a colon in changes.
    pub fn text(&self, separator: char) -> String {
        let (s, key) = (separator, self.key);
        format!("{}{s}{}{s}{}", key.customer, key.service, self.prefix)
    }

    /// The digest of this entry, for [`crate::TableDigest`].
    pub fn digest(&self) -> u64 {
        let mut bytes = [b'a'; 24];
        let [_, c0, c1, c2, c3, service, prefix @ ..] = &mut bytes;
        [*c0, *c1, *c2, *c3] = self.key.customer.get().to_be_bytes();
        (*service, *prefix) = (self.key.service.number(), self.prefix.bytes());
        digest_of_bytes(&bytes)
    }
}

impl fmt::Display for AllowlistEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(' '))
    }
}
