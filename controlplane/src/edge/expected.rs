//! What the database says that every worker should have, read apart from the agent: `suiftly edge diff`.

use crate::changes::feed;
use crate::config::Config;
use crate::db::{Database, DbError};
use crate::edge::files_back;
use crate::edge::mirror::Mirror;
use crate::edge::report::WorkerReport;
use edgeformat::Change;
use edgeformat::status::TableStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The database's tables.
#[derive(Debug)]
pub struct Expected {
    /// The history.
    pub stream: String,
    /// The last change.
    pub sequence: u64,
    policies: (u64, String),
    revocations: (u64, String),
    allowlists: (u64, String),
    mirror: Mirror,
}

/// How many differing entries are named; there may be a million.
const NAMED_MAX: usize = 20;

/// Reads all of it.
///
/// # Errors
/// [`DbError`].
pub fn read(config: &Config) -> Result<Expected, DbError> {
    let mirror = Mirror::from_snapshot(Database::open(&config.database)?.read(feed::snapshot)?);
    Ok(Expected::of(mirror))
}

impl Expected {
    fn of(mirror: Mirror) -> Self {
        Self {
            stream: mirror.position().stream.to_string(),
            sequence: mirror.position().sequence,
            policies: (mirror.policies().len() as u64, mirror.policies_digest().to_string()),
            revocations: (mirror.revocations().len() as u64, mirror.revocations_digest().to_string()),
            allowlists: (mirror.allowlists().len() as u64, mirror.allowlists_digest().to_string()),
            mirror,
        }
    }

    /// What the map files in this folder have otherwise, entry by entry. Files of another moment, or none, differ by nature
    /// and are nobody's fault: then nothing is said.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub fn differences_of_files(&self, folder: &Path) -> Result<Vec<String>, String> {
        let files = files_back::read(folder).map_err(|error| error.to_string())?;
        let Some(files) = files.filter(|files| files.position() == self.mirror.position()) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        differing(&mut found, "plan", self.mirror.plans(), files.plans(), |plan| {
            format!("+l:{}:{}", plan.number, plan.packed())
        });
        differing(&mut found, "policy", self.mirror.policies(), files.policies(), |policy| {
            Change::SetPolicy(*policy).to_string()
        });
        differing(&mut found, "revocation", self.mirror.revocations(), files.revocations(), |revocation| {
            Change::SetRevocation(*revocation).to_string()
        });
        differing(
            &mut found,
            "allowlist",
            &keyed(self.mirror.allowlists()),
            &keyed(files.allowlists()),
            |entry| Change::SetAllowed(*entry).to_string(),
        );
        let more = found.len().saturating_sub(NAMED_MAX);
        found.truncate(NAMED_MAX);
        if more > 0 {
            found.push(format!("and {more} entries more"));
        }
        Ok(found)
    }

    /// What a worker has otherwise, in words.
    pub fn differences(&self, worker: &WorkerReport) -> Vec<String> {
        let mut found = Vec::new();
        if !worker.ready {
            found.push("it refuses every request".to_owned());
        }
        // Tables of another moment differ by nature.
        if worker.sequence != self.sequence {
            found.push(format!("it stands at change {}, the database at {}", worker.sequence, self.sequence));
            return found;
        }
        let mut compare = |name: &str, has: &TableStatus, should: &(u64, String)| {
            if (has.count, &has.checksum) != (should.0, &should.1) {
                found.push(format!(
                    "its {name} are {} with checksum {}, the database has {} with {}",
                    has.count, has.checksum, should.0, should.1
                ));
            }
        };
        compare("policies", &worker.policies, &self.policies);
        compare("revocations", &worker.revocations, &self.revocations);
        // A module from before allowlists has none, and refuses whom it would be asked of.
        if let Some(allowlists) = &worker.allowlists {
            compare("allowlists", allowlists, &self.allowlists);
        }
        found
    }
}

/// A set as a map of itself.
fn keyed<T: Copy + Ord>(set: &BTreeSet<T>) -> BTreeMap<T, T> {
    set.iter().map(|entry| (*entry, *entry)).collect()
}

/// One line for each entry that only one of both has, or that they have otherwise.
fn differing<K: Ord, V: PartialEq>(
    found: &mut Vec<String>,
    what: &str,
    should: &BTreeMap<K, V>,
    has: &BTreeMap<K, V>,
    text: impl Fn(&V) -> String,
) {
    for (key, value) in should {
        match has.get(key) {
            Some(other) if other == value => {}
            Some(other) => {
                found.push(format!("{what}: the database has {}, its files {}", text(value), text(other)))
            }
            None => found.push(format!("{what}: the database has {}, its files do not", text(value))),
        }
    }
    let surplus = has.iter().filter(|(key, _)| !should.contains_key(key));
    found.extend(
        surplus.map(|(_, value)| format!("{what}: its files have {}, the database does not", text(value))),
    );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::changes::feed::Snapshot;
    use crate::db::stream::Position;
    use crate::edge::map_files::MapFiles;
    use edgeformat::StreamId;

    fn mirror(changes: &[&str]) -> Mirror {
        let mut snapshot = Snapshot::empty(Position { stream: StreamId::from_u64(7), sequence: 9 });
        for change in changes {
            assert!(snapshot.take(change.parse().unwrap()));
        }
        Mirror::from_snapshot(snapshot)
    }

    #[test]
    fn every_entry_that_differs_is_named_with_both_sides() {
        let folder = tempfile::tempdir().unwrap();
        let on_disk = mirror(&["+l:1:12", "+p:7:seal:enabled:1:-", "+r:4100000100000007:0:revoked"]);
        MapFiles::new(folder.path().to_owned()).make_durable(&on_disk, 0).unwrap();
        let should = ["+l:1:12", "+p:7:seal:disabled:1:-", "+r:4100000100000008:0:revoked"];
        let expected = Expected::of(mirror(&should));
        let found = expected.differences_of_files(folder.path()).unwrap();
        assert_eq!(
            found,
            [
                "policy: the database has +p:7:seal:disabled:1:-, its files +p:7:seal:enabled:1:-",
                "revocation: the database has +r:4100000100000008:0:revoked, its files do not",
                "revocation: its files have +r:4100000100000007:0:revoked, the database does not",
            ]
        );
        assert!(Expected::of(on_disk).differences_of_files(folder.path()).unwrap().is_empty());
        let many: Vec<String> =
            (0..50).map(|number| format!("+r:41000001000001{number:02X}:0:revoked")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let found = Expected::of(mirror(&many)).differences_of_files(folder.path()).unwrap();
        assert_eq!((found.len(), found.last().unwrap().as_str()), (21, "and 33 entries more"));
    }
}
