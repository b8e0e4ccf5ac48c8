//! Keeps the change log short: what nobody can be sent any more is forgotten.
//!
//! Who lacks more than [`CHANGES_MAX`] changes is sent a snapshot, so older ones are never read. A few times as many are kept
//! for people who look into the table.

use crate::changes::feed::CHANGES_MAX;
use crate::db::{Database, DbError, change_log, stream};

/// How many of the last changes are kept.
pub const KEPT: u64 = 5 * CHANGES_MAX as u64;
/// How many are forgotten in one transaction: other writers wait that long, some milliseconds.
const STEP: u32 = 2_000;

/// Forgets what is older than the last [`KEPT`] changes. Answers how many changes were forgotten.
///
/// # Errors
/// [`DbError`]; what was forgotten before stays so.
pub fn forget_old_changes(database: &mut Database) -> Result<usize, DbError> {
    forget_all_but(database, KEPT)
}

fn forget_all_but(database: &mut Database, kept: u64) -> Result<usize, DbError> {
    let now = database.read(stream::position)?;
    let up_to = now.sequence.saturating_sub(kept);
    let mut forgotten = 0;
    loop {
        // Looked at first: a write transaction for nothing would hold up others.
        let is_there = database.read(|tx| change_log::has_before(tx, up_to))?;
        if !is_there {
            return Ok(forgotten);
        }
        forgotten += database.write(|tx| change_log::forget(tx, up_to, STEP))?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;
    use crate::changes::feed::{self, Feed};
    use crate::changes::record::record;
    use crate::config::DatabaseConfig;
    use crate::db::stream::Position;

    #[test]
    fn the_last_changes_stay_and_who_lacks_an_older_one_gets_everything() {
        let folder = tempfile::tempdir().unwrap();
        let mut database = Database::open(&DatabaseConfig::Sqlite(folder.path().join("a.db"))).unwrap();
        let count = 2 * u64::from(STEP) + 30;
        database
            .write(|tx| {
                for number in 1..=count {
                    let change = format!("+l:{}:12", number % 1_023 + 1).parse().unwrap();
                    record(tx, &change, 0)?;
                }
                Ok::<_, DbError>(())
            })
            .unwrap();
        assert_eq!(forget_all_but(&mut database, 20).unwrap() as u64, count - 20);
        assert_eq!(forget_all_but(&mut database, 20).unwrap(), 0);
        let Position { stream, sequence } = database.read(stream::position).unwrap();
        assert_eq!(sequence, count);
        let after = |sequence| Position { stream, sequence };
        let Feed::Changes(changes) = database.read(|tx| feed::after(tx, after(count - 20))).unwrap() else {
            panic!("everything")
        };
        assert_eq!(changes.len(), 20);
        let feed = database.read(|tx| feed::after(tx, after(count - 21))).unwrap();
        assert!(matches!(feed, Feed::Snapshot(_)), "{feed:?}");
    }
}
