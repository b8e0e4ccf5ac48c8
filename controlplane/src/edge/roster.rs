//! Keeps the board's list of other edges what the table of edges says, on a thread of its own: which there are, and what
//! those have said that report to another copy of `suiftly serve`.

use crate::app::chain_of;
use crate::config::DatabaseConfig;
use crate::db::{Database, DbError};
use crate::domain::edges;
use crate::edge::board::{Board, OtherEdge};
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
        match serde_json::from_str(&report) {
            Ok(said) => {
                others.insert(row.edge, OtherEdge { said, seen_at_ms, resyncs: row.resyncs });
            }
            Err(error) => {
                tracing::warn!(edge = row.edge, %error, "what an edge has reported is not understood");
            }
        }
    }
    board.set_others(others);
    Ok(())
}
