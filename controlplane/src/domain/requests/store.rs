//! Taking what an edge hands over: lines, statistics and the note that they were taken, in one transaction.

use crate::db::request_cursors::{self, Cursor};
use crate::db::request_stats::{self, StatsRow};
use crate::db::{Database, DbError, api_keys, request_logs};
use crate::domain::requests::{Batch, Window};
use std::collections::{BTreeMap, BTreeSet};

/// What was done with a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    /// It is in the tables now.
    New,
    /// It was there already; nothing has changed.
    Repeated,
}

/// Takes a plausible batch of this edge.
///
/// # Errors
/// [`DbError`]; then nothing of it was taken, and it may come again.
pub fn store(database: &mut Database, edge: &str, batch: &Batch) -> Result<Stored, DbError> {
    database.write(|tx| {
        let last = request_cursors::find(tx, edge)?;
        if last.as_ref().is_some_and(|last| last.instance == batch.instance && last.number >= batch.number) {
            return Ok(Stored::Repeated);
        }
        let seq = last.as_ref().map_or(1, |last| last.next_seq);
        request_logs::insert(tx, edge, seq, &batch.lines)?;
        let rows: Vec<StatsRow> = batch
            .statistics
            .iter()
            .map(|row| StatsRow {
                window: Window::Minute,
                window_start_s: row.window_start_s,
                owner: row.owner.clone(),
                counts: row.counts.clone(),
            })
            .collect();
        request_stats::add(tx, &rows)?;
        let mut used = BTreeMap::<i64, BTreeSet<u64>>::new();
        for row in rows.iter().filter(|row| row.counts.guaranteed + row.counts.burst > 0) {
            used.entry(row.window_start_s).or_default().insert(row.owner.fingerprint);
        }
        for (minute_s, fingerprints) in used {
            api_keys::note_used(tx, minute_s, &fingerprints.into_iter().collect::<Vec<_>>())?;
        }
        let lines = i64::try_from(batch.lines.len()).unwrap_or(i64::MAX);
        let next = Cursor {
            instance: batch.instance.clone(),
            number: batch.number,
            next_seq: seq.saturating_add(lines),
        };
        request_cursors::set(tx, edge, &next, last.is_none())?;
        Ok(Stored::New)
    })
}
