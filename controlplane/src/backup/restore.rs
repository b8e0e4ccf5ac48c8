//! Putting a backup back: everything in one transaction, as a new history, with a new master key group.

use crate::app::make_private_folder;
use crate::backup::{BackupError, Checked};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::stream::{self, Position};
use crate::db::whole_tables::{self, Row, TABLES, Table};
use crate::db::{Database, WriteTx};
use crate::domain::key_groups;
use crate::edge::control_socket::StateLock;
use crate::keyring::{KeyringFileError, edit::Editing};
use apikey::{CheckValue, Group};

/// How many rows are kept back to be added together.
const BATCH: usize = 2_000;

/// What was restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// Rows of all tables.
    pub rows: u64,
    /// The new history.
    pub position: Position,
    /// The new group, in which keys are made once every edge holds it.
    pub group: Group,
    /// The check value of its secret.
    pub check: CheckValue,
    /// Groups of the database that the keyring of this machine lacks, or holds with another secret: their keys are refused.
    pub groups_not_here: Vec<Group>,
}

/// Puts a backup in the place of what the database holds.
///
/// The stream is a new one, so that every edge takes a whole snapshot and offers what it knows as revoked before. The text
/// of a key is a function of its numbers, and nobody knows which numbers were given out after the backup: so every group
/// that there was is retired, and a new one is added to the keyring. No key is made in it before every edge has confirmed it
/// (`suiftly keyring use-group`), as always.
///
/// # Errors
/// [`BackupError`]; nothing was restored. (Where the database failed at the very end, the keyring may have a further group,
/// which is used for nothing.)
pub fn restore(
    config: &Config,
    backup: &Checked,
    replace: bool,
    clock: &Clock,
    progress: &mut dyn FnMut(u64),
) -> Result<Restored, BackupError> {
    let folder = &config.state.folder;
    make_private_folder(folder).map_err(|source| BackupError::Io {
        file: folder.clone(),
        what: "made",
        source,
    })?;
    // Held until the end: no `serve` starts on half of it.
    let _lock = StateLock::take(&config.state.serve_lock())?;
    let editing = Editing::begin(&config.keyring.file).map_err(|error| match error {
        KeyringFileError::Missing(file) => BackupError::NoKeyring(file),
        other => other.into(),
    })?;
    let mut database = Database::open(&config.database)?;
    database.write(|tx| {
        refuse_what_does_not_fit(tx, backup, replace)?;
        whole_tables::clear(tx)?;
        put_rows(tx, backup, progress)?;
        let begun = stream::begin_another(tx, backup.header.sequence)?;
        let group = key_groups::free_group(tx, editing.keyring(), None)?;
        let now_ms = clock.now_ms();
        let held = editing.keyring().checks();
        let groups_not_here = groups_not_in(tx, &held)?;
        key_groups::retire_all(tx, &held, now_ms)?;
        // The last step that can fail before the commit, and the one that cannot be undone.
        let check = editing.add_group(group)?;
        key_groups::ask_for(tx, group, check, now_ms)?;
        let position = stream::position(tx)?;
        debug_assert_eq!(begun.stream, position.stream);
        Ok(Restored { rows: backup.rows, position, group, check, groups_not_here })
    })
}

fn refuse_what_does_not_fit(
    tx: &mut WriteTx<'_>,
    backup: &Checked,
    replace: bool,
) -> Result<(), BackupError> {
    let ours = whole_tables::schema_version(tx)?;
    if backup.header.schema != ours {
        return Err(BackupError::OtherSchema {
            file: backup.path.clone(),
            made_by: backup.header.made_by.clone(),
            schema: backup.header.schema.clone(),
            ours,
        });
    }
    let customers = TABLES.iter().find(|table| table.name == "customers");
    let held = customers.map_or(Ok(0), |table| whole_tables::count(tx, table))?;
    if held > 0 && !replace { Err(BackupError::HoldsCustomers(held)) } else { Ok(()) }
}

fn put_rows(
    tx: &mut WriteTx<'_>,
    backup: &Checked,
    progress: &mut dyn FnMut(u64),
) -> Result<(), BackupError> {
    let mut waiting: Option<(&'static Table, Vec<Row>)> = None;
    let mut put = 0;
    backup.for_each_row(&mut |table, row| {
        put += 1;
        progress(put);
        match &mut waiting {
            Some((same, rows)) if same.name == table.name && rows.len() < BATCH => rows.push(row),
            _ => {
                if let Some((before, rows)) = waiting.replace((table, vec![row])) {
                    whole_tables::insert(tx, before, &rows)?;
                }
            }
        }
        Ok(())
    })?;
    match waiting {
        Some((table, rows)) => Ok(whole_tables::insert(tx, table, &rows)?),
        None => Ok(()),
    }
}

fn groups_not_in(tx: &mut WriteTx<'_>, held: &[(Group, CheckValue)]) -> Result<Vec<Group>, BackupError> {
    let wanted = crate::db::key_groups::held(tx)?;
    Ok(wanted.into_iter().filter(|wanted| !held.contains(wanted)).map(|(group, _)| group).collect())
}
