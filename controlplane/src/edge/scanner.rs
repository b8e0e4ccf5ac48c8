//! A second look at the database, apart from the change log: every minute everything is read anew, so that a
//! row which was changed without a change-log entry does not stay unknown to the edge.
//!
//! It runs on a thread of its own, since reading a million rows must not delay a revocation.

use crate::changes::feed;
use crate::config::DatabaseConfig;
use crate::db::Database;
use crate::edge::board::Board;
use crate::edge::mirror::Mirror;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often everything is read.
const SCAN_EVERY: Duration = Duration::from_secs(60);
/// How often the thread looks whether it should end.
const STOP_LOOK_EVERY: Duration = Duration::from_millis(200);

/// The scanner's thread.
#[derive(Debug)]
pub struct Scanner {
    /// The scans; at most one waits.
    pub scans: Receiver<Mirror>,
    /// The thread; it ends when the board says so.
    pub thread: JoinHandle<()>,
}

/// Starts the scanner.
///
/// # Errors
/// The operating system gave no thread.
pub fn start(database: DatabaseConfig, board: Arc<Board>) -> std::io::Result<Scanner> {
    let (sender, scans) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("edge-scanner".to_owned())
        .spawn(move || run(&database, &board, &sender))?;
    Ok(Scanner { scans, thread })
}

fn run(database: &DatabaseConfig, board: &Board, scans: &SyncSender<Mirror>) {
    let mut slept = Duration::ZERO;
    while !board.is_stopping() {
        std::thread::sleep(STOP_LOOK_EVERY);
        slept += STOP_LOOK_EVERY;
        if slept < SCAN_EVERY {
            continue;
        }
        slept = Duration::ZERO;
        let snapshot = Database::open_again(database).and_then(|mut database| database.read(feed::snapshot));
        match snapshot {
            Ok(snapshot) => match scans.try_send(Mirror::from_snapshot(snapshot)) {
                // The one before it was not taken yet, and says the same.
                Ok(()) | Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Disconnected(_)) => return,
            },
            Err(error) => tracing::warn!(
                error = crate::app::chain_of(&error),
                "the database could not be read for comparison"
            ),
        }
    }
}
