//! Before an edge adopts a database of another history it offers the revocations that it knows, so that none is
//! forgotten, not even for a moment, when a database was restored from a backup.

use crate::db::Database;
use crate::db::stream::{self, Position};
use crate::domain::{DomainError, offered};
use crate::edge::files_back;
use crate::edge::map_files::REVOCATIONS;
use apikey::Fingerprint;
use edgeformat::journal::{self, Reader};
use edgeformat::{Change, Revocation, StreamId, map_file};
use std::collections::BTreeMap;
use std::path::Path;

/// Offers what the files of an earlier run hold, if they belong to another history than the database's, or to a later moment
/// of it.
///
/// # Errors
/// [`DomainError`]; the files must not be written then.
pub fn offer_what_is_on_disk(
    database: &mut Database,
    edge: &str,
    maps: &Path,
    now_ms: i64,
) -> Result<(), DomainError> {
    let ours = database.read(stream::position)?;
    if let Ok(Some(files)) = files_back::read(maps)
        && files.position().stream == ours.stream
        && files.position().sequence > ours.sequence
    {
        let known: Vec<Revocation> = files.revocations().values().copied().collect();
        return offer(database, edge, files.position(), &known, now_ms);
    }
    let known = known_on_disk(maps, ours.stream);
    if known.is_empty() {
        return Ok(());
    }
    // Whatever history it is, it is another one.
    let theirs = Position { stream: StreamId::from_u64(!ours.stream.get()), sequence: 0 };
    offer(database, edge, theirs, &known, now_ms)
}

/// Offers what an edge knows that stands at `theirs`.
///
/// # Errors
/// [`DomainError`]; nothing may be adopted then.
pub fn offer(
    database: &mut Database,
    edge: &str,
    theirs: Position,
    known: &[Revocation],
    now_ms: i64,
) -> Result<(), DomainError> {
    let done = offered::take_in_from(database, theirs, known, now_ms)?;
    tracing::warn!(
        edge,
        stream = %done.position.stream,
        offered = done.offered,
        taken = done.taken,
        sequence = done.position.sequence,
        "the database has another history than this edge has followed; the revocations that only the edge knew are \
         in force again (`suiftly edge offered` lists them)"
    );
    Ok(())
}

/// The revocations in the table's file and in the journal, of each that is of another history than `ours`. What is damaged
/// is read as far as it goes: to refuse a key too many is the lesser harm.
pub fn known_on_disk(maps: &Path, ours: StreamId) -> Vec<Revocation> {
    let mut known = BTreeMap::<Fingerprint, Revocation>::new();
    let mut table = None;
    let path = maps.join(REVOCATIONS);
    if let Ok(text) = std::fs::read_to_string(&path) {
        let first = text.lines().next().unwrap_or_default();
        table = map_file::read_header::<Revocation>(first).ok();
        if table.is_some_and(|header| header.stream != ours) {
            let read = map_file::read_table::<Revocation>(&text, |revocation| {
                known.insert(revocation.fingerprint, revocation);
                Ok(())
            });
            report(&path, read.err());
        }
    }
    let path = maps.join(journal::FILE);
    let Ok(bytes) = std::fs::read(&path) else { return known.into_values().collect() };
    let (mut reader, mut batches) = (Reader::default(), Vec::new());
    report(&path, reader.read(&bytes, |batch| batches.push(batch)).err());
    if let Some(header) = reader.header().filter(|header| header.stream != ours) {
        // What the table has already came before; a journal of a third history is taken whole.
        let from = table.filter(|table| table.stream == header.stream).map_or(0, |table| table.sequence);
        for batch in batches.into_iter().filter(|batch| batch.to > from) {
            for change in batch.changes {
                match change {
                    Change::SetRevocation(revocation) => {
                        known.insert(revocation.fingerprint, revocation);
                    }
                    Change::RemoveRevocation(fingerprint) => {
                        known.remove(&fingerprint);
                    }
                    _ => {}
                }
            }
        }
    }
    known.into_values().collect()
}

fn report(path: &Path, damage: Option<map_file::MapFileError>) {
    if let Some(damage) = damage {
        tracing::warn!(file = %path.display(), reason = %damage, "the file is damaged; what stands before that is offered");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const OLD: StreamId = StreamId::from_u64(7);
    const NEW: StreamId = StreamId::from_u64(8);

    fn change(text: &str) -> Change {
        text.parse().unwrap()
    }

    fn revocation(text: &str) -> Revocation {
        match change(text) {
            Change::SetRevocation(revocation) => revocation,
            other => unreachable!("{other}"),
        }
    }

    fn names(known: &[Revocation]) -> Vec<String> {
        known.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn table_and_journal_of_another_history_are_offered_and_those_of_this_one_are_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(known_on_disk(folder.path(), NEW).is_empty(), "a first start");
        let table =
            [revocation("+r:4100000100000001:0:revoked"), revocation("+r:4100000200000001:9:expired")];
        let text = map_file::write_snapshot(OLD, 2, table);
        std::fs::write(folder.path().join(REVOCATIONS), &text).unwrap();
        let changes = [
            "-r:4100000100000001",
            "+r:4100000100000001:0:revoked",
            "-r:4100000200000001",
            "+r:4100000300000001:5:revoked",
        ];
        let journal = journal::write_header(OLD, 0)
            + &journal::write_lines(OLD, 0, changes[..2].iter().map(|c| change(c)))
            + &journal::write_lines(OLD, 2, changes[2..].iter().map(|c| change(c)));
        std::fs::write(folder.path().join(journal::FILE), &journal).unwrap();
        let known = known_on_disk(folder.path(), NEW);
        assert_eq!(names(&known), ["4100000100000001 0 revoked", "4100000300000001 5 revoked"]);
        assert!(known_on_disk(folder.path(), OLD).is_empty());

        // The adoption was broken off after the table: its file is of the new history, the journal of the old.
        std::fs::write(folder.path().join(REVOCATIONS), map_file::write_snapshot(NEW, 9, table)).unwrap();
        let known = known_on_disk(folder.path(), NEW);
        assert_eq!(names(&known), ["4100000100000001 0 revoked", "4100000300000001 5 revoked"]);

        // Damage: what stands before it.
        std::fs::write(folder.path().join(REVOCATIONS), text.replace("0000200000001 9", "nonsense")).unwrap();
        let known = known_on_disk(folder.path(), NEW);
        assert!(names(&known).contains(&"4100000100000001 0 revoked".to_owned()), "{known:?}");
    }
}
