//! A file of fingerprints to be revoked: one a line, `#` begins a comment. Taken whole or not at all.

use crate::cli::{Exit, Failure, key_text};
use crate::domain::revocations::RevocableFingerprint;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The most fingerprints that one file may hold: as many as an edge's table can.
pub const FINGERPRINTS_MAX: usize = 10_000_000;
/// The longest line, in bytes: a fingerprint and a comment.
const LINE_LEN_MAX: u64 = 1_024;

/// What a file holds.
#[derive(Debug)]
pub struct RevocationList {
    /// Each fingerprint once.
    pub fingerprints: Vec<RevocableFingerprint>,
    /// How many lines named one that stood there before.
    pub repeated: u64,
}

/// Reads a file.
///
/// # Errors
/// Usage, with file, line and reason; nothing of the file may be used then.
pub fn read(path: &Path) -> Result<RevocationList, Failure> {
    let cannot = |error: std::io::Error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Other };
        Failure::new(exit, format!("{} cannot be read: {error}", path.display()))
    };
    let mut reader = BufReader::new(File::open(path).map_err(cannot)?);
    let (mut seen, mut repeated, mut number) = (BTreeSet::new(), 0, 0_usize);
    let mut line = Vec::new();
    loop {
        line.clear();
        let len = reader.by_ref().take(LINE_LEN_MAX + 1).read_until(b'\n', &mut line).map_err(cannot)?;
        if len == 0 {
            break;
        }
        number += 1;
        let wrong = |reason: &str| {
            let text = format!("{} line {number}: {reason}; nothing of the file was revoked", path.display());
            Err(Failure::new(Exit::Usage, text))
        };
        if len as u64 > LINE_LEN_MAX {
            return wrong(&format!("the line is longer than {LINE_LEN_MAX} bytes"));
        }
        let Ok(text) = std::str::from_utf8(&line) else { return wrong("the line is no text") };
        let word = text.split('#').next().unwrap_or_default().trim();
        if word.is_empty() {
            continue;
        }
        match key_text::revocable(word) {
            Ok(fingerprint) => repeated += u64::from(!seen.insert(fingerprint)),
            Err(reason) => return wrong(&reason),
        }
        if seen.len() > FINGERPRINTS_MAX {
            return wrong(&format!("a file has at most {FINGERPRINTS_MAX} fingerprints; split it"));
        }
    }
    Ok(RevocationList { fingerprints: seen.into_iter().collect(), repeated })
}
