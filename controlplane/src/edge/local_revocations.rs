//! `local-revocations.map`: the operator's own file of keys that this edge refuses beside those of the database.
//!
//! The module reads it when HAProxy loads; when it changes it is checked and every worker's set replaced, or it is refused
//! with file, line and reason while the workers keep what they have.

use crate::clock::Clock;
use crate::edge::map_files::Stamp;
use crate::edge::push::Pusher;
use edgeformat::{Revocation, TableDigest, map_file};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the file.
pub const FILE: &str = "local-revocations.map";
/// The largest file that is read, in bytes.
const FILE_LEN_MAX: u64 = 16 << 20;
/// How long all workers together may take.
const PUSH_LIMIT: Duration = Duration::from_secs(10);

/// The file as it was read last.
#[derive(Debug)]
pub struct LocalRevocations {
    path: PathBuf,
    clock: Clock,
    seen: Option<Option<Stamp>>,
    wanted: Option<(Vec<Revocation>, TableDigest)>,
    /// Why the file is refused, or not in every worker.
    problem: Option<String>,
}

impl LocalRevocations {
    /// The file in this folder.
    pub fn new(folder: &Path, clock: Clock) -> Self {
        Self { path: folder.join(FILE), clock, seen: None, wanted: None, problem: None }
    }

    /// Reads the file if it has changed and brings every worker that has something else in step. Answers what is wrong.
    pub fn look(&mut self, pusher: &Pusher) -> Option<String> {
        self.read_if_changed();
        let Some((revocations, digest)) = &self.wanted else { return self.problem.clone() };
        let deadline = self.clock.instant() + PUSH_LIMIT;
        let before = self.problem.take();
        for (pid, status) in pusher.statuses() {
            // A module that knows no such table has read no such file either.
            let Some(table) = &status.local_revocations else { continue };
            if table.checksum == digest.to_string() && table.count == revocations.len() as u64 {
                continue;
            }
            if let Err(error) = pusher.load_local_revocations(*pid, revocations, *digest, deadline) {
                self.problem = Some(format!("{}: worker {pid}: {error}", self.path.display()));
            }
        }
        if let Some(problem) = self.problem.as_ref().filter(|_| self.problem != before) {
            tracing::warn!(problem, "the operator's revocations are not in every worker; trying again");
        }
        self.problem.clone()
    }

    fn read_if_changed(&mut self) {
        let stamp = match std::fs::metadata(&self.path) {
            Ok(found) => Some(Stamp::of(&found)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(_) => return,
        };
        if self.seen == Some(stamp) {
            return;
        }
        let is_first = self.seen.is_none();
        self.seen = Some(stamp);
        match read(&self.path, stamp) {
            Ok(revocations) => {
                let mut digest = TableDigest::default();
                revocations.iter().for_each(|revocation| digest.add(revocation.digest()));
                if !is_first {
                    tracing::info!(file = %self.path.display(), entries = revocations.len(), "the operator's revocations have changed");
                }
                (self.wanted, self.problem) = (Some((revocations, digest)), None);
            }
            Err(reason) => {
                tracing::warn!(
                    file = %self.path.display(),
                    reason,
                    "the operator's file is refused and the workers keep what they have; correct it before the next reload"
                );
                (self.wanted, self.problem) = (None, Some(format!("{}: {reason}", self.path.display())));
            }
        }
    }
}

/// A file that is gone refuses nobody: the operator has taken it away.
fn read(path: &Path, stamp: Option<Stamp>) -> Result<Vec<Revocation>, String> {
    let Some(stamp) = stamp else { return Ok(Vec::new()) };
    if stamp.len > FILE_LEN_MAX {
        return Err(format!("it is larger than {FILE_LEN_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    map_file::read_local_revocations(&text).map_err(|error| error.to_string())
}
