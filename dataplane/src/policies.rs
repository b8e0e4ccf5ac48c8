//! What the edge knows of each customer and service.

use crate::tables::Full;
use crate::usage::SlotCell;
use apikey::{CustomerId, Service};
use edgeformat::{PlanNumber, Policy, PolicyKey, PolicyState, TableDigest, ledger};
use rustc_hash::FxBuildHasher;
use std::collections::HashMap;

/// The smallest room, in entries.
const ROOM_MIN: usize = 32_768;

/// The policy table. Room is reserved as in [`crate::revocations::Revocations`], for the same reason.
pub struct Policies {
    entries: HashMap<u64, Entry, FxBuildHasher>,
    digest: TableDigest,
    room: usize,
}

/// One policy, 8 bytes.
#[derive(Debug)]
pub struct Entry {
    slot: SlotCell,
    plan: PlanNumber,
    state: PolicyState,
    allowlist: bool,
}

impl Entry {
    /// Where requests of this customer and service are counted.
    pub const fn slot(&self) -> &SlotCell {
        &self.slot
    }

    /// Which rates apply.
    pub const fn plan(&self) -> PlanNumber {
        self.plan
    }

    /// Served or not.
    pub const fn state(&self) -> PolicyState {
        self.state
    }

    /// Whether addresses are asked for.
    pub const fn allowlist(&self) -> bool {
        self.allowlist
    }

    const fn policy(&self, key: PolicyKey) -> Policy {
        Policy { key, state: self.state, plan: self.plan, allowlist: self.allowlist }
    }
}

/// Customer and service in one word: what the table is keyed by.
const fn packed_key(customer: CustomerId, service: Service) -> u64 {
    ledger::packed_key(PolicyKey { customer, service })
}

impl Policies {
    /// An empty table with room for half as many entries again as `expected`.
    pub fn with_room_for(expected: usize) -> Self {
        let room = (expected + expected / 2).max(ROOM_MIN);
        let entries = HashMap::with_capacity_and_hasher(room, FxBuildHasher);
        Self { entries, digest: TableDigest::default(), room }
    }

    /// The policy of a customer and service.
    pub fn get(&self, customer: CustomerId, service: Service) -> Option<&Entry> {
        self.entries.get(&packed_key(customer, service))
    }

    /// Takes a policy in, in place of the one that stood there.
    ///
    /// # Errors
    /// [`Full`]: nothing has changed; load the tables anew.
    pub fn insert(&mut self, policy: &Policy) -> Result<(), Full> {
        self.insert_digested(policy, policy.digest())
    }

    /// The same for who knows the entry's digest already, which is most of the work.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub(crate) fn insert_digested(&mut self, policy: &Policy, digest: u64) -> Result<(), Full> {
        let key = packed_key(policy.key.customer, policy.key.service);
        let is_full = self.entries.len() >= self.room;
        match self.entries.get_mut(&key) {
            Some(entry) => {
                self.digest.remove(entry.policy(policy.key).digest());
                (entry.plan, entry.state, entry.allowlist) = (policy.plan, policy.state, policy.allowlist);
            }
            None if is_full => return Err(Full),
            None => {
                let (plan, state, allowlist) = (policy.plan, policy.state, policy.allowlist);
                self.entries.insert(key, Entry { slot: SlotCell::unknown(), plan, state, allowlist });
            }
        }
        self.digest.add(digest);
        Ok(())
    }

    /// Takes a policy out, if there is one.
    pub fn remove(&mut self, key: PolicyKey) {
        if let Some(old) = self.entries.remove(&packed_key(key.customer, key.service)) {
            self.digest.remove(old.policy(key).digest());
        }
    }

    /// Whether any policy wants addresses checked. Walks through all of them.
    pub fn ask_for_addresses(&self) -> bool {
        self.entries.values().any(Entry::allowlist)
    }

    /// How many new entries still fit.
    pub fn room_left(&self) -> usize {
        self.room.saturating_sub(self.entries.len())
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries that fit before the next whole load.
    pub const fn room(&self) -> usize {
        self.room
    }

    /// Checksum of the entries.
    pub const fn digest(&self) -> TableDigest {
        self.digest
    }
}
