//! Master key groups: which of them every edge must hold, and in which keys may be minted.
//!
//! The secrets are in keyring files only; the database and the change log know numbers and check values. A number is
//! never used for a second secret, so a row stays when its group is removed.

use crate::changes::record::record;
use crate::db::key_groups::{self, KeyGroupRow};
use crate::db::stream::Position;
use crate::db::{Database, ReadTx, WriteTx, stream};
use crate::domain::{DomainError, KeyGroupState};
use apikey::{CheckValue, Group};
use edgeformat::{Change, Keyring};

/// Where a database knows no group at all: takes those of the keyring as they are, as confirmed.
///
/// They were there before the database was asked to keep account of groups: every edge has started with them. Nothing is
/// written to the change log, since this happens before anything follows it: `suiftly serve` calls this before its
/// first snapshot.
///
/// # Errors
/// [`DomainError::Db`].
pub fn adopt_first(tx: &mut WriteTx<'_>, keyring: &Keyring, now_ms: i64) -> Result<(), DomainError> {
    if !key_groups::all(tx)?.is_empty() {
        return Ok(());
    }
    for (group, check) in keyring.checks() {
        let row = KeyGroupRow { confirmed_at_ms: Some(now_ms), ..wanted(group, check, now_ms) };
        key_groups::insert(tx, &row)?;
    }
    Ok(())
}

/// Refuses where keys of the keyring's default group must not be minted: a group that not every edge has confirmed, that is
/// retired, or whose secret here is not the one that the edges have.
///
/// # Errors
/// [`DomainError::Refused`] or [`DomainError::Db`].
pub fn may_mint(tx: &mut ReadTx<'_>, keyring: &Keyring) -> Result<(), DomainError> {
    let group = keyring.default_group;
    let reason = match key_groups::find(tx, group)? {
        None => format!(
            "the edges were not asked for the keyring's default group {group}; run `suiftly keyring use-group {group}`"
        ),
        Some(row) if keyring.check_of(group) != Some(row.check) => format!(
            "the keyring on this machine holds another secret under group {group} than the edges should (its check value \
             is not {}); put the right keyring file here",
            row.check
        ),
        Some(row) if row.state != KeyGroupState::Wanted => {
            let next = key_groups::all(tx)?.into_iter().rfind(|row| row.state == KeyGroupState::Wanted);
            match next {
                Some(next) => format!(
                    "group {group} is {}: nothing is minted in it any more; with `suiftly serve` running, run `suiftly \
                     keyring use-group {}`",
                    row.state, next.group
                ),
                None => format!(
                    "group {group} is {}: nothing is minted in it any more; run `suiftly keyring add-group`",
                    row.state
                ),
            }
        }
        Some(row) if row.confirmed_at_ms.is_none() => format!(
            "not every edge has confirmed group {group} yet; run `suiftly keyring use-group {group}`, which waits for them"
        ),
        Some(_) => return Ok(()),
    };
    Err(DomainError::Refused(reason))
}

/// The group that `add-group` adds: the one that was asked for, or the lowest that was never used. 0 comes last.
///
/// # Errors
/// [`DomainError::Refused`] where it was used, or all were.
pub fn free_group(
    tx: &mut ReadTx<'_>,
    keyring: &Keyring,
    asked: Option<Group>,
) -> Result<Group, DomainError> {
    let known: Vec<Group> = key_groups::all(tx)?.into_iter().map(|row| row.group).collect();
    let with_keys = key_groups::with_keys(tx)?;
    let in_file = |group: Group| keyring.groups.iter().any(|(held, _)| *held == group);
    let is_used = |group: Group| known.contains(&group) || with_keys.contains(&group) || in_file(group);
    match asked {
        Some(group) if in_file(group) => Err(DomainError::Refused(format!(
            "the keyring has group {group} already; `suiftly keyring use-group {group}` has keys minted in it"
        ))),
        Some(group) if is_used(group) => Err(DomainError::Refused(format!(
            "group {group} was used before, and no number is used for a second secret; leave --group out for a free one"
        ))),
        Some(group) => Ok(group),
        None => (1..32).chain([0]).filter_map(Group::new).find(|group| !is_used(*group)).ok_or_else(|| {
            DomainError::Refused("all 32 master key groups were used; no number is used twice".to_owned())
        }),
    }
}

/// Asks every edge to hold a group, unless that was done before.
///
/// # Errors
/// [`DomainError::Refused`] where the group is retired or removed, or has another secret.
pub fn want(
    database: &mut Database,
    group: Group,
    check: CheckValue,
    now_ms: i64,
) -> Result<Position, DomainError> {
    database.write(|tx| {
        match key_groups::find(tx, group)? {
            None => ask_for(tx, group, check, now_ms)?,
            Some(row) if row.state != KeyGroupState::Wanted => {
                return Err(DomainError::Refused(format!(
                    "group {group} is {}: nothing is minted in it any more",
                    row.state
                )));
            }
            Some(row) if row.check != check => {
                return Err(DomainError::Refused(format!(
                    "the keyring here holds another secret under group {group} than was added (check value {check}, not \
                     {}); put the right keyring file here",
                    row.check
                )));
            }
            Some(_) => {}
        }
        Ok(stream::position(tx)?)
    })
}

/// Notes that every edge has confirmed a group: keys may be minted in it.
///
/// # Errors
/// [`DomainError::Db`].
pub fn confirm(
    database: &mut Database,
    group: Group,
    check: CheckValue,
    now_ms: i64,
) -> Result<(), DomainError> {
    database.write(|tx| {
        let row = key_groups::find(tx, group)?.filter(|row| row.check == check);
        if let Some(row) = row.filter(|row| row.confirmed_at_ms.is_none()) {
            key_groups::update(tx, &KeyGroupRow { confirmed_at_ms: Some(now_ms), ..row })?;
        }
        Ok(())
    })
}

/// What [`retire`] and [`remove`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retired {
    /// How it stands now.
    pub row: KeyGroupRow,
    /// Its keys that were issued here and are not revoked.
    pub live_keys: u64,
    /// The stream afterwards.
    pub position: Position,
}

/// Nothing is minted in the group any more; its keys stay good. Doing it twice changes nothing.
///
/// # Errors
/// [`DomainError::Refused`] for the default group; [`DomainError::NoKeyGroup`].
pub fn retire(
    database: &mut Database,
    keyring: &Keyring,
    group: Group,
    now_ms: i64,
) -> Result<Retired, DomainError> {
    database.write(|tx| retire_in(tx, keyring, group, now_ms))
}

/// No edge should hold the group any more: its keys are refused once the edges have read a keyring without it.
///
/// # Errors
/// As [`retire`]; also [`DomainError::Refused`] where it has keys in use, unless `even_with_keys`.
pub fn remove(
    database: &mut Database,
    keyring: &Keyring,
    group: Group,
    even_with_keys: bool,
    now_ms: i64,
) -> Result<Retired, DomainError> {
    database.write(|tx| {
        let retired = retire_in(tx, keyring, group, now_ms)?;
        if retired.live_keys > 0 && !even_with_keys {
            return Err(DomainError::Refused(format!(
                "{} keys of group {group} are not revoked and would be refused from then on; --force does it all the same",
                retired.live_keys
            )));
        }
        if retired.row.state == KeyGroupState::Removed {
            return Ok(retired);
        }
        let row = KeyGroupRow {
            state: KeyGroupState::Removed,
            removed_at_ms: Some(now_ms),
            ..retired.row
        };
        key_groups::update(tx, &row)?;
        record(tx, &Change::RemoveKeyGroup(group), now_ms)?;
        Ok(Retired { row, position: stream::position(tx)?, ..retired })
    })
}

/// After a restore: nothing more is minted in any group that there was, in the backup or in the keyring (`held`), since
/// nobody knows which numbers were given out after the backup.
///
/// # Errors
/// [`DomainError::Db`].
pub fn retire_all(
    tx: &mut WriteTx<'_>,
    held: &[(Group, CheckValue)],
    now_ms: i64,
) -> Result<(), DomainError> {
    for row in key_groups::all(tx)?.into_iter().filter(|row| row.state == KeyGroupState::Wanted) {
        key_groups::update(tx, &retired(row, now_ms))?;
    }
    for (group, check) in held.iter().copied() {
        if key_groups::find(tx, group)?.is_none() {
            ask_for(tx, group, check, now_ms)?;
            key_groups::update(tx, &retired(wanted(group, check, now_ms), now_ms))?;
        }
    }
    Ok(())
}

/// Asks every edge to hold a group that nobody has asked for before.
///
/// # Errors
/// [`DomainError::Db`], also where it is known already.
pub fn ask_for(
    tx: &mut WriteTx<'_>,
    group: Group,
    check: CheckValue,
    now_ms: i64,
) -> Result<(), DomainError> {
    key_groups::insert(tx, &wanted(group, check, now_ms))?;
    record(tx, &Change::SetKeyGroup(group, check), now_ms)?;
    Ok(())
}

fn retire_in(
    tx: &mut WriteTx<'_>,
    keyring: &Keyring,
    group: Group,
    now_ms: i64,
) -> Result<Retired, DomainError> {
    adopt_first(tx, keyring, now_ms)?;
    if group == keyring.default_group {
        return Err(DomainError::Refused(format!(
            "group {group} is the default: new keys are minted in it. Name another one first: `suiftly keyring add-group`, \
             or `use-group`"
        )));
    }
    let mut row = match (key_groups::find(tx, group)?, keyring.check_of(group)) {
        (Some(row), _) => row,
        // Put into the keyring by hand, and never asked for.
        (None, Some(check)) => {
            ask_for(tx, group, check, now_ms)?;
            wanted(group, check, now_ms)
        }
        (None, None) => return Err(DomainError::NoKeyGroup(group)),
    };
    if row.state == KeyGroupState::Wanted {
        row = retired(row, now_ms);
        key_groups::update(tx, &row)?;
    }
    let live_keys = key_groups::live_keys(tx, group)?;
    Ok(Retired { row, live_keys, position: stream::position(tx)? })
}

const fn wanted(group: Group, check: CheckValue, now_ms: i64) -> KeyGroupRow {
    KeyGroupRow {
        group,
        check,
        state: KeyGroupState::Wanted,
        added_at_ms: now_ms,
        confirmed_at_ms: None,
        retired_at_ms: None,
        removed_at_ms: None,
    }
}

const fn retired(row: KeyGroupRow, now_ms: i64) -> KeyGroupRow {
    KeyGroupRow { state: KeyGroupState::Retired, retired_at_ms: Some(now_ms), ..row }
}
