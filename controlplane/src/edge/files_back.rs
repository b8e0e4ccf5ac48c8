//! The map files read back: what this edge has, without asking anybody.
//!
//! An agent on another machine begins with it, so that it needs neither the control plane nor a snapshot to keep its
//! workers in step, and asks only for what came after.

use crate::changes::feed::Snapshot;
use crate::db::change_log::Numbered;
use crate::db::stream::Position;
use crate::edge::map_files::{ALLOWLISTS, JOURNAL, PLANS, POLICIES, REVOCATIONS};
use crate::edge::mirror::Mirror;
use edgeformat::journal::Reader;
use edgeformat::map_file::{self, Entry, Header};
use edgeformat::{Change, StreamId};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why the files are not used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", .file.display())]
pub struct FilesBackError {
    file: PathBuf,
    reason: String,
}

/// The tables as a starting HAProxy would put them together; none where a file is missing.
///
/// # Errors
/// A file is damaged, or they do not belong together.
pub fn read(folder: &Path) -> Result<Option<Mirror>, FilesBackError> {
    // The journal first: what is appended to it meanwhile is of no harm, and a table that is newer is found out.
    let (Some(journal), Some(plans)) = (text_of(folder, JOURNAL)?, text_of(folder, PLANS)?) else {
        return Ok(None);
    };
    let (Some(policies), Some(revocations)) = (text_of(folder, POLICIES)?, text_of(folder, REVOCATIONS)?)
    else {
        return Ok(None);
    };
    let refused = |name: &str, reason: String| FilesBackError { file: folder.join(name), reason };
    let mut reader = Reader::default();
    let mut changes: Vec<Numbered> = Vec::new();
    let read = reader.read(journal.as_bytes(), |batch| changes.extend((batch.from + 1..).zip(batch.changes)));
    read.map_err(|error| refused(JOURNAL, error.to_string()))?;
    let header = reader.header().ok_or_else(|| refused(JOURNAL, "it has no first line".to_owned()))?;
    let mut snapshot = Snapshot::empty(Position { stream: header.stream, sequence: header.after });
    snapshot.plans = map_file::read_plans(&plans).map_err(|error| refused(PLANS, error.to_string()))?;
    let fits = |name: &str, table: Header| {
        fits(table, header.stream, header.after..=reader.end()).map_err(|reason| refused(name, reason))
    };
    fits(
        POLICIES,
        table(&policies, &mut snapshot, Change::SetPolicy).map_err(|why| refused(POLICIES, why))?,
    )?;
    let table = table(&revocations, &mut snapshot, Change::SetRevocation);
    fits(REVOCATIONS, table.map_err(|why| refused(REVOCATIONS, why))?)?;
    // A folder of an older version has none.
    if let Some(allowlists) = text_of(folder, ALLOWLISTS)? {
        let table = self::table(&allowlists, &mut snapshot, Change::SetAllowed);
        fits(ALLOWLISTS, table.map_err(|why| refused(ALLOWLISTS, why))?)?;
    }
    let mut mirror = Mirror::from_snapshot(snapshot);
    // A change carries the whole new state of its entry, so those that a table has already do no harm.
    mirror.advance(changes);
    Ok(Some(mirror))
}

fn table<E: Entry>(
    text: &str,
    snapshot: &mut Snapshot,
    change: impl Fn(E) -> Change,
) -> Result<Header, String> {
    let read = map_file::read_table::<E>(text, |entry| {
        snapshot.take(change(entry));
        Ok(())
    });
    read.map_err(|error| error.to_string())
}

fn fits(table: Header, stream: StreamId, journal: std::ops::RangeInclusive<u64>) -> Result<(), String> {
    if table.stream == stream && table.has_journal && journal.contains(&table.sequence) {
        return Ok(());
    }
    Err(format!(
        "it does not belong to the journal, which leads from {} to {}",
        journal.start(),
        journal.end()
    ))
}

fn text_of(folder: &Path, name: &str) -> Result<Option<String>, FilesBackError> {
    let file = folder.join(name);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FilesBackError { file, reason: error.to_string() }),
    }
}
