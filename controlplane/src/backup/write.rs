//! Making a backup: one read transaction, so that all of it belongs to one moment while others write.

use crate::backup::{BackupError, End, EndLine, FORMAT, Header, TableLine};
use crate::clock::{Clock, rfc3339_ms};
use crate::db::whole_tables::{self, TABLES};
use crate::db::{Database, ReadTx, stream};
use crate::random;
use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// The first line.
    pub header: Header,
    /// Rows of all tables.
    pub rows: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of all but the last line, in hex.
    pub sha256: String,
}

/// Writes a backup to a file, mode 0600: whole or not at all.
///
/// # Errors
/// [`BackupError::Exists`] unless `replace`; [`BackupError::Io`] or [`BackupError::Db`].
pub fn write_file(
    database: &mut Database,
    path: &Path,
    replace: bool,
    clock: &Clock,
    progress: &mut dyn FnMut(u64),
) -> Result<Written, BackupError> {
    if !replace && path.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(path.to_owned()));
    }
    let failed = |source| BackupError::Io { file: path.to_owned(), what: "written", source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{:016x}", random::nonzero_u64().map_err(crate::domain::DomainError::from)?));
    let draft = path.with_file_name(name);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    let written = write_to(database, &file, path, clock, progress).and_then(|written| {
        file.sync_all().map_err(failed)?;
        put_in_place(&draft, path, replace)?;
        Ok(written)
    });
    if written.is_err() {
        // Half a backup is none; where it is gone already there is nothing to remove.
        let _ = std::fs::remove_file(&draft);
    }
    written
}

fn put_in_place(draft: &Path, path: &Path, replace: bool) -> Result<(), BackupError> {
    let failed = |source| BackupError::Io { file: path.to_owned(), what: "written", source };
    if replace {
        std::fs::rename(draft, path).map_err(failed)?;
    } else {
        // A link fails where somebody has made the file meanwhile.
        std::fs::hard_link(draft, path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => BackupError::Exists(path.to_owned()),
            _ => failed(error),
        })?;
        std::fs::remove_file(draft).map_err(failed)?;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Writes a backup anywhere; `name` stands in errors.
///
/// # Errors
/// [`BackupError::Io`] or [`BackupError::Db`].
pub fn write_to(
    database: &mut Database,
    target: impl Write,
    name: &Path,
    clock: &Clock,
    progress: &mut dyn FnMut(u64),
) -> Result<Written, BackupError> {
    let io = |source| BackupError::Io { file: name.to_owned(), what: "written", source };
    let made_at = rfc3339_ms(clock.now_ms());
    let mut lines = Lines { target: BufWriter::new(target), sha256: Sha256::new(), bytes: 0 };
    let (header, rows) = database.read(|tx| {
        let header = header(tx, made_at)?;
        lines.write(&header).map_err(io)?;
        let mut rows = 0;
        for table in TABLES {
            let columns = table.columns.iter().map(|column| (*column).to_owned()).collect();
            lines.write(&TableLine { table: table.name.to_owned(), columns }).map_err(io)?;
            whole_tables::for_each_row(tx, table, |row| {
                rows += 1;
                progress(rows);
                lines.write(row).map_err(io)
            })?;
        }
        Ok::<_, BackupError>((header, rows))
    })?;
    let sha256 = HEXLOWER.encode(&lines.sha256.clone().finalize());
    lines.write(&EndLine { end: End { rows, sha256: sha256.clone() } }).map_err(io)?;
    lines.target.flush().map_err(io)?;
    Ok(Written { header, rows, bytes: lines.bytes, sha256 })
}

fn header(tx: &mut ReadTx<'_>, made_at: String) -> Result<Header, BackupError> {
    let position = stream::position(tx)?;
    Ok(Header {
        suiftly_backup: FORMAT,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        schema: whole_tables::schema_version(tx)?,
        made_at,
        stream: position.stream.to_string(),
        sequence: position.sequence,
    })
}

struct Lines<W: Write> {
    target: BufWriter<W>,
    sha256: Sha256,
    bytes: u64,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, value: &impl Serialize) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.sha256.update(&line);
        self.bytes += line.len() as u64;
        self.target.write_all(&line)
    }
}
