//! A second look, apart from the change log: every minute everything is read anew, so that a row which was changed without a
//! change-log entry does not stay unknown to the edges. An agent on another machine cannot read the database; it reads its
//! own files back.
//!
//! It runs on a thread of its own, since reading a million rows must not delay a revocation.

use crate::app::chain_of;
use crate::changes::compaction::forget_old_changes;
use crate::changes::feed;
use crate::config::DatabaseConfig;
use crate::db::Database;
use crate::edge::board::{Board, TableCheck};
use crate::edge::files_back;
use crate::edge::mirror::Mirror;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// How often everything is read.
const SCAN_EVERY: Duration = Duration::from_secs(60);
/// How often the thread looks whether it should end.
const STOP_LOOK_EVERY: Duration = Duration::from_millis(200);

/// What was read.
#[derive(Debug)]
pub struct Scan {
    /// The tables.
    pub mirror: Mirror,
    /// From where.
    pub of: ScanOf,
}

/// Where a scan was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScanOf {
    /// The database: what it holds is right.
    Database,
    /// The map files of this machine: what was written into them is right.
    Files,
}

/// Scans the database. At most one scan waits.
///
/// # Errors
/// The operating system gave no thread.
pub fn start(database: DatabaseConfig, board: Arc<Board>) -> std::io::Result<Receiver<Scan>> {
    let told = Arc::clone(&board);
    start_scanning(board, ScanOf::Database, move || {
        let snapshot = Database::open_again(&database).and_then(|mut database| {
            forget_old_changes(&mut database)?;
            database.read(feed::snapshot)
        });
        let mirror = Mirror::from_snapshot(snapshot.map_err(|error| chain_of(&error))?);
        told.set_check(TableCheck {
            position: mirror.position(),
            policies: mirror.policies_digest().to_string(),
            revocations: mirror.revocations_digest().to_string(),
            allowlists: mirror.allowlists_digest().to_string(),
        });
        Ok(Some(mirror))
    })
}

/// Scans the map files in a folder. At most one scan waits.
///
/// # Errors
/// The operating system gave no thread.
pub fn start_on_files(maps: PathBuf, board: Arc<Board>) -> std::io::Result<Receiver<Scan>> {
    start_scanning(board, ScanOf::Files, move || files_back::read(&maps).map_err(|error| error.to_string()))
}

fn start_scanning(
    board: Arc<Board>,
    of: ScanOf,
    read: impl Fn() -> Result<Option<Mirror>, String> + Send + 'static,
) -> std::io::Result<Receiver<Scan>> {
    let (sender, scans) = sync_channel(1);
    std::thread::Builder::new()
        .name("edge-scanner".to_owned())
        .spawn(move || run(&board, of, read, &sender))?;
    Ok(scans)
}

fn run(
    board: &Board,
    of: ScanOf,
    read: impl Fn() -> Result<Option<Mirror>, String>,
    scans: &SyncSender<Scan>,
) {
    let mut slept = Duration::ZERO;
    while !board.is_stopping() {
        std::thread::sleep(STOP_LOOK_EVERY);
        slept += STOP_LOOK_EVERY;
        if slept < SCAN_EVERY {
            continue;
        }
        slept = Duration::ZERO;
        match read() {
            Ok(Some(mirror)) => match scans.try_send(Scan { mirror, of }) {
                // The one before it was not taken yet, and says the same; or nobody takes any.
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            },
            Ok(None) => {}
            Err(error) => tracing::warn!(error, "a look at everything for comparison has failed"),
        }
    }
}
