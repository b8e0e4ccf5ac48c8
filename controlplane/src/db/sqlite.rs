//! What only SQLite needs: the file, and the settings of each connection.

use crate::db::DbError;
use diesel::connection::SimpleConnection;
use diesel::{Connection as _, QueryableByName, RunQueryDsl, SqliteConnection, sql_types};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a statement waits for another writer. Each of our write transactions takes milliseconds, a chunk
/// of a revocation file some hundred; a queue of many is still shorter than this.
const BUSY_TIMEOUT_MS: u32 = 30_000;

/// Turning the write-ahead log on is the one step on which SQLite does not wait: two first starts at once
/// meet here.
const WAL_TRIES_MAX: u32 = 100;
const WAL_RETRY: Duration = Duration::from_millis(50);

/// Opens a connection; makes the file where there is none, and turns its write-ahead log on.
pub(in crate::db) fn open(file: &Path) -> Result<SqliteConnection, DbError> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        crate::app::make_private_folder(folder).map_err(|error| DbError::Folder(file.to_owned(), error))?;
    }
    make_private_file(file).map_err(|error| DbError::Folder(file.to_owned(), error))?;
    let mut connection = connect(file)?;
    turn_write_ahead_log_on(&mut connection)?;
    Ok(connection)
}

/// Opens a connection to a file that [`open`] has made.
pub(in crate::db) fn connect(file: &Path) -> Result<SqliteConnection, DbError> {
    let failed = |source| DbError::Open { database: file.display().to_string(), source };
    // A relative path is made to begin with a dot, so that no name is ever read as one of SQLite's URIs.
    let path: PathBuf = if file.is_absolute() { file.to_owned() } else { Path::new(".").join(file) };
    let path = path.to_str().ok_or_else(|| {
        failed(diesel::ConnectionError::InvalidConnectionUrl("the path is not UTF-8".to_owned()))
    })?;
    let mut connection = SqliteConnection::establish(path).map_err(failed)?;
    // `busy_timeout` comes first: the others may have to wait. FULL: a revocation that was confirmed is still
    // there after the power has failed. A system SQLite has foreign keys off.
    connection.batch_execute(&format!(
        "PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
    ))?;
    Ok(connection)
}

/// Made by us and not by SQLite, so that others cannot read it, also where it lies outside the state folder;
/// SQLite gives its log the same mode.
fn make_private_file(file: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[derive(QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = sql_types::Text)]
    journal_mode: String,
}

/// Readers and the one writer do not wait for each other then. The setting stays in the file.
fn turn_write_ahead_log_on(connection: &mut SqliteConnection) -> Result<(), DbError> {
    let mut tries = 0;
    loop {
        let mode = diesel::sql_query("PRAGMA journal_mode").get_result::<JournalMode>(connection)?;
        if mode.journal_mode == "wal" {
            return Ok(());
        }
        match connection.batch_execute("PRAGMA journal_mode = wal") {
            Err(error) if tries >= WAL_TRIES_MAX => return Err(error.into()),
            Err(_) => std::thread::sleep(WAL_RETRY),
            Ok(()) if tries >= WAL_TRIES_MAX => {
                let detail = "the file system does not let SQLite share memory between processes";
                return Err(DbError::unexpected("sqlite", detail));
            }
            Ok(()) => {}
        }
        tries += 1;
    }
}
