//! Reading a backup's file, line by line: its shape, its tables, its checksum.

use crate::backup::{BackupError, EndLine, FORMAT, Header, LINE_LEN_MAX, TableLine};
use crate::db::whole_tables::{Row, TABLES, Table};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

/// A backup that was read to its end and found whole. The file stays open: what is restored is what was checked.
#[derive(Debug)]
pub struct Checked {
    pub(in crate::backup) path: PathBuf,
    file: File,
    /// The first line.
    pub header: Header,
    /// Rows of all tables.
    pub rows: u64,
}

/// Reads a whole backup and restores nothing.
///
/// # Errors
/// [`BackupError::Io`] or [`BackupError::Damaged`].
pub fn check(path: &Path) -> Result<Checked, BackupError> {
    let failed = |source| BackupError::Io { file: path.to_owned(), what: "read", source };
    let file = File::open(path).map_err(failed)?;
    let mut reading = Reading::new(&file, path);
    let header = reading.header()?;
    let rows = reading.tables(&mut |_, _| Ok(()))?;
    Ok(Checked { path: path.to_owned(), file, header, rows })
}

impl Checked {
    /// Reads it again from its beginning and calls `each` for every row. What `each` has done must be thrown away if this
    /// answers an error: the file was changed since it was checked.
    pub(in crate::backup) fn for_each_row(
        &self,
        each: &mut dyn FnMut(&'static Table, Row) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let failed = |source| BackupError::Io { file: self.path.clone(), what: "read", source };
        (&self.file).rewind().map_err(failed)?;
        let mut reading = Reading::new(&self.file, &self.path);
        let header = reading.header()?;
        let rows = reading.tables(each)?;
        if header == self.header && rows == self.rows {
            Ok(())
        } else {
            Err(reading.damaged("the file was changed while it was read"))
        }
    }
}

struct Reading<'f> {
    path: &'f Path,
    lines: BufReader<&'f File>,
    /// The line that was read last.
    line: Vec<u8>,
    number: u64,
    /// Of all lines before the one that was read last.
    sha256: Sha256,
}

impl<'f> Reading<'f> {
    fn new(file: &'f File, path: &'f Path) -> Self {
        Self { path, lines: BufReader::new(file), line: Vec::new(), number: 0, sha256: Sha256::new() }
    }

    fn header(&mut self) -> Result<Header, BackupError> {
        self.next_line()?;
        let header: Header = self.parsed("the first line of a backup of suiftly")?;
        if header.suiftly_backup == FORMAT {
            Ok(header)
        } else {
            Err(self
                .damaged(&format!("the format is {}, this suiftly reads {FORMAT}", header.suiftly_backup)))
        }
    }

    /// Every table of ours in order, each row given to `each`, and the end; answers the number of rows.
    fn tables(
        &mut self,
        each: &mut dyn FnMut(&'static Table, Row) -> Result<(), BackupError>,
    ) -> Result<u64, BackupError> {
        let mut rows = 0;
        self.next_line()?;
        for table in TABLES {
            let found: TableLine = self.parsed(&format!("the line before the table {}", table.name))?;
            if found.table != table.name || found.columns != table.columns {
                return Err(
                    self.damaged(&format!("the table {} with its columns is expected here", table.name))
                );
            }
            self.next_line()?;
            while self.line.first() == Some(&b'[') {
                let row: Row = self.parsed(&format!("a row of {}", table.name))?;
                if row.len() != table.columns.len() {
                    let (has, wants) = (row.len(), table.columns.len());
                    return Err(
                        self.damaged(&format!("a row of {} has {wants} values, not {has}", table.name))
                    );
                }
                rows += 1;
                each(table, row)?;
                self.next_line()?;
            }
        }
        let EndLine { end } = self.parsed("the last line, with number of rows and checksum")?;
        let sha256 = HEXLOWER.encode(&self.sha256.clone().finalize());
        if (end.rows, &end.sha256) != (rows, &sha256) {
            return Err(
                self.damaged("what stands before this line does not have its number of rows or checksum")
            );
        }
        let mut after = [0; 1];
        match self.lines.read(&mut after) {
            Ok(0) => Ok(rows),
            Ok(_) => Err(self.damaged("something follows the last line")),
            Err(source) => Err(BackupError::Io { file: self.path.to_owned(), what: "read", source }),
        }
    }

    fn next_line(&mut self) -> Result<(), BackupError> {
        self.sha256.update(&self.line);
        self.line.clear();
        self.number += 1;
        let read = (&mut self.lines).take(LINE_LEN_MAX).read_until(b'\n', &mut self.line);
        read.map_err(|source| BackupError::Io { file: self.path.to_owned(), what: "read", source })?;
        if self.line.ends_with(b"\n") {
            return Ok(());
        }
        Err(self.damaged(match self.line.len() as u64 {
            LINE_LEN_MAX => "the line is longer than any line of a backup",
            _ => "the file breaks off here",
        }))
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, what: &str) -> Result<T, BackupError> {
        // The error's own text may quote the line; which row it is says the number.
        serde_json::from_slice(&self.line).map_err(|_| self.damaged(&format!("this is not {what}")))
    }

    fn damaged(&self, reason: &str) -> BackupError {
        BackupError::Damaged { file: self.path.to_owned(), line: self.number, reason: reason.to_owned() }
    }
}
