//! What the edge should know, in memory: the database's policies, revocations, allowlists and plans at one sequence
//! number.

use crate::changes::feed::{CHANGES_MAX, Snapshot};
use crate::db::change_log::Numbered;
use crate::db::stream::Position;
use apikey::{CheckValue, Fingerprint, Group};
use edgeformat::{AllowlistEntry, Change, Plan, PlanNumber, Policy, PolicyKey, Revocation, TableDigest};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The edge's tables as they should be.
#[derive(Debug)]
pub struct Mirror {
    position: Position,
    plans: BTreeMap<PlanNumber, Plan>,
    policies: BTreeMap<PolicyKey, Policy>,
    revocations: BTreeMap<Fingerprint, Revocation>,
    allowlists: BTreeSet<AllowlistEntry>,
    key_groups: BTreeMap<Group, CheckValue>,
    policies_digest: TableDigest,
    revocations_digest: TableDigest,
    allowlists_digest: TableDigest,
    /// The last changes, without a gap, up to `position`; at most [`CHANGES_MAX`]. An edge that lacks only
    /// these is sent only these.
    recent: VecDeque<Numbered>,
}

/// How two mirrors at the same position differ, in numbers for a log line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Plans that differ.
    pub plans: usize,
    /// Policies that differ.
    pub policies: usize,
    /// Revocations that differ.
    pub revocations: usize,
    /// Entries of allowlists that differ.
    pub allowlists: usize,
    /// Master key groups that differ.
    pub key_groups: usize,
}

impl Mirror {
    /// The tables of a snapshot.
    pub fn from_snapshot(mut snapshot: Snapshot) -> Self {
        let mut mirror = Self {
            position: snapshot.position,
            plans: BTreeMap::new(),
            policies: BTreeMap::new(),
            revocations: BTreeMap::new(),
            allowlists: BTreeSet::new(),
            key_groups: BTreeMap::new(),
            policies_digest: TableDigest::default(),
            revocations_digest: TableDigest::default(),
            allowlists_digest: TableDigest::default(),
            recent: std::mem::take(&mut snapshot.recent).into(),
        };
        for change in snapshot.into_changes() {
            mirror.apply(change);
        }
        mirror
    }

    /// Takes in the changes that follow its position, in order.
    pub fn advance(&mut self, changes: Vec<Numbered>) {
        for (sequence, change) in changes {
            if sequence <= self.position.sequence {
                continue;
            }
            self.apply(change);
            self.position.sequence = sequence;
            self.recent.push_back((sequence, change));
            if self.recent.len() > CHANGES_MAX as usize {
                self.recent.pop_front();
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::SetPlan(plan) => {
                self.plans.insert(plan.number, plan);
            }
            Change::RemovePlan(number) => {
                self.plans.remove(&number);
            }
            Change::SetKeyGroup(group, check) => {
                self.key_groups.insert(group, check);
            }
            Change::RemoveKeyGroup(group) => {
                self.key_groups.remove(&group);
            }
            Change::SetPolicy(policy) => {
                let old = self.policies.insert(policy.key, policy);
                self.policies_digest.add(policy.digest());
                old.inspect(|old| self.policies_digest.remove(old.digest()));
            }
            Change::RemovePolicy(key) => {
                let old = self.policies.remove(&key);
                old.inspect(|old| self.policies_digest.remove(old.digest()));
            }
            Change::SetRevocation(revocation) => {
                let old = self.revocations.insert(revocation.fingerprint, revocation);
                self.revocations_digest.add(revocation.digest());
                old.inspect(|old| self.revocations_digest.remove(old.digest()));
            }
            Change::RemoveRevocation(fingerprint) => {
                let old = self.revocations.remove(&fingerprint);
                old.inspect(|old| self.revocations_digest.remove(old.digest()));
            }
            Change::SetAllowed(entry) => {
                if self.allowlists.insert(entry) {
                    self.allowlists_digest.add(entry.digest());
                }
            }
            Change::RemoveAllowed(entry) => {
                if self.allowlists.remove(&entry) {
                    self.allowlists_digest.remove(entry.digest());
                }
            }
        }
    }

    /// Which history, and how far.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Every plan, by number.
    pub const fn plans(&self) -> &BTreeMap<PlanNumber, Plan> {
        &self.plans
    }

    /// Every policy, by customer and service.
    pub const fn policies(&self) -> &BTreeMap<PolicyKey, Policy> {
        &self.policies
    }

    /// Every revocation, by fingerprint.
    pub const fn revocations(&self) -> &BTreeMap<Fingerprint, Revocation> {
        &self.revocations
    }

    /// Every entry of every allowlist.
    pub const fn allowlists(&self) -> &BTreeSet<AllowlistEntry> {
        &self.allowlists
    }

    /// Every master key group that the edges must hold, with the check value of its secret.
    pub const fn key_groups(&self) -> &BTreeMap<Group, CheckValue> {
        &self.key_groups
    }

    /// Replaces the master key groups, which no file holds.
    pub fn set_key_groups(&mut self, key_groups: BTreeMap<Group, CheckValue>) {
        self.key_groups = key_groups;
    }

    /// The checksum that an edge's policies must have.
    pub const fn policies_digest(&self) -> TableDigest {
        self.policies_digest
    }

    /// The checksum that an edge's revocations must have.
    pub const fn revocations_digest(&self) -> TableDigest {
        self.revocations_digest
    }

    /// The checksum that an edge's allowlists must have.
    pub const fn allowlists_digest(&self) -> TableDigest {
        self.allowlists_digest
    }

    /// The changes after a number, in order; none where some of them are no longer held.
    pub fn changes_after(&self, sequence: u64) -> Option<Vec<Numbered>> {
        if sequence > self.position.sequence {
            return None;
        }
        if sequence == self.position.sequence {
            return Some(Vec::new());
        }
        let first_held = self.recent.front().map(|(first, _)| *first)?;
        if first_held > sequence + 1 {
            return None;
        }
        Some(self.recent.iter().filter(|(held, _)| *held > sequence).copied().collect())
    }

    /// How another mirror at the same position differs from this one. Cheap where it does not: the checksums
    /// decide.
    pub fn difference(&self, other: &Self) -> Option<Difference> {
        let difference = Difference {
            plans: differing(&self.plans, &other.plans),
            policies: if self.policies_digest == other.policies_digest {
                0
            } else {
                differing(&self.policies, &other.policies)
            },
            revocations: if self.revocations_digest == other.revocations_digest {
                0
            } else {
                differing(&self.revocations, &other.revocations)
            },
            allowlists: if self.allowlists_digest == other.allowlists_digest {
                0
            } else {
                self.allowlists.symmetric_difference(&other.allowlists).count()
            },
            key_groups: differing(&self.key_groups, &other.key_groups),
        };
        let none = Difference { plans: 0, policies: 0, revocations: 0, allowlists: 0, key_groups: 0 };
        (difference != none).then_some(difference)
    }
}

fn differing<K: Ord, V: PartialEq>(one: &BTreeMap<K, V>, other: &BTreeMap<K, V>) -> usize {
    let missing_or_other = one.iter().filter(|(key, value)| other.get(key) != Some(value)).count();
    missing_or_other + other.keys().filter(|key| !one.contains_key(key)).count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use edgeformat::StreamId;

    fn empty() -> Mirror {
        Mirror::from_snapshot(Snapshot {
            position: Position { stream: StreamId::from_u64(1), sequence: 0 },
            plans: Vec::new(),
            policies: Vec::new(),
            revocations: Vec::new(),
            allowlists: Vec::new(),
            key_groups: Vec::new(),
            recent: Vec::new(),
        })
    }

    fn changes(texts: &[&str]) -> Vec<Numbered> {
        texts.iter().zip(1..).map(|(text, sequence)| (sequence, text.parse().unwrap())).collect()
    }

    #[test]
    fn changes_lead_to_the_same_tables_as_a_snapshot_of_the_result() {
        let mut mirror = empty();
        mirror.advance(changes(&[
            "+l:1:12",
            "+p:7:seal:enabled:1:-",
            "+p:7:seal:disabled:1:-",
            "+p:8:grpc:enabled:1:-",
            "-p:8:grpc",
            "+r:4100000100000007:0:revoked",
            "+r:4100000200000007:5:expired",
            "-r:4100000200000007",
            "+a:7:seal:10.0.0.0/8",
            "+a:7:seal:10.0.0.0/8",
            "+a:7:seal:2001:db8::/32",
            "-a:7:seal:10.0.0.0/8",
            "-a:7:seal:10.0.0.0/8",
            "+g:1:00112233",
            "+g:2:8899aabb",
            "-g:1",
        ]));
        let snapshot = Mirror::from_snapshot(Snapshot {
            position: mirror.position(),
            plans: mirror.plans().values().copied().collect(),
            policies: mirror.policies().values().copied().collect(),
            revocations: mirror.revocations().values().copied().collect(),
            allowlists: mirror.allowlists().iter().copied().collect(),
            key_groups: mirror.key_groups().iter().map(|(group, check)| (*group, *check)).collect(),
            recent: Vec::new(),
        });
        assert_eq!((mirror.policies().len(), mirror.revocations().len(), mirror.plans().len()), (1, 1, 1));
        assert_eq!(mirror.policies_digest(), snapshot.policies_digest());
        assert_eq!(mirror.revocations_digest(), snapshot.revocations_digest());
        assert_eq!(
            (mirror.allowlists().len(), mirror.allowlists_digest()),
            (1, snapshot.allowlists_digest())
        );
        assert_eq!(mirror.difference(&snapshot), None);
    }

    #[test]
    fn changes_that_are_no_longer_held_are_not_made_up() {
        let mut mirror = empty();
        mirror.advance(changes(&["+l:1:12", "+l:2:13", "+l:3:14"]));
        assert_eq!(mirror.changes_after(1).unwrap().len(), 2);
        assert_eq!(mirror.changes_after(3).unwrap().len(), 0);
        assert_eq!(mirror.changes_after(4), None);
        mirror.recent.pop_front();
        assert_eq!(mirror.changes_after(0), None);
        assert_eq!(mirror.changes_after(1).unwrap().len(), 2);
    }

    #[test]
    fn a_change_that_is_known_already_changes_nothing() {
        let mut mirror = empty();
        mirror.advance(changes(&["+p:7:seal:enabled:1:-"]));
        let digest = mirror.policies_digest();
        mirror.advance(changes(&["+p:7:seal:disabled:1:-"]));
        assert_eq!(mirror.policies_digest(), digest);
    }

    #[test]
    fn a_difference_is_counted_by_table() {
        let (mut one, mut other) = (empty(), empty());
        one.advance(changes(&["+p:7:seal:enabled:1:-", "+r:4100000100000007:0:revoked", "+a:7:seal:::/0"]));
        other.advance(changes(&["+p:7:seal:disabled:1:-", "+l:1:12", "+a:7:grpc:::/0", "+g:2:8899aabb"]));
        let expected = Difference { plans: 1, policies: 1, revocations: 1, allowlists: 2, key_groups: 1 };
        assert_eq!(one.difference(&other), Some(expected));
    }
}
