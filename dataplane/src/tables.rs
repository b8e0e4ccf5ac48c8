//! The edge's tables: read by every request, changed in place by commands, swapped only at the end of a load.

use crate::allowlists::Allowlists;
use crate::policies::Policies;
use crate::revocations::Revocations;
use edgeformat::status::{Applied, refused};
use edgeformat::{Change, StreamId};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The reserved room is used up; nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the reserved room of the table is used up; load the tables whole, which makes room")]
pub struct Full;

/// One consistent state of the tables.
pub struct Tables {
    /// The history that `sequence` counts in.
    pub stream: StreamId,
    /// The last change that is in the tables.
    pub sequence: u64,
    /// What is known of each customer and service.
    pub policies: Policies,
    /// Which keys are refused.
    pub revocations: Revocations,
    /// From which addresses keys may be used, where a policy asks.
    pub allowlists: Allowlists,
}

impl Tables {
    /// Empty tables of no stream: nobody is admitted.
    pub fn empty() -> Self {
        Self {
            stream: StreamId::NONE,
            sequence: 0,
            policies: Policies::with_room_for(0),
            revocations: Revocations::with_room_for(0),
            allowlists: Allowlists::default(),
        }
    }

    /// Applies one change.
    ///
    /// # Errors
    /// [`Full`]: this change was not applied.
    pub fn apply(&mut self, change: &Change) -> Result<(), Full> {
        match change {
            Change::SetPolicy(policy) => self.policies.insert(policy)?,
            Change::RemovePolicy(key) => self.policies.remove(*key),
            Change::SetRevocation(revocation) => self.revocations.insert(revocation)?,
            Change::RemoveRevocation(fingerprint) => self.revocations.remove(*fingerprint),
            Change::SetAllowed(entry) => self.allowlists.insert(entry)?,
            Change::RemoveAllowed(entry) => self.allowlists.remove(entry),
            // Rates are HAProxy's own: they stand in its map, not here. Key groups come from the keyring file, at start.
            Change::SetPlan(_)
            | Change::RemovePlan(_)
            | Change::SetKeyGroup(..)
            | Change::RemoveKeyGroup(_) => {}
        }
        Ok(())
    }

    fn has_room_for(&self, changes: &[Change]) -> bool {
        let count = |wanted: fn(&Change) -> bool| changes.iter().filter(|change| wanted(change)).count();
        self.policies.room_left() >= count(|change| matches!(change, Change::SetPolicy(_)))
            && self.revocations.room_left() >= count(|change| matches!(change, Change::SetRevocation(_)))
            && self.allowlists.room_left() >= count(|change| matches!(change, Change::SetAllowed(_)))
    }
}

/// The tables behind their lock.
///
/// A read-write lock, not a pointer that is swapped: a table of a million entries is too large to be copied for each
/// change, and no writer holds the lock longer than it takes to apply one command's changes (a few hundred), or to
/// swap the tables at the end of a load. Were a writer to panic, the lock stays poisoned and every request is refused
/// with `not_ready` until a reload: half a change must not be served.
pub struct SharedTables(RwLock<Tables>);

impl SharedTables {
    /// Tables to be shared.
    pub const fn new(tables: Tables) -> Self {
        Self(RwLock::new(tables))
    }

    /// The tables for reading; `None` once a writer has panicked.
    pub fn read(&self) -> Option<RwLockReadGuard<'_, Tables>> {
        self.0.read().ok()
    }

    /// The tables for changes; `None` once a writer has panicked.
    pub(crate) fn write(&self) -> Option<RwLockWriteGuard<'_, Tables>> {
        self.0.write().ok()
    }

    /// Applies a delta: all of its changes, or none.
    pub fn apply_delta(&self, stream: StreamId, from: u64, to: u64, changes: &[Change]) -> Applied {
        let Ok(mut tables) = self.0.write() else { return not_ready() };
        let sequence = tables.sequence;
        let refuse =
            |code: &str, detail: String| Applied::Refused { code: code.to_owned(), detail, sequence };
        if tables.stream != stream {
            return refuse(refused::OTHER_STREAM, format!("the tables belong to stream {}", tables.stream));
        }
        if to <= sequence {
            return applied(&tables, 0);
        }
        if from > sequence {
            return refuse(
                refused::GAP,
                format!("the delta starts after {from}, the tables end at {sequence}"),
            );
        }
        if !tables.has_room_for(changes) {
            return refuse(refused::FULL, Full.to_string());
        }
        for change in changes {
            if let Err(full) = tables.apply(change) {
                // Cannot be: there was room for all. The sequence stays, so that the delta comes again.
                return refuse(refused::FULL, full.to_string());
            }
        }
        tables.sequence = to;
        applied(&tables, u32::try_from(changes.len()).unwrap_or(u32::MAX))
    }

    /// Puts new tables in the place of the present ones, older ones of the same stream too: that is how an agent puts
    /// back what somebody changed by hand.
    pub fn replace(&self, new: Tables) -> Applied {
        let (answer, old) = match self.0.write() {
            Ok(mut tables) => {
                let old = std::mem::replace(&mut *tables, new);
                (applied(&tables, 0), old)
            }
            Err(_) => return not_ready(),
        };
        // Freed after the lock: nobody waits for it.
        drop(old);
        answer
    }
}

/// The answer to a command that was carried out.
pub(crate) fn applied(tables: &Tables, changes: u32) -> Applied {
    Applied::Ok {
        sequence: tables.sequence,
        changes,
        policies: tables.policies.len() as u64,
        revocations: tables.revocations.len() as u64,
        allowlists: tables.allowlists.len() as u64,
    }
}

/// The answer when the tables cannot be used.
pub(crate) fn not_ready() -> Applied {
    let detail = "a command panicked earlier; reload HAProxy".to_owned();
    Applied::Refused { code: refused::NOT_READY.to_owned(), detail, sequence: 0 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;
    use crate::clock::Clock;
    use crate::edge::Edge;
    use crate::keyring::PreparedKeyring;
    use crate::panic_guard::guarded;
    use crate::usage::{CountAt, Usage};
    use crate::{authorize::authorize, commands};
    use apikey::{CustomerId, Derivation, Group, GroupSecret, MacKey, Service, Version, issue};
    use edgeformat::{Decision, Keyring, Reason};

    /// Here and not among the tests in `tests/`: no call from outside can make a writer panic.
    #[test]
    fn after_a_writer_has_panicked_every_request_and_command_is_answered_not_ready() {
        let group = Group::new(1).unwrap();
        let secret = || GroupSecret::from_bytes([1; 32]);
        let groups = vec![(group, secret())];
        let keyring = Keyring { default_group: group, accept_v0_groups: Vec::new(), groups };
        let tables = SharedTables::new(Tables::empty());
        let usage = Usage::in_memory(0, CountAt::Admission).unwrap();
        let edge = Edge::new(PreparedKeyring::new(&keyring), tables, usage, Clock::System).unwrap();
        let (derivation, customer) = (Derivation::new(5).unwrap(), CustomerId::new(7).unwrap());
        let mac = MacKey::new(&secret());
        let key = issue(Version::V1, Service::Seal, group, derivation, customer, &mac);
        let field = format!("Bearer {}", key.as_str());
        let decision = |reason| Decision::Refused { reason, customer: Some(customer) };
        assert_eq!(authorize(&edge, field.as_bytes()), decision(Reason::NoService));

        let answer = guarded(&edge, "refused", || {
            let _tables = edge.tables.0.write().unwrap();
            panic!("in the middle of a change")
        });
        assert_eq!((answer, edge.counts.panics()), ("refused", 1));

        assert_eq!(authorize(&edge, field.as_bytes()), decision(Reason::NotReady));
        assert!(commands::status::run(&edge, "Lua 5.4").contains("\"ready\":false"));
        assert!(commands::show::run(&edge, ["7"].into_iter()).contains("reload HAProxy"));
        let zeros = "0000000000000000";
        for words in [
            format!("delta {zeros} 0 1 3973e022e93220f9 -"),
            format!("begin 1 {zeros} 1 0 0"),
            "part 1 1 3973e022e93220f9 -".to_owned(),
            format!("commit 1 1 {zeros} {zeros}"),
        ] {
            let answer = commands::apply::run(&edge, words.split(' '));
            assert!(answer.contains("\"code\":\"not_ready\""), "{words}: {answer}");
        }
        assert!(edge.tables.read().is_none());
    }
}
