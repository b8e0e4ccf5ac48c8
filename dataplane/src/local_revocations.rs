//! Keys that the operator of this edge refuses, beside those of the database: `local-revocations.map`.
//!
//! A set of its own, so that it needs no sequence and no journal: the file is the truth, read at start and replaced
//! whole when it changes. It can only refuse.

use crate::clock::Clock;
use crate::revocations::Revocations;
use apikey::Fingerprint;
use edgeformat::status::{Applied, refused};
use edgeformat::{Change, Reason, TableDigest};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

/// The set, and a load of it that has begun.
pub struct LocalRevocations {
    /// Whether there is anything to ask: most edges have none, and then a request pays one load for it. Release and
    /// acquire order it with the set.
    has_any: AtomicBool,
    set: RwLock<Revocations>,
    load: Mutex<Option<Load>>,
}

struct Load {
    number: u64,
    parts: u32,
    expected: u32,
    set: Revocations,
}

impl LocalRevocations {
    /// A set that was read at start.
    pub fn new(set: Revocations) -> Self {
        let has_any = AtomicBool::new(!set.is_empty());
        Self { has_any, set: RwLock::new(set), load: Mutex::new(None) }
    }

    /// Why a key is refused now, if it is.
    #[inline]
    pub fn refusal(&self, fingerprint: Fingerprint, clock: &Clock) -> Option<Reason> {
        if !self.has_any.load(Ordering::Acquire) {
            return None;
        }
        match self.set.read() {
            Ok(set) => set.refusal(fingerprint, clock),
            // A command panicked while it held the set: what it says cannot be trusted.
            Err(_) => Some(Reason::NotReady),
        }
    }

    /// Entries, checksum and room.
    pub fn status(&self) -> (usize, TableDigest, usize) {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        (set.len(), set.digest(), set.room())
    }

    /// Begins a load of so many entries; one that had begun before is forgotten.
    pub fn begin(&self, number: u64, expected: u32) -> Applied {
        if expected > edgeformat::map_file::LOCAL_REVOCATIONS_MAX {
            return refuse(format!("at most {} entries", edgeformat::map_file::LOCAL_REVOCATIONS_MAX));
        }
        let set = Revocations::with_room_for(expected as usize);
        let load = Load { number, parts: 0, expected, set };
        *self.load.lock().unwrap_or_else(PoisonError::into_inner) = Some(load);
        self.accepted(0)
    }

    /// Takes in one part.
    pub fn part(&self, number: u64, part: u32, changes: &[Change]) -> Applied {
        let mut current = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(load) = current.as_mut().filter(|load| load.number == number) else {
            return refuse(format!("no load {number} has begun; begin it anew"));
        };
        if part != load.parts + 1 {
            return refuse(format!("part {} is next, not {part}", load.parts + 1));
        }
        for change in changes {
            let Change::SetRevocation(revocation) = change else {
                return refuse("a load of these has only +r".to_owned());
            };
            if let Err(full) = load.set.insert(revocation) {
                return refuse(full.to_string());
            }
        }
        load.parts = part;
        self.accepted(u32::try_from(changes.len()).unwrap_or(u32::MAX))
    }

    /// Ends a load: the new set is in force if everything has come.
    pub fn commit(&self, number: u64, parts: u32, digest: u64) -> Applied {
        let load = {
            let mut current = self.load.lock().unwrap_or_else(PoisonError::into_inner);
            current.take_if(|load| load.number == number)
        };
        let Some(load) = load else { return refuse(format!("no load {number} has begun; begin it anew")) };
        let is_whole = load.parts == parts && load.set.len() == load.expected as usize;
        if !is_whole || load.set.digest().get() != digest {
            return refuse("not all entries have come; begin the load anew".to_owned());
        }
        let has_any = !load.set.is_empty();
        let Ok(mut set) = self.set.write() else { return crate::tables::not_ready() };
        // Before the set when there is something to ask, and after it when there is nothing any more.
        if has_any {
            self.has_any.store(true, Ordering::Release);
        }
        let old = std::mem::replace(&mut *set, load.set);
        drop(set);
        if !has_any {
            self.has_any.store(false, Ordering::Release);
        }
        drop(old);
        self.accepted(0)
    }

    /// These have no sequence.
    fn accepted(&self, changes: u32) -> Applied {
        Applied::Ok { sequence: 0, changes, policies: 0, revocations: self.status().0 as u64, allowlists: 0 }
    }
}

fn refuse(detail: String) -> Applied {
    Applied::Refused { code: refused::LOAD.to_owned(), detail, sequence: 0 }
}
