//! Reads the stream: where it stands, what came after a number, or everything as it is now.

use crate::db::change_log::Numbered;
use crate::db::stream::Position;
use crate::db::{
    DbError, ReadTx, allowlist_entries, change_log, key_groups, plans, revocations, services, stream,
};
use crate::domain::policy_of;
use apikey::{CheckValue, Group};
use edgeformat::{AllowlistEntry, Change, Plan, Policy, Revocation};

/// The most changes that are read one by one; who lacks more reads a snapshot, which is faster then.
pub const CHANGES_MAX: u32 = 20_000;

/// What there is for a reader that has everything up to a position.
#[derive(Debug)]
pub enum Feed {
    /// Exactly the changes that it lacks, in order; none if it is up to date.
    Changes(Vec<Numbered>),
    /// Everything: the reader knows another history, or lacks too much.
    Snapshot(Snapshot),
}

/// Everything that the edges must know at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The moment.
    pub position: Position,
    /// Every plan.
    pub plans: Vec<Plan>,
    /// Every policy.
    pub policies: Vec<Policy>,
    /// Every revocation.
    pub revocations: Vec<Revocation>,
    /// Every entry of every allowlist, also of those that are not asked.
    pub allowlists: Vec<AllowlistEntry>,
    /// Every master key group that the edges must hold, with the check value of its secret.
    pub key_groups: Vec<(Group, CheckValue)>,
    /// The last changes before the moment, for an edge that lacks only these.
    pub recent: Vec<Numbered>,
}

impl Snapshot {
    /// Nothing, at this moment.
    pub const fn empty(position: Position) -> Self {
        Self {
            position,
            plans: Vec::new(),
            policies: Vec::new(),
            revocations: Vec::new(),
            allowlists: Vec::new(),
            key_groups: Vec::new(),
            recent: Vec::new(),
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> u64 {
        (self.plans.len()
            + self.policies.len()
            + self.revocations.len()
            + self.allowlists.len()
            + self.key_groups.len()) as u64
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every entry as the change that sets it: plans before the policies that name them.
    pub fn into_changes(self) -> impl Iterator<Item = Change> {
        let plans = self.plans.into_iter().map(Change::SetPlan);
        let policies = self.policies.into_iter().map(Change::SetPolicy);
        let revocations = self.revocations.into_iter().map(Change::SetRevocation);
        let allowlists = self.allowlists.into_iter().map(Change::SetAllowed);
        let key_groups = self.key_groups.into_iter().map(|(group, check)| Change::SetKeyGroup(group, check));
        plans.chain(policies).chain(revocations).chain(allowlists).chain(key_groups)
    }

    /// Adds what a change sets; `false` for one that takes something away, which is nothing in a snapshot.
    pub fn take(&mut self, change: Change) -> bool {
        match change {
            Change::SetPlan(plan) => self.plans.push(plan),
            Change::SetPolicy(policy) => self.policies.push(policy),
            Change::SetRevocation(revocation) => self.revocations.push(revocation),
            Change::SetAllowed(entry) => self.allowlists.push(entry),
            Change::SetKeyGroup(group, check) => self.key_groups.push((group, check)),
            Change::RemoveAllowed(_) | Change::RemoveKeyGroup(_) => return false,
            Change::RemovePlan(_) | Change::RemovePolicy(_) | Change::RemoveRevocation(_) => return false,
        }
        true
    }
}

/// What comes after `known`.
///
/// # Errors
/// [`DbError`], also where the log has a gap.
pub fn after(tx: &mut ReadTx<'_>, known: Position) -> Result<Feed, DbError> {
    match changes_after(tx, known)? {
        Some(changes) => Ok(Feed::Changes(changes)),
        None => snapshot(tx).map(Feed::Snapshot),
    }
}

/// Exactly the changes after `known`; `None` where only a snapshot helps.
///
/// # Errors
/// [`DbError`], also where the log has a gap.
pub fn changes_after(tx: &mut ReadTx<'_>, known: Position) -> Result<Option<Vec<Numbered>>, DbError> {
    let now = stream::position(tx)?;
    let lacking = now.sequence.checked_sub(known.sequence);
    let Some(lacking) =
        lacking.filter(|lacking| now.stream == known.stream && *lacking <= u64::from(CHANGES_MAX))
    else {
        return Ok(None);
    };
    if lacking == 0 {
        return Ok(Some(Vec::new()));
    }
    let changes = change_log::after(tx, known.sequence, CHANGES_MAX)?;
    let expected = known.sequence + 1..=now.sequence;
    if changes.iter().map(|(sequence, _)| *sequence).eq(expected) {
        Ok(Some(changes))
    } else if changes.first().is_none_or(|(first, _)| *first > known.sequence + 1) {
        // The older ones were forgotten ([`crate::changes::compaction`]).
        Ok(None)
    } else {
        let detail = format!("changes {} to {} are not all there", known.sequence + 1, now.sequence);
        Err(DbError::Unexpected { table: "change_log", detail })
    }
}

/// Everything as it is now.
///
/// # Errors
/// [`DbError`].
pub fn snapshot(tx: &mut ReadTx<'_>) -> Result<Snapshot, DbError> {
    let position = stream::position(tx)?;
    let policies = services::all_with_customer(tx)?;
    let before_recent = position.sequence.saturating_sub(u64::from(CHANGES_MAX));
    Ok(Snapshot {
        position,
        plans: plans::in_force(tx)?,
        policies: policies.iter().filter_map(|(service, customer)| policy_of(service, *customer)).collect(),
        revocations: revocations::all(tx)?,
        allowlists: allowlist_entries::all(tx)?,
        key_groups: key_groups::held(tx)?,
        recent: without_gap(change_log::after(tx, before_recent, CHANGES_MAX)?),
    })
}

/// The changes after the last gap. A restore leaves one number out: what came before it is of another history.
fn without_gap(mut changes: Vec<Numbered>) -> Vec<Numbered> {
    let follows = |pair: &[Numbered]| matches!(pair, [(one, _), (next, _)] if one + 1 == *next);
    let last_gap = changes.windows(2).rposition(|pair| !follows(pair));
    changes.split_off(last_gap.map_or(0, |before| before + 1))
}
