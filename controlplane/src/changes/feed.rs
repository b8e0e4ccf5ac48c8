//! Reads the stream: where it stands, what came after a number, or everything as it is now.

use crate::db::change_log::Numbered;
use crate::db::stream::Position;
use crate::db::{DbError, ReadTx, change_log, key_groups, plans, revocations, services, stream};
use crate::domain::policy_of;
use apikey::{CheckValue, Group};
use edgeformat::{Plan, Policy, Revocation};

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
    /// Every master key group that the edges must hold, with the check value of its secret.
    pub key_groups: Vec<(Group, CheckValue)>,
    /// The last changes before the moment, for an edge that lacks only these.
    pub recent: Vec<Numbered>,
}

/// What comes after `known`.
///
/// # Errors
/// [`DbError`], also where the log has a gap.
pub fn after(tx: &mut ReadTx<'_>, known: Position) -> Result<Feed, DbError> {
    let now = stream::position(tx)?;
    let lacking = now.sequence.checked_sub(known.sequence);
    let Some(lacking) =
        lacking.filter(|lacking| now.stream == known.stream && *lacking <= u64::from(CHANGES_MAX))
    else {
        return snapshot(tx).map(Feed::Snapshot);
    };
    if lacking == 0 {
        return Ok(Feed::Changes(Vec::new()));
    }
    let changes = change_log::after(tx, known.sequence, CHANGES_MAX)?;
    let expected = known.sequence + 1..=now.sequence;
    if changes.iter().map(|(sequence, _)| *sequence).eq(expected) {
        Ok(Feed::Changes(changes))
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
        plans: plans::all(tx)?,
        policies: policies.iter().filter_map(|(service, customer)| policy_of(service, *customer)).collect(),
        revocations: revocations::all(tx)?,
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
