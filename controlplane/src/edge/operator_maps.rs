//! `services.map` and `errors.map`: the operator's files. When one changes it is checked and put into every worker,
//! or refused with file, line and reason while the workers keep what they have.
//!
//! HAProxy reads both files itself when it loads. What an operator does to a worker's map at run time (`set map`)
//! stays until the file changes.

use crate::clock::Clock;
use crate::edge::map_files::Stamp;
use crate::edge::native_map::{Entries, NativeMap};
use crate::edge::runtime_socket::{MasterSocket, SocketError};
use crate::edge::workers::Workers;
use edgeformat::map_file::{self, MapFileError};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The names of the files.
pub const FILES: [&str; 2] = ["services.map", "errors.map"];
/// How long all workers together may take for a file.
const PUSH_LIMIT: Duration = Duration::from_secs(5);
/// The largest file that is read, in bytes; HAProxy scans these maps for each request that needs them.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Both files, and which workers have what they say.
#[derive(Debug)]
pub struct OperatorMaps {
    socket: MasterSocket,
    clock: Clock,
    files: [OperatorFile; 2],
}

#[derive(Debug)]
struct OperatorFile {
    path: PathBuf,
    check: fn(&str) -> Result<(), MapFileError>,
    /// The file that was read last; none before the first time.
    seen: Option<Option<Stamp>>,
    /// What it says, if that can be used.
    entries: Option<BTreeMap<String, String>>,
    /// Workers that have it.
    has: BTreeSet<u32>,
    /// Why it was refused, or could not be put into a worker.
    problem: Option<String>,
}

impl OperatorMaps {
    /// The files in this folder.
    pub fn new(folder: &Path, socket: MasterSocket, clock: Clock) -> Self {
        let file = |name: &str, check| OperatorFile {
            path: folder.join(name),
            check,
            seen: None,
            entries: None,
            has: BTreeSet::new(),
            problem: None,
        };
        let services: fn(&str) -> _ = |text| map_file::read_services(text).map(drop);
        let [services_name, errors_name] = FILES;
        let files = [file(services_name, services), file(errors_name, map_file::read_errors)];
        Self { socket, clock, files }
    }

    /// Reads what has changed and puts it into every worker that does not have it. Answers what is wrong, for
    /// operators; nothing of it keeps anything else from working.
    pub fn look(&mut self, workers: &Workers) -> Vec<String> {
        let deadline = self.clock.instant() + PUSH_LIMIT;
        for file in &mut self.files {
            file.read_if_changed();
            file.has.retain(|pid| workers.all().any(|listed| listed == *pid));
            let Some(entries) = &file.entries else { continue };
            let before = file.problem.clone();
            let mut failed = None;
            for pid in workers.all().filter(|pid| !file.has.contains(pid)).collect::<Vec<_>>() {
                match make_equal(&self.socket, pid, &file.path, entries, deadline) {
                    Ok(()) => {
                        file.has.insert(pid);
                    }
                    Err(error) => failed = Some(format!("{}: worker {pid}: {error}", file.path.display())),
                }
            }
            file.problem = failed;
            if let Some(problem) = file.problem.as_ref().filter(|_| file.problem != before) {
                tracing::warn!(problem, "a map of the operator is not in every worker; trying again");
            }
        }
        self.files.iter().filter_map(|file| file.problem.clone()).collect()
    }
}

impl OperatorFile {
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
        let text = match read_text(&self.path) {
            Ok(text) => text,
            Err(error) => return self.refuse(&error),
        };
        if let Err(error) = (self.check)(&text) {
            return self.refuse(&error.to_string());
        }
        self.entries = Some(entries_of(&text));
        self.problem = None;
        self.has.clear();
        if !is_first {
            tracing::info!(file = %self.path.display(), "the operator's file has changed; it is put into every worker");
        }
    }

    /// Entries that were read before stay in force.
    fn refuse(&mut self, reason: &str) {
        self.entries = None;
        self.problem = Some(format!("{}: {reason}", self.path.display()));
        tracing::warn!(
            file = %self.path.display(),
            reason,
            "the operator's file is refused and the workers keep what they have; correct it before the next reload"
        );
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let len = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if len > FILE_LEN_MAX {
        return Err(format!("it is larger than {FILE_LEN_MAX} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// What a checked file says: the first word of a line, and the rest of it.
fn entries_of(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (key, value) = line.split_once(|c: char| c.is_ascii_whitespace())?;
        Some((key.to_owned(), value.trim().to_owned()))
    };
    lines.filter_map(split).collect()
}

fn make_equal(
    socket: &MasterSocket,
    pid: u32,
    path: &Path,
    wanted: &BTreeMap<String, String>,
    deadline: std::time::Instant,
) -> Result<(), SocketError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let map = NativeMap::find(socket, pid, &format!("maps/{name}"), deadline)?;
    let found: Entries = map.read()?;
    for (key, value) in wanted {
        let holds = |values: &Vec<String>| !values.is_empty() && values.iter().all(|held| held == value);
        if !found.get(key).is_some_and(holds) {
            map.put(&found, key, value)?;
        }
    }
    for key in found.keys().filter(|key| !wanted.contains_key(*key)) {
        map.remove(key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_rest_of_its_line() {
        let entries = entries_of("# a comment\n8 401|revoked|The key was revoked|16\n\n 1\tseal \n");
        let expected = [("1", "seal"), ("8", "401|revoked|The key was revoked|16")];
        assert_eq!(entries, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }
}
