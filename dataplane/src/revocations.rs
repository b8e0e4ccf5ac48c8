//! The revoked keys: a bloom filter in front of an exact set.
//!
//! Filter and set change together, in place. Room is reserved for half as many entries again, because growing a set
//! of a million would stop all requests for longer than HAProxy's watchdog likes; when the room is used up, the tables
//! are loaded anew, larger. A false positive of the filter costs one exact look-up and never refuses a good key.

use crate::clock::Clock;
use crate::tables::Full;
use apikey::Fingerprint;
use bloomfilter::Bloom;
use edgeformat::{Reason, Revocation, RevocationKind, TableDigest};
use rustc_hash::FxBuildHasher;
use std::collections::HashMap;

/// The smallest room, in entries: a new edge can take this many revocations before its first whole load.
const ROOM_MIN: usize = 32_768;
/// The filter's rate of false positives when the room is used up.
const FALSE_POSITIVE_RATE: f64 = 0.001;
/// Fixed: a fingerprint cannot be chosen by whoever holds a key, so there is nobody to hide the hash from.
const FILTER_SEED: [u8; 32] = *b"suiftly revocation filter seed 1";

/// The revocation table.
pub struct Revocations {
    filter: Option<Bloom<u64>>,
    // FxHash: keys are authenticated before they are looked up, and most of their bits are random.
    set: HashMap<u64, Packed, FxBuildHasher>,
    digest: TableDigest,
    room: usize,
    /// Fingerprints ever put into the filter; removed ones leave their bits behind.
    filtered: usize,
}

/// `in force from` and kind in 8 bytes: a million entries are 16 bytes each instead of 24.
#[derive(Clone, Copy)]
struct Packed(u64);

impl Packed {
    fn new(revocation: &Revocation) -> Self {
        Self(revocation.in_force_from_s << 1 | revocation.kind as u64)
    }

    const fn in_force_from_s(self) -> u64 {
        self.0 >> 1
    }

    const fn kind(self) -> RevocationKind {
        if self.0 & 1 == 0 { RevocationKind::Revoked } else { RevocationKind::Expired }
    }

    fn unpack(self, fingerprint: u64) -> Revocation {
        let fingerprint = Fingerprint::from_u64(fingerprint);
        Revocation { fingerprint, in_force_from_s: self.in_force_from_s(), kind: self.kind() }
    }
}

impl Revocations {
    /// An empty table with room for half as many entries again as `expected`.
    pub fn with_room_for(expected: usize) -> Self {
        let room = (expected + expected / 2).max(ROOM_MIN);
        // With these arguments the crate has nothing to refuse; without a filter every key would be looked up in the
        // set, which is right as well.
        let filter = Bloom::new_for_fp_rate_with_seed(room, FALSE_POSITIVE_RATE, &FILTER_SEED).ok();
        Self {
            filter,
            set: HashMap::with_capacity_and_hasher(room, FxBuildHasher),
            digest: TableDigest::default(),
            room,
            filtered: 0,
        }
    }

    /// Why a key is refused now, if it is. Most keys are not: the filter says so without a look-up.
    pub fn refusal(&self, fingerprint: Fingerprint, clock: &Clock) -> Option<Reason> {
        if !self.may_be_listed(fingerprint) {
            return None;
        }
        let entry = self.set.get(&fingerprint.get())?;
        // The time is read only here, for keys that are in the set.
        (entry.in_force_from_s() <= clock.now_s()).then(|| entry.kind().reason())
    }

    /// What the filter says: `false` is certain, `true` asks for a look-up in the set.
    pub fn may_be_listed(&self, fingerprint: Fingerprint) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.check(&fingerprint.get()))
    }

    /// The entry of a key, whether in force or not.
    pub fn get(&self, fingerprint: Fingerprint) -> Option<Revocation> {
        self.set.get(&fingerprint.get()).map(|packed| packed.unpack(fingerprint.get()))
    }

    /// Takes an entry in, in place of the one that the key has.
    ///
    /// # Errors
    /// [`Full`]: nothing has changed; load the tables anew.
    pub fn insert(&mut self, revocation: &Revocation) -> Result<(), Full> {
        self.insert_digested(revocation, revocation.digest())
    }

    /// The same for who knows the entry's digest already, which is most of the work.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub(crate) fn insert_digested(&mut self, revocation: &Revocation, digest: u64) -> Result<(), Full> {
        let fingerprint = revocation.fingerprint.get();
        let known = self.set.get(&fingerprint).copied();
        match known {
            Some(old) => self.digest.remove(old.unpack(fingerprint).digest()),
            None if self.filtered >= self.room => return Err(Full),
            None => {
                if let Some(filter) = &mut self.filter {
                    filter.set(&fingerprint);
                }
                self.filtered += 1;
            }
        }
        self.set.insert(fingerprint, Packed::new(revocation));
        self.digest.add(digest);
        Ok(())
    }

    /// Takes the entry of a key out, if there is one. Its bits stay in the filter until the next whole load, which the agent
    /// sends when [`Self::stale`] has become a tenth of the room.
    pub fn remove(&mut self, fingerprint: Fingerprint) {
        if let Some(old) = self.set.remove(&fingerprint.get()) {
            self.digest.remove(old.unpack(fingerprint.get()).digest());
        }
    }

    /// How many entries have left bits in the filter and are gone: each makes a needless look-up more likely.
    pub fn stale(&self) -> usize {
        self.filtered.saturating_sub(self.set.len())
    }

    /// How many new entries still fit.
    pub fn room_left(&self) -> usize {
        self.room.saturating_sub(self.filtered)
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
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
