//! From which addresses the keys of a customer and service may be used.
//!
//! One ordered set of all entries, not a list a customer: a customer's list is a range of it, found without a second
//! table; nothing is ever rehashed or moved at large, and to free a whole table stays below what one command may take.

use crate::tables::Full;
use edgeformat::{AllowlistEntry, PolicyKey, Prefix, TableDigest};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The most entries: to free so many at the end of a load, which is one command, takes a few milliseconds.
pub const ENTRIES_MAX: usize = 500_000;

/// The allowlist table.
#[derive(Default)]
pub struct Allowlists {
    entries: BTreeSet<AllowlistEntry>,
    digest: TableDigest,
}

impl Allowlists {
    /// Whether an address is on the list of a customer and service; never on a list that is empty or missing.
    /// IPv4 in disguise (`::ffff:10.0.0.1`) is asked as IPv4.
    pub fn contains(&self, key: PolicyKey, address: IpAddr) -> bool {
        let address = address.to_canonical();
        // A prefix that has the address begins at the address or before it. At most one list's entries of one family
        // are looked at, the nearest first.
        let first = if address.is_ipv4() { Prefix::FIRST_V4 } else { Prefix::FIRST_V6 };
        let entry = |prefix| AllowlistEntry { key, prefix };
        let candidates = self.entries.range(entry(first)..=entry(Prefix::of_address(address)));
        candidates.rev().any(|candidate| candidate.prefix.contains(address))
    }

    /// Takes an entry in; one that is there already changes nothing.
    ///
    /// # Errors
    /// [`Full`]: nothing has changed.
    pub fn insert(&mut self, entry: &AllowlistEntry) -> Result<(), Full> {
        self.insert_digested(entry, entry.digest())
    }

    /// The same for who knows the entry's digest already, which is most of the work.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub(crate) fn insert_digested(&mut self, entry: &AllowlistEntry, digest: u64) -> Result<(), Full> {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains(entry) {
            return Err(Full);
        }
        if self.entries.insert(*entry) {
            self.digest.add(digest);
        }
        Ok(())
    }

    /// Takes an entry out, if it is there.
    pub fn remove(&mut self, entry: &AllowlistEntry) {
        if self.entries.remove(entry) {
            self.digest.remove(entry.digest());
        }
    }

    /// Whether this very entry is there.
    pub fn has(&self, entry: &AllowlistEntry) -> bool {
        self.entries.contains(entry)
    }

    /// The list of a customer and service in rising order.
    pub fn list(&self, key: PolicyKey) -> impl Iterator<Item = Prefix> {
        let from = AllowlistEntry { key, prefix: Prefix::FIRST_V4 };
        self.entries.range(from..).take_while(move |entry| entry.key == key).map(|entry| entry.prefix)
    }

    /// How many new entries still fit.
    pub fn room_left(&self) -> usize {
        ENTRIES_MAX.saturating_sub(self.entries.len())
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Checksum of the entries.
    pub const fn digest(&self) -> TableDigest {
        self.digest
    }
}
