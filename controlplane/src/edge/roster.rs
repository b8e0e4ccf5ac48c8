//! Keeps the board's list of other edges what the table of edges says, on a thread of its own: which there are, and what
//! those have said that report to another copy of `suiftly serve`.

use crate::app::chain_of;
use crate::config::DatabaseConfig;
use crate::db::{Database, DbError};
use crate::domain::edges;
use crate::edge::board::{Board, EdgeState, OtherEdge};
use crate::edge::report::{AgentReport, EdgeReport};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often the table is read.
const EVERY: Duration = Duration::from_secs(1);
/// The same while somebody waits for edges.
const EVERY_WHILE_WAITED: Duration = Duration::from_millis(50);

/// Starts the thread; it ends when the board says so.
///
/// # Errors
/// The operating system gave no thread.
pub fn start(config: DatabaseConfig, board: Arc<Board>) -> std::io::Result<()> {
    std::thread::Builder::new().name("edge-roster".to_owned()).spawn(move || run(&config, &board)).map(drop)
}

fn run(config: &DatabaseConfig, board: &Board) {
    let mut database = None;
    let mut logged = false;
    let mut slept = EVERY;
    while !board.is_stopping() {
        if slept < EVERY && !board.is_waited() {
            std::thread::sleep(EVERY_WHILE_WAITED);
            slept += EVERY_WHILE_WAITED;
            continue;
        }
        let mut look = || -> Result<Database, DbError> {
            let mut open = match database.take() {
                Some(open) => open,
                None => Database::open_again(config)?,
            };
            read(&mut open, board)?;
            Ok(open)
        };
        match look() {
            Ok(open) => (database, logged) = (Some(open), false),
            Err(error) => {
                if !std::mem::replace(&mut logged, true) {
                    tracing::warn!(error = chain_of(&error), "the table of edges could not be read");
                }
            }
        }
        std::thread::sleep(EVERY_WHILE_WAITED);
        slept = EVERY_WHILE_WAITED;
    }
}

/// Reads the table once.
///
/// # Errors
/// [`DbError`].
pub fn read(database: &mut Database, board: &Board) -> Result<(), DbError> {
    let mut others = BTreeMap::new();
    for row in edges::list(database)? {
        if board.local() == Some(row.edge.as_str()) {
            board.take_in_resyncs(row.resyncs);
            continue;
        }
        // Nobody waits for one that was never there, or is gone.
        let (Some(seen_at_ms), Some(report), None) = (row.seen_at_ms, row.report, row.removed_at_ms) else {
            continue;
        };
        // One that is not understood is waited for all the same: nobody knows what it has.
        let said = serde_json::from_str(&report).unwrap_or_else(|error| not_understood(&row.edge, &error));
        others.insert(row.edge, OtherEdge { said, seen_at_ms, resyncs: row.resyncs });
    }
    board.set_others(others);
    Ok(())
}

fn not_understood(edge: &str, error: &serde_json::Error) -> AgentReport {
    let mut report = EdgeReport::of(edge, &EdgeState::default(), 0);
    report.last_error = Some(format!(
        "what it has reported is not understood ({error}); its agent and `suiftly serve` are of different versions"
    ));
    AgentReport { report, resyncs_done: 0, instance: String::new() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn an_edge_whose_report_is_not_understood_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let config = DatabaseConfig::Sqlite(folder.path().join("a.db"));
        let mut database = Database::open(&config).unwrap();
        edges::add(&mut database, "fra1", 0).unwrap();
        edges::take_report(&mut database, "fra1", "{\"of\": \"another version\"}", 1).unwrap();
        let board = Board::without_edge(Clock::standing_at(2));
        read(&mut database, &board).unwrap();
        let waited = board.wait_for(None, 1, Duration::ZERO);
        assert_eq!((waited.applied, waited.waiting_for()), (false, vec!["fra1".to_owned()]));
        assert!(waited.detail().unwrap().contains("different versions"));
    }
}
